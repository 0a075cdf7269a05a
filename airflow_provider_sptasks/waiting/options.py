"""The arguments of a wait: choices and defaults, which reading a DAG file needs without the waits."""

from __future__ import annotations

from airflow_provider_sptasks.client.kinds import ANY_KIND, TaskKind

KINDS = (*(kind.value for kind in TaskKind if kind is not TaskKind.OTHER), ANY_KIND)
IF_FAILED = ("fail", "wait_for_next")

NO_TASK = "task_status_id is an empty list. Give one id at least."

# For how long a wait bears what usually passes.
NOT_FOUND_GRACE_SECONDS = 60.0
RETRY_GRACE_SECONDS = 900.0
