"""A demonstration: ``make demo``, or ``python -m demo`` where everything is installed."""
