"""Many tasks in few requests, and none missed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_sptasks.client import CompletionStatus, TaskStatusClient
from airflow_provider_sptasks.client.errors import ServerError, UnexpectedPayloadError
from airflow_provider_sptasks.emulator import Emulator, LoggedRequest
from tests.client.conftest import Connect, api_requests
from tests.client.gateway import gateway
from tests.client.test_client import Tasks, Version, every_version, page, pending_page, sent, tasks
from tests.client.test_newest import AD, HR, SAP, ago, between, launch, without_pending

__all__ = ["tasks"]

every_version_without_pending = pytest.mark.parametrize(
    "version", without_pending, ids=lambda version: version.name
)


class TestFind:
    """Many ids, few requests."""

    @every_version
    def test_finds_what_there_is(
        self, version: Version, connect: Connect, emulator: Emulator, tasks: Tasks
    ) -> None:
        wanted = [tasks.running, tasks.failed, "d" * 32, tasks.failed, f" {tasks.failed} "]
        found = connect(version.name).find(iter(wanted))
        assert {each: task.id for each, task in found.items()} == {
            tasks.running: tasks.running,
            tasks.failed: tasks.failed,
            f" {tasks.failed} ": tasks.failed,
        }
        assert found[tasks.failed].completion_status is CompletionStatus.ERROR
        assert not found[tasks.running].is_complete
        if version.lists_pending:
            filters = f'id in ("{tasks.running}","{tasks.failed}","{"d" * 32}")'
            assert sent(emulator) == [page(version, query={"filters": filters})]
        else:
            filters = f'id in ("{tasks.running}","{tasks.failed}","{"d" * 32}")'
            assert sent(emulator)[0] == page(version, query={"filters": filters})
            assert sorted(sent(emulator)[1:]) == [
                ("GET", f"{version.path}/{task_id}", {}) for task_id in (tasks.running, "d" * 32)
            ]

    @every_version
    def test_none(self, version: Version, connect: Connect, emulator: Emulator) -> None:
        assert connect(version.name).find([]) == {}
        assert emulator.requests == ()

    @pytest.mark.parametrize(
        ("version", "pending"), [("v1", 5_000), ("beta", 0), ("beta", 10_000)], ids=lambda value: str(value)
    )
    def test_ten_thousand(self, version: str, pending: int, connect: Connect, emulator: Emulator) -> None:
        durations = [None] * pending + [1.0] * (10_000 - pending)
        wanted = [emulator.add_task(launched=-100, duration=duration).id for duration in durations]
        found = connect(version).find(wanted)
        assert found.keys() == set(wanted)
        assert sum(not task.is_complete for task in found.values()) == pending
        assert len(api_requests(emulator)) <= 56

    @pytest.mark.parametrize("version", ["beta", "v2024"])
    def test_reads_the_pending_tasks_before_the_completed_ones(
        self, version: str, connect: Connect, emulator: Emulator
    ) -> None:
        """In this order a task that ends in between is seen twice, in the other not at all."""
        wanted = [emulator.add_task(duration=None).id for _ in range(6)]
        found = connect(version).find([*wanted, "d" * 32])
        assert list(found) == wanted
        assert [path.rsplit("/", 1)[1] for _, path, _ in sent(emulator)] == ["pending-tasks", "task-status"]

    @pytest.mark.parametrize(
        "shape",
        [
            "{n:032x}",
            "{n}",
            "2c9180{n:026x}",
            "{n:08x}-0000-4000-8000-000000000000",
            "{n}:a~b.c_d-e" + "x" * 100,
        ],
        ids=["hex", "number", "prefixed", "uuid", "longest"],
    )
    def test_ids_of_every_shape(self, shape: str, connect: Connect, emulator: Emulator) -> None:
        wanted = [emulator.add_task(shape.format(n=n), launched=-100, duration=1).id for n in range(600)]
        with gateway(emulator.url, longest=8_191, status=414) as before:
            assert connect(host=before.url).find(wanted).keys() == set(wanted)
            assert before.refused == []
            # As few as can be: each request but the last is full, of bytes or of ids.
            for line in before.passed[:-1]:
                assert len(line) > 7_850 or line.count("%22") == 500

    def test_asks_for_no_more_than_a_page_holds(self, connect: Connect, emulator: Emulator) -> None:
        wanted = [emulator.add_task(f"{n}", launched=-100, duration=1).id for n in range(501)]
        assert connect().find(wanted).keys() == set(wanted)
        assert [request.query["filters"].count('"') // 2 for request in api_requests(emulator)] == [
            250,
            250,
            1,
        ]

    def test_refuses_a_string_for_a_list(self, client: TaskStatusClient, emulator: Emulator) -> None:
        with pytest.raises(ValueError, match="task_status_ids is one string"):
            client.find("a" * 32)
        with pytest.raises(ValueError, match="source_ids is one string"):
            client.pending(source_ids="a" * 32)
        assert emulator.requests == ()

    @pytest.mark.parametrize("bad", ["", "  ", "None", "../../sources/v1", 'a"b', "x" * 129, None, 7, ["a"]])
    def test_refuses_what_is_no_id_before_anything_is_sent(
        self, bad: Any, connect: Connect, emulator: Emulator
    ) -> None:
        with pytest.raises(ValueError, match="task_status_id"):
            connect().find(["a" * 32, bad])
        assert emulator.requests == ()


@every_version_without_pending
class TestPendingOnes:
    """Versions whose list holds completed tasks only."""

    @pytest.fixture(autouse=True)
    def others(self, emulator: Emulator) -> None:
        for number in range(1_000):
            launch(emulator, AD, 90_000 - number, duration=None)

    @pytest.mark.parametrize(("count", "requests"), [(1, 2), (3, 4), (5, 6), (6, 5)])
    def test_a_few_are_read_by_their_ids(
        self, version: Version, count: int, requests: int, connect: Connect, emulator: Emulator
    ) -> None:
        """A7: or by the list, of which it takes five pages, where it is no longer."""
        wanted = [launch(emulator, HR, 60 + number, duration=None) for number in range(count)]
        assert connect(version.name).find(wanted).keys() == set(wanted)
        assert len(api_requests(emulator)) == requests

    def test_what_is_known_of_the_list_decides(
        self, version: Version, connect: Connect, emulator: Emulator
    ) -> None:
        wanted = [launch(emulator, HR, 60 + number, duration=None) for number in range(6)]
        client = connect(version.name)
        assert len(list(client.pending())) == 1_006
        emulator.reset_requests()
        assert client.find(wanted[:5]).keys() == set(wanted[:5])
        assert len(api_requests(emulator)) == 6, "the completed ones, and five by their ids"
        for task in emulator.tasks():
            if task["id"] not in wanted:
                emulator.complete(str(task["id"]))
        assert list(client.with_retry(client.retry).pending())
        emulator.reset_requests()
        assert client.find(wanted[:5]).keys() == set(wanted[:5])
        assert len(api_requests(emulator)) == 1, "the list, which is short now"

    def test_stops_when_all_are_found(self, version: Version, connect: Connect, emulator: Emulator) -> None:
        wanted = [str(task["id"]) for task in emulator.tasks()[:10]]
        assert connect(version.name).find(wanted).keys() == set(wanted)
        assert sent(emulator) == [pending_page(version)]

    def test_few_that_are_missing_after_a_page_are_read_by_their_ids(
        self, version: Version, connect: Connect, emulator: Emulator
    ) -> None:
        wanted = [str(task["id"]) for task in emulator.tasks()[:10]]
        wanted += [launch(emulator, HR, 60, duration=None), launch(emulator, HR, 50), "d" * 32]
        found = connect(version.name).find(wanted)
        assert found.keys() == set(wanted) - {"d" * 32}
        assert len(api_requests(emulator)) == 4, "a page, the completed ones, and two by their ids"

    @pytest.mark.parametrize("count", [1, 10])
    def test_one_that_ends_between_two_requests_is_not_missed(
        self, version: Version, count: int, connect: Connect, emulator: Emulator
    ) -> None:
        wanted = [launch(emulator, HR, 60 + number, duration=None) for number in range(count)]

        def happen(request: LoggedRequest) -> None:
            if len(api_requests(emulator)) == 1:
                for each in wanted:
                    emulator.complete(each)

        emulator.on_request(happen)
        found = connect(version.name).find(wanted)
        assert found.keys() == set(wanted)

    @pytest.mark.parametrize("removed", [5, 30, 200])
    def test_others_that_end_while_pages_are_read_hide_none(
        self, version: Version, removed: int, connect: Connect, emulator: Emulator
    ) -> None:
        """W2: the pages behind move up."""
        wanted = [launch(emulator, HR, 60 + number, duration=None) for number in range(300)]
        pages = 0

        def happen(request: LoggedRequest) -> None:
            nonlocal pages
            if request.path.endswith("/pending-tasks"):
                pages += 1
                for task in emulator.tasks()[:removed] if pages == 2 else ():
                    emulator.complete(str(task["id"]))

        emulator.on_request(happen)
        found = [task.id for task in connect(version.name).pending()]
        assert set(wanted) <= set(found)
        assert len(found) == len(set(found))

    def test_a_page_that_fails_is_tried_again(
        self, version: Version, connect: Connect, emulator: Emulator
    ) -> None:
        """U7: or those that were read before would be in vain."""
        wanted = [launch(emulator, HR, 60 + number, duration=None) for number in range(200)]
        client = connect(version.name)
        impatient = client.with_retry(replace(client.retry, max_attempts=1))

        def happen(request: LoggedRequest) -> None:
            if request.query.get("offset") == "480" and not any(
                each.status == 503 for each in emulator.requests
            ):
                emulator.fail(503, times=1)

        emulator.on_request(happen)
        assert impatient.find(wanted).keys() == set(wanted)
        assert [request.status for request in api_requests(emulator)].count(503) == 1
        emulator.on_request(None)
        emulator.fail(503, times=1)
        with pytest.raises(ServerError):
            impatient.find(wanted)


@every_version
@pytest.mark.parametrize("duration", [None, 1])
def test_ids_compare_without_case(
    version: Version, duration: float | None, connect: Connect, emulator: Emulator
) -> None:
    """W5."""
    task_id = launch(emulator, HR, 60, id="abcdef" * 5, duration=duration)
    client = connect(version.name)
    given = [task_id.upper(), task_id, f" {task_id.title()} "]
    assert {each: task.id for each, task in client.find(given).items()} == dict.fromkeys(given, task_id)
    assert client.get(task_id.upper()).id == task_id
    assert [task.id for task in client.created_since(ago(10), [task_id.upper()])] == [task_id]


@every_version
def test_an_answer_about_another_task_is_an_error(
    version: Version, connect: Connect, emulator: Emulator
) -> None:
    """A5: something on the way mixes answers up."""
    one, other = launch(emulator, HR, 60, duration=None), launch(emulator, AD, 60, duration=None)
    emulator.override_task(one, id=other)
    client = connect(version.name)
    for call in (client.get, client.clear):
        with pytest.raises(
            UnexpectedPayloadError, match=f"was answered with another task, {other}"
        ) as raised:
            call(one)
        assert raised.value.retryable
    assert len(api_requests(emulator)) >= 2 * 4


@pytest.mark.parametrize("bad", ["bad id/1", "_x", "x" * 200, None, ["a"]], ids=str)
@every_version
def test_a_record_without_a_usable_id_hides_no_other(
    version: Version, bad: object, connect: Connect, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """P3, P4: of three pages, the first has one of them."""
    tasks = [launch(emulator, HR, 9_000 - number, duration=None) for number in range(600)]
    emulator.override_task(tasks[3], id=bad)
    client = connect(version.name)
    for _ in range(2):
        assert [task.id for task in client.pending()] == tasks[:3] + tasks[4:]
    assert len({task.id for task in client.created_since(ago(10_000))}) == 599
    assert caplog.text.count("passed over 1 of 250 entries, which lack what they need") <= 2
    assert "passed over" in caplog.text


@every_version
def test_created_since_reads_no_further_than_wanted(
    version: Version, connect: Connect, emulator: Emulator
) -> None:
    before, old, new, running = (
        launch(emulator, AD, 700, duration=1),
        launch(emulator, AD, 600, duration=None),
        launch(emulator, HR, 300),
        launch(emulator, SAP, 100, duration=None),
    )
    client = connect(version.name)
    found = {task.id: task for task in client.created_since(ago(400), [old])}
    assert found.keys() == {old, new, running}
    assert not found[old].is_complete
    requests = api_requests(emulator)
    assert len(requests) == 2, "the new ones and one by its id, or the pending ones and the new ones"
    assert before not in {task.id for task in client.created_since(ago(650))}


@pytest.mark.parametrize("version", without_pending, ids=lambda version: version.name)
def test_created_since_misses_none_that_ends_in_between(
    version: Version, connect: Connect, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [launch(emulator, AD, seconds, duration=None) for seconds in (3600, 60)]
    client = connect(version.name)

    def end(calls: int) -> None:
        for each in tasks if calls == 1 else ():
            emulator.complete(each)

    between(client, monkeypatch, end)
    found = list(client.created_since(ago(120), tasks[:1]))
    assert sorted(task.id for task in found) == sorted(tasks)


def test_created_since_reads_pages_as_they_are_consumed(connect: Connect, emulator: Emulator) -> None:
    for number in range(600):
        launch(emulator, AD, number)
    tasks = connect().created_since(ago(700))
    newest = next(tasks)
    assert len(api_requests(emulator)) == 1
    rest = list(tasks)
    assert len({newest.id, *(task.id for task in rest)}) == 600
    assert len(api_requests(emulator)) == 3


def test_created_since_refuses_what_is_no_id(connect: Connect, emulator: Emulator) -> None:
    client = connect()
    with pytest.raises(ValueError, match="task_status_ids is one string"):
        client.created_since(ago(1), AD)
    with pytest.raises(ValueError, match="is not an id"):
        client.created_since(ago(1), ["a b"])
    assert emulator.requests == ()
