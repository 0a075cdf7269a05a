"""The verb that starts an aggregation, by the rules of the operator that does."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from airflow_provider_sptasks.cli.codes import ExitCode
from airflow_provider_sptasks.cli.polling import Polling, accepted_statuses, conclude
from airflow_provider_sptasks.cli.printing import note, print_line, print_records
from airflow_provider_sptasks.cli.session import Screen, Session, SignalledError, UsageError
from airflow_provider_sptasks.client.errors import AmbiguousError
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.intent import Intent, Outcome, StartResult
from airflow_provider_sptasks.client.kinds import TaskKind
from airflow_provider_sptasks.client.start_options import StartOptions
from airflow_provider_sptasks.client.starting import IfRunning, Starter
from airflow_provider_sptasks.operators._account_progress import AccountProgressLogger
from airflow_provider_sptasks.waiting.errors import UnknownTaskError
from airflow_provider_sptasks.waiting.progress import ProgressLogger
from airflow_provider_sptasks.waiting.starting import begun, blocked, start_in_turn
from airflow_provider_sptasks.waiting.tasks import TaskWait
from airflow_provider_sptasks.waiting.verdict import Verdict

if TYPE_CHECKING:
    from airflow_provider_sptasks.operators._interruptible import Interruptible


def aggregate(options: argparse.Namespace) -> ExitCode:
    """Start an aggregation, and wait for it."""
    _check(options)
    session = Session(options)
    # By its id it isn't read: that takes another right than starting its aggregation.
    source = session.sources.find_by_name(options.source_name) if options.source_name else None
    source_id = check_id(options.source_id, "SOURCE_ID") if source is None else source.id
    what = f"an aggregation ({options.kind}) of {source or f'source {source_id}'}"
    if options.dry_run:
        note(f"Would start {what} at {session.tenant}.")
        return ExitCode.OK
    session.confirm(f"This starts {what}.")
    run = _Run(session, source_id)
    try:
        verdict = session.uninterrupted(run.work)
    except (SignalledError, AmbiguousError):
        note(run.state())
        raise
    if run.outcome is None or run.outcome.result is StartResult.BLOCKED:
        return ExitCode.SKIPPED if options.if_running == IfRunning.SKIP else ExitCode.FAILED
    if verdict is None:
        if options.output in ("table", "plain"):
            print_line(run.outcome.task_status_id)
        else:
            print_records([{"id": run.outcome.task_status_id}], [], options.output)
        return ExitCode.OK
    return conclude(verdict, options)


def _check(options: argparse.Namespace) -> None:
    """Refuse what can't be started, before anything is sent."""
    if bool(options.source_id) is bool(options.source_name):
        raise UsageError("Give either SOURCE_ID or --source-name.")
    start_options(options).check(TaskKind(options.kind))


def start_options(options: argparse.Namespace) -> StartOptions:
    """
    Read what an aggregation is started with.

    :param options: the arguments
    """
    return StartOptions(
        options.file, options.disable_optimization, options.object_type, tuple(options.dataset_id or ())
    )


class _Run:
    """
    Starts an aggregation and waits for it; says at any time what is known of it.

    :param session: the arguments, and the tenant
    :param source_id: SailPoint's id of the source
    """

    def __init__(self, session: Session, source_id: str) -> None:
        self.outcome: Outcome | None = None
        self._session = session
        self._source_id = source_id
        self._intent: Intent | None = None
        self._screen = Screen()

    def work(self, interruptible: Interruptible) -> Verdict | None:
        """
        Start it, and wait until it has ended.

        :param interruptible: what stops it
        :return: ``None`` where it is not waited for, or was not started
        :raises TimeoutError: the timeout has passed
        """
        options = self._session.options
        polling = Polling(self._session.connection, options, interruptible.flag)

        def attempt() -> Outcome:
            return Starter(
                self._session.client,
                self._session.sources,
                source_id=self._source_id,
                kind=TaskKind(options.kind),
                options=start_options(options),
                if_running=IfRunning(options.if_running),
                deadline=polling.deadline,
                stop=interruptible.event,
                note=self._note,
            ).run(self._intent)

        outcome = self.outcome = start_in_turn(
            attempt,
            IfRunning(options.if_running),
            has_ended_already=lambda task_status_id: self._has_ended_already(polling, task_status_id),
            sleep=polling.sleep,
            say=self._screen.info,
        )
        if outcome.result is StartResult.BLOCKED:
            note(f"Error: {blocked(outcome)}")
            return None
        self._screen.info(begun(outcome, TaskKind(options.kind)))
        if options.no_wait:
            return None
        wait = TaskWait.for_one(outcome.task_status_id, accepted_statuses(options))
        return polling.until_final(
            wait, lambda connection: AccountProgressLogger(self._screen, connection), has_worked=True
        )[0]

    def state(self) -> str:
        """Say for a person what is done, and what is not."""
        intent = self._intent
        if self.outcome is not None and self.outcome.result is not StartResult.BLOCKED:
            return f"Stopped waiting. Aggregation {self.outcome.task_status_id} goes on in SailPoint."
        if intent is not None and intent.task_status_id is not None:
            return f"Stopped. Aggregation {intent.task_status_id} was started, and goes on in SailPoint."
        if intent is not None:
            return (
                f"Stopped. An aggregation may have been started: check it with "
                f"'tasks pending --source-id {self._source_id}'."
            )
        return "Stopped. Nothing was started."

    def _note(self, intent: Intent | None) -> None:
        self._intent = intent

    def _has_ended_already(self, polling: Polling, task_status_id: str) -> bool:
        """Wait until another aggregation has ended; say whether it had before the first poll."""
        wait, progress = TaskWait.for_one(task_status_id, None), ProgressLogger(self._screen)
        try:
            return polling.until_final(wait, lambda _: progress, has_worked=True)[1]
        except UnknownTaskError:
            return False
