"""A real Airflow and the servers that a large one needs, on loopback: for the demo, tests and benchmarks."""
