"""
The command line: ``airflow sailpoint …`` and ``python -m airflow_provider_sptasks …``.

The verbs and their arguments are one table (``commands``); both forms are made of it. Reading it loads
neither Airflow nor an HTTP library.
"""
