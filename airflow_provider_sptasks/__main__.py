"""The command line without Airflow's: ``python -m airflow_provider_sptasks --help``."""

from __future__ import annotations

import sys

from airflow_provider_sptasks.cli.main import main

sys.exit(main())
