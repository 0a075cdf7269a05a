"""Apache Airflow provider for SailPoint Identity Security Cloud task management."""

__version__ = "0.2.0"
