"""The verb that waits for tasks, or for the aggregations of sources."""

from __future__ import annotations

import argparse
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_sptasks.cli.codes import ExitCode
from airflow_provider_sptasks.cli.polling import Polling, accepted_statuses, conclude
from airflow_provider_sptasks.cli.printing import note
from airflow_provider_sptasks.cli.session import Screen, Session, UsageError
from airflow_provider_sptasks.client.stopping import StopFlag
from airflow_provider_sptasks.waiting.aggregations import AggregationWait
from airflow_provider_sptasks.waiting.progress import ProgressLogger
from airflow_provider_sptasks.waiting.tasks import TaskWait

if TYPE_CHECKING:
    from airflow_provider_sptasks.waiting.events import Wait

DEFAULT_AGE = timedelta(days=1)


def wait(options: argparse.Namespace) -> ExitCode:
    """Wait until what is given has ended."""
    wanted = _wait_for(options)
    session = Session(options)
    polling = Polling(session.connection, options, StopFlag(threading.Event()))
    progress = ProgressLogger(Screen())
    progress.begin(wanted.describe())
    try:
        verdict, _ = polling.until_final(wanted, lambda _: progress)
    except KeyboardInterrupt:
        note("\nStopped waiting. Nothing was changed: what runs in SailPoint goes on.")
        return ExitCode.INTERRUPTED
    return conclude(verdict, options)


def _wait_for(options: argparse.Namespace) -> Wait:
    given = [options.task_id, options.source_id, options.source_name]
    if sum(map(bool, given)) != 1:
        raise UsageError("Give ids of tasks, or --source-id, or --source-name.")
    accepted = accepted_statuses(options)
    statuses = None if accepted is None else sorted(accepted)
    if options.task_id:
        return TaskWait.parse(
            task_status_id=options.task_id,
            accepted_statuses=statuses,
            not_found_grace=options.not_found_grace,
        )
    return AggregationWait.parse(
        source_id=options.source_id,
        source_name=options.source_name,
        kind=options.kind,
        launched_after=options.launched_after or datetime.now(UTC) - DEFAULT_AGE,
        accepted_statuses=statuses,
        if_failed=options.if_failed,
        retry_grace=options.retry_grace,
    )
