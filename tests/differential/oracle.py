"""What a wait has to come to, by the documented rule and the true history: nothing here reads a tenant."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow_provider_sptasks.waiting.aggregations import AggregationWait
from airflow_provider_sptasks.waiting.tasks import TaskWait
from tests.differential.world import Record, World, milliseconds, name_of

Verdict = tuple[str, ...]

WAITS: Verdict = ("waits",)
NOT_FOUND: Verdict = ("not found",)
AGGREGATIONS = ("accounts", "entitlements", "uncorrelated_accounts")
# Between ``created`` and ``launched``: what takes longer is out of the rule.
QUEUED = timedelta(minutes=5)


def verdicts(wait: AggregationWait | TaskWait, world: World) -> set[Verdict] | None:
    """
    Say what a wait may come to; more than one thing where that is up to what SailPoint's lists show.

    :return: ``None`` where the rule doesn't say
    """
    return _of_sources(wait, world) if isinstance(wait, AggregationWait) else _of_tasks(wait, world)


def _of_sources(wait: AggregationWait, world: World) -> set[Verdict] | None:
    ids = [_source_id(each, world) if wait.named else each for each in wait.sources]
    records = [world.of_source(each) for each in ids]
    if any(each.launched and each.launched - each.created > QUEUED for own in records for each in own):
        return None
    decisive = [_decisive(wait, own) for own in records]
    ended = [each for each in decisive if each is not None]
    refused = [
        each
        for each in ended
        if not _accepted(wait, each) and not wait.wait_for_next and not _may_be_retried(wait, each, world.now)
    ]
    if refused:
        return {("failed", *(each.id for each in refused))}
    if not set(ids) <= set(world.sources):
        return {NOT_FOUND}
    if len(ended) == len(ids) and all(_accepted(wait, each) for each in ended):
        return {("done", *(each.id for each in ended))}
    return {WAITS}


def _decisive(wait: AggregationWait, records: list[Record]) -> Record | None:
    assert wait.waiting_since is not None
    counting = [each for each in records if _counts(wait, each)]
    newest = max(counting, key=_order, default=None)
    if newest is None or newest.status is not None:
        return newest
    if newest.started <= wait.waiting_since:
        return None
    last = max((each for each in counting if each.status is not None), key=_order, default=None)
    return last if last is not None and _accepted(wait, last) else None


def _counts(wait: AggregationWait, record: Record) -> bool:
    is_asked_for = record.kind in AGGREGATIONS if wait.kind is None else record.kind == wait.kind.value
    after = milliseconds(wait.launched_after) - (QUEUED if record.is_queued else timedelta())
    return is_asked_for and record.started >= after


def _order(record: Record) -> tuple[datetime, datetime, str]:
    return record.started, record.created, record.id


def _accepted(wait: AggregationWait | TaskWait, record: Record) -> bool:
    return wait.accepted is None or record.status in {each.value for each in wait.accepted}


def _may_be_retried(wait: AggregationWait, record: Record, now: datetime) -> bool:
    assert record.completed is not None
    return record.status == "TEMPERROR" and now < record.completed + wait.retry_grace


def _of_tasks(wait: TaskWait, world: World) -> set[Verdict]:
    assert wait.waiting_since is not None
    known = {each.id.casefold(): each for each in world.records if not each.is_removed}
    found = [known.get(each.casefold()) for each in wait.task_status_ids]
    is_over = world.now >= wait.waiting_since + wait.not_found_grace
    seen = _task_verdict(wait, [each for each in found if each is not None])
    if is_over and any(each is None for each in found) and seen[0] != "failed":
        return {NOT_FOUND}
    if is_over or not any(each is not None and each.is_hidden for each in found):
        return {seen}
    # Few are read by their ids where that is cheap, and a list may not show one for a while.
    return {seen, _task_verdict(wait, [each for each in found if each is not None and not each.is_hidden])}


def _task_verdict(wait: TaskWait, records: list[Record]) -> Verdict:
    ended = [each for each in records if each.status is not None]
    refused = [each.id for each in ended if not _accepted(wait, each)]
    if refused:
        return ("failed", *refused)
    return ("done", *(each.id for each in ended)) if len(ended) == len(wait.task_status_ids) else WAITS


def _source_id(name: str, world: World) -> str:
    return next((each for number, each in enumerate(world.sources) if name_of(number) == name), "")
