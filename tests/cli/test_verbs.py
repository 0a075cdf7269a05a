"""Every verb, in every API version."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sptasks.emulator import Emulator
from tests.cli.conftest import DAY, UNKNOWN, Run, every_version, patched


@pytest.fixture
def tasks(emulator: Emulator) -> dict[str, str]:
    """Tasks by what they are."""
    for number in range(2, 5):
        emulator.add_task(source="HR", launched=-number * DAY, duration=600)
    made = {
        "failed": emulator.add_task(source="AD", launched=-7200, duration=60, outcome="ERROR"),
        "ended": emulator.add_task(source="HR", launched=-5400, duration=720),
        "stuck": emulator.add_task(source="HR", launched=-3600, duration=None),
        "running": emulator.add_task(source="AD", launched=-60, duration=None),
    }
    return {name: task.id for name, task in made.items()}


class Terminal(io.StringIO):
    """Stands for a person at a terminal."""

    def isatty(self) -> bool:
        return True


@every_version
class TestReading:
    def test_list(self, run: Run, tasks: dict[str, str], version: str) -> None:
        given = ("tasks", "list", "--api-version", version, "-o", "json")
        pending = [] if version in ("beta", "v2024") else [tasks["running"], tasks["stuck"]]
        assert run(*given).ids[: len(pending) + 2] == [*pending, tasks["ended"], tasks["failed"]]
        assert run(*given, "--status", "ERROR").ids == [tasks["failed"]]
        assert run(*given, "--id", tasks["ended"]).ids == [tasks["ended"]]
        assert run(*given, "--limit", "1", "--offset", str(len(pending))).ids == [tasks["ended"]]
        assert run(*given, "--pending").ids in (
            [tasks["stuck"], tasks["running"]],  # oldest first, where that list has no order to choose
            [tasks["running"], tasks["stuck"]],
        )

    def test_list_of_a_source(
        self, run: Run, emulator: Emulator, tasks: dict[str, str], version: str
    ) -> None:
        (source,) = (each.id for each in emulator.sources if each.name == "AD")
        answer = run("tasks", "list", "--source-id", source, "--api-version", version, "-o", "json")
        assert tasks["failed"] in answer.ids
        assert tasks["ended"] not in answer.ids

    def test_get(self, run: Run, tasks: dict[str, str], version: str) -> None:
        given = ("tasks", "get", "--api-version", version)
        answer = run(*given, tasks["ended"], tasks["running"], "-o", "json")
        assert (answer.code, answer.ids) == (0, [tasks["ended"], tasks["running"]])
        answer = run(*given, tasks["ended"], UNKNOWN)
        assert answer.code == 5
        assert f"Error: the tenant has no task {UNKNOWN}" in answer.err
        assert tasks["ended"] in answer.out

    def test_pending(self, run: Run, emulator: Emulator, tasks: dict[str, str], version: str) -> None:
        given = ("tasks", "pending", "--api-version", version, "-o", "json")
        assert run(*given).ids == [tasks["stuck"], tasks["running"]]
        assert run(*given, "--limit", "1").ids == [tasks["stuck"]]
        (source,) = (each.id for each in emulator.sources if each.name == "AD")
        assert run(*given, "--source-id", source).ids == [tasks["running"]]

    def test_count(self, run: Run, tasks: dict[str, str], version: str) -> None:
        given = ("tasks", "count", "--api-version", version)
        assert run(*given).out == "2\n"
        assert run(*given, "-o", "json").records == [{"count": 2}]
        assert run(*given, "--status", "ERROR").out == "1\n"

    def test_sources(self, run: Run, tasks: dict[str, str], version: str) -> None:
        given = ("--api-version", version, "-o", "json")
        names = [record["name"] for record in run("sources", "list", *given).records]
        assert names == ["AD", "HR"]
        by_name = {record["name"]: record for record in run("sources", "status", *given).records}
        hr, ad = by_name["HR"], by_name["AD"]
        assert (hr["running"]["id"], hr["last"]["id"]) == (tasks["stuck"], tasks["ended"])
        assert (hr["lastSuccess"]["id"], hr["lastFailure"]) == (tasks["ended"], None)
        assert (hr["ended"], hr["succeeded"], hr["usualDuration"]) == (4, 4, 600)
        assert (ad["lastFailure"]["id"], ad["lastSuccess"], ad["usualDuration"]) == (
            tasks["failed"],
            None,
            None,
        )
        (only,) = run("sources", "status", "--source-name", "hr", "--since", "3h", *given).records
        assert (only["name"], only["ended"]) == ("HR", 1)

    def test_whoami(self, run: Run, emulator: Emulator, version: str) -> None:
        answer = run("whoami", "--api-version", version, "-o", "json")
        assert answer.code == 0
        (record,) = answer.records
        assert record["tenant"] == emulator.url
        assert record["apiVersion"] == version
        assert set(record["may"].values()) == {True}
        assert emulator.client_secret not in answer.out + answer.err


@every_version
class TestChanging:
    def test_wait(self, run: Run, tasks: dict[str, str], version: str) -> None:
        given = ("tasks", "wait", "--api-version", version, "-o", "json")
        answer = run(*given, tasks["ended"])
        assert (answer.code, answer.ids) == (0, [tasks["ended"]])
        answer = run(*given, tasks["failed"], "--accept", "SUCCESS")
        assert answer.code == 1
        assert "ended with ERROR" in answer.err
        assert run(*given, tasks["failed"], "--accept", "any").code == 0
        assert run(*given, UNKNOWN, "--not-found-grace", "0").code == 5
        late = ("--source-name", "hr", "--launched-after", "70m", "--timeout", "0.5s", "--interval", "0.2s")
        assert run(*given, *late).code == 3

    def test_wait_for_what_runs(self, run: Run, emulator: Emulator, version: str) -> None:
        task = emulator.add_task(source="HR", duration=0.5)
        answer = run(
            "tasks",
            "wait",
            "--source-name",
            "HR",
            "--interval",
            "0.2s",
            "--api-version",
            version,
            "-o",
            "json",
        )
        assert (answer.code, answer.ids) == (0, [task.id])
        assert "Waiting for the completion of the aggregation (accounts) of HR" in answer.err

    def test_clear(self, run: Run, emulator: Emulator, tasks: dict[str, str], version: str) -> None:
        given = ("tasks", "clear", "--api-version", version, "-o", "json", "--older-than", "10m")
        answer = run(*given, "--dry-run")
        assert [(record["outcome"], record["id"]) for record in answer.records] == [
            ("would_clear", tasks["stuck"])
        ]
        assert run(*given).code == 2, "there is no terminal to ask at"
        assert patched(emulator) == []
        answer = run(*given, "--yes")
        assert (answer.code, answer.records[0]["outcome"]) == (0, "cleared")
        assert patched(emulator) == [tasks["stuck"]]
        answer = run(*given[:-2], tasks["stuck"], UNKNOWN, "--yes")
        assert [record["outcome"] for record in answer.records] == ["already_complete", "not_found"]
        assert answer.code == 5

    def test_clear_what_runs_longer_than_usual(
        self, run: Run, emulator: Emulator, tasks: dict[str, str], version: str
    ) -> None:
        answer = run(
            "tasks", "clear", "--stuck-factor", "3", "--dry-run", "--api-version", version, "-o", "json"
        )
        (record,) = answer.records
        assert (record["id"], record["usual"]) == (tasks["stuck"], 600)
        assert f"({tasks['running']}): its usual duration is unknown" in answer.err
        table = run("tasks", "clear", UNKNOWN, tasks["stuck"], "--stuck-factor", "3", "--dry-run")
        assert table.code == 5
        assert "0:10:00" in table.out

    def test_update(self, run: Run, emulator: Emulator, tasks: dict[str, str], version: str) -> None:
        given = ("tasks", "update", tasks["stuck"], "--api-version", version)
        changes = ("--set", "/completionStatus=Error", "--set", "/completed=2026-03-01T06:00:00.000Z")
        assert run(*given, *changes, "--dry-run").code == 0
        assert run(*given, *changes).code == 2
        assert patched(emulator) == []
        answer = run(*given, *changes, "--yes", "-o", "json")
        assert (answer.code, answer.records[0]["completionStatus"]) == (0, "ERROR")
        assert patched(emulator) == [tasks["stuck"]]

    def test_aggregate(self, run: Run, emulator: Emulator, version: str) -> None:
        emulator.add_source("HR", duration=0.3)
        given = ("aggregate", "--source-name", "hr", "--api-version", version, "-o", "json")
        assert run(*given, "--dry-run").code == 0
        assert run(*given).code == 2
        assert not emulator.started
        answer = run(*given, "--yes", "--interval", "0.2s")
        assert answer.code == 0
        assert answer.ids == [each.id for each in emulator.started]


class TestAggregate:
    @pytest.mark.parametrize(("if_running", "code"), [("fail", 1), ("skip", 99)])
    def test_another_one_runs(self, run: Run, emulator: Emulator, if_running: str, code: int) -> None:
        other = emulator.add_task(source="HR", duration=None)
        answer = run("aggregate", "--source-name", "HR", "--if-running", if_running, "--yes")
        assert answer.code == code
        assert "runs, since" in answer.err
        assert other.id in answer.err
        assert emulator.started == ()

    def test_attach(self, run: Run, emulator: Emulator) -> None:
        other = emulator.add_task(source="HR", duration=None)
        answer = run("aggregate", "--source-name", "HR", "--if-running", "attach", "--no-wait", "--yes")
        assert (answer.code, answer.out) == (0, f"{other.id}\n")
        assert "attached to it" in answer.err

    def test_wait_for_its_turn(self, run: Run, emulator: Emulator) -> None:
        other = emulator.add_task(source="HR", duration=0.5)
        answer = run("aggregate", "--source-name", "HR", "--no-wait", "--yes", "--interval", "0.2s")
        assert answer.code == 0
        assert answer.out.strip() == emulator.started[0].id != other.id

    def test_another_one_runs_until_the_timeout(self, run: Run, emulator: Emulator) -> None:
        other = emulator.add_task(source="HR", duration=None)
        answer = run("aggregate", "--source-name", "HR", "--yes", "--interval", "0.2s", "--timeout", "1s")
        assert answer.code == 3
        assert f"Error: The timeout has passed: {other.id} has not ended" in answer.err
        assert emulator.started == ()

    def test_it_ends_with_another_status(self, run: Run, emulator: Emulator) -> None:
        emulator.add_source("HR", duration=0.1, outcome="ERROR")
        answer = run("aggregate", "--source-name", "HR", "--yes", "--interval", "0.2s")
        assert answer.code == 1
        assert "ended with ERROR" in answer.err

    def test_a_file(self, run: Run, emulator: Emulator, tmp_path: Path) -> None:
        file = tmp_path / "accounts.csv"
        file.write_text("id,name\n1,a\n")
        emulator.add_source("CSV", delimited_file=True, duration=0.1)
        answer = run("aggregate", "--source-name", "CSV", "--file", str(file), "--yes", "--interval", "0.2s")
        assert answer.code == 0
        assert len(emulator.uploads) == 1

    def test_an_id_takes_no_right_to_read_sources(
        self, run: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = emulator.add_source("HR", duration=0.1)
        added = emulator.add_credential(scopes=["idn:sources:manage", "idn:task-management:read"])
        monkeypatch.setenv("SAIL_CLIENT_ID", added.client_id)
        monkeypatch.setenv("SAIL_CLIENT_SECRET", added.client_secret)
        answer = run("aggregate", source.id, "--yes", "--interval", "0.2s")
        assert answer.code == 0
        assert len(emulator.started) == 1


class TestConfirmation:
    @pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("YES\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
    def test_clear(
        self,
        run: Run,
        emulator: Emulator,
        tasks: dict[str, str],
        monkeypatch: pytest.MonkeyPatch,
        answer: str,
        code: int,
    ) -> None:
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        ended = run("tasks", "clear", "--older-than", "10m")
        assert ended.code == code
        assert f"({tasks['stuck']}): running for 1:00:0" in ended.err
        assert f"1 pending tasks get the status Error. At {emulator.url}. Go on? [y/N]" in ended.err
        assert patched(emulator) == ([tasks["stuck"]] if code == 0 else [])


class TestUpdate:
    @pytest.mark.parametrize("how", ["argument", "file", "input"])
    def test_operations(
        self,
        run: Run,
        emulator: Emulator,
        tasks: dict[str, str],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        how: str,
    ) -> None:
        operations = json.dumps([{"op": "replace", "path": "/completionStatus", "value": "Error"}])
        file = tmp_path / "patch.json"
        file.write_text(operations)
        monkeypatch.setattr("sys.stdin", io.StringIO(operations))
        given = {"argument": operations, "file": f"@{file}", "input": "-"}[how]
        assert run("tasks", "update", tasks["stuck"], "--patch", given, "--yes").code == 0
        assert json.loads(emulator.requests[-1].body) == json.loads(operations)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "There is nothing to change"),
            (["--set", "completionStatus=Error"], "is not PATH=VALUE"),
            (["--set", "/completionStatus"], "is not PATH=VALUE"),
            (["--patch", "{"], "--patch is not JSON"),
            (["--patch", "{}"], "is not a list of operations"),
            (["--patch", "@/nowhere"], "No such file"),
        ],
    )
    def test_wrong_use(self, run: Run, emulator: Emulator, arguments: list[str], message: str) -> None:
        answer = run("tasks", "update", UNKNOWN, *arguments, "--yes")
        assert answer.code == 2
        assert message in answer.err
        assert not emulator.requests


class TestWhoami:
    @pytest.mark.parametrize(
        ("credential", "may"),
        [
            ({"scopes": ["idn:task-management:read"]}, [True, True, False, False]),
            ({"scopes": ["idn:task-management:read", "idn:sources:read"]}, [True, True, True, False]),
            ({"scopes": ["idn:sources:read"]}, [False, False, True, False]),
            (
                {"scopes": ["idn:task-management:read", "idn:task-management:write"], "user": False},
                [True, True, False, False],
            ),
        ],
    )
    def test_rights(
        self,
        run: Run,
        emulator: Emulator,
        monkeypatch: pytest.MonkeyPatch,
        credential: dict[str, Any],
        may: list[bool],
    ) -> None:
        added = emulator.add_credential(**credential)
        monkeypatch.setenv("SAIL_CLIENT_ID", added.client_id)
        monkeypatch.setenv("SAIL_CLIENT_SECRET", added.client_secret)
        answer = run("whoami", "-o", "json")
        (record,) = answer.records
        assert list(record["may"].values()) == may
        assert record["why"].keys() == {name for name, allowed in record["may"].items() if not allowed}
        assert answer.code == (0 if may[0] else 4)


def test_list_says_that_there_are_more(run: Run, tasks: dict[str, str]) -> None:
    assert "There are more than 2: see --limit." in run("tasks", "list", "--limit", "2").err
    assert run("tasks", "list").err == ""


def test_raw_is_what_came(run: Run, emulator: Emulator) -> None:
    task = emulator.add_task(launched=-60, duration=1, fields={"odd": {"deep": [1]}})
    for verb in (("get", task.id), ("list",)):
        assert run("tasks", *verb, "--raw", "-o", "json").records[0]["odd"] == {"deep": [1]}
