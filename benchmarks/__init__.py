"""Comparisons with what else one could use: ``python -m benchmarks``."""
