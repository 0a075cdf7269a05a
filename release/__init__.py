"""Checks that what is about to be released can be used: ``make release-check``."""
