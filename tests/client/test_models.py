from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sptasks.client import CompletionStatus, TaskKind, TaskStatus
from airflow_provider_sptasks.client.errors import UnexpectedPayloadError
from airflow_provider_sptasks.client.models import MAX_ATTRIBUTES, MAX_MESSAGES
from airflow_provider_sptasks.client.reading import MAX_TEXT

# What an answer of the documentation looks like, its null fields included.
DOCUMENT: Mapping[str, Any] = {
    "id": "id12345",
    "type": "QUARTZ",
    "uniqueName": "Cloud Account Aggregation",
    "description": "Aggregate accounts from Active Directory [source]",
    "parentName": None,
    "launcher": "John Doe",
    "target": {"id": "2c91808475b4334b0175e1dff64b63c5", "type": "APPLICATION", "name": "AD [source]"},
    "created": "2020-07-11T21:23:15.000Z",
    "modified": None,
    "launched": "2020-07-11T21:23:15Z",
    "completed": "2020-07-11T21:53:16.250Z",
    "completionStatus": "SUCCESS",
    "messages": [
        {
            "type": "INFO",
            "localizedText": {"locale": "en-US", "message": "The work was done"},
            "key": "akey",
            "parameters": None,
        }
    ],
    "returns": [{"name": "label", "attributeName": "identityCount"}],
    "attributes": {"identityCount": 0, "total": 12, "optimized": True, "owner": "x", "nested": {"a": 1}},
    "progress": "Completed",
    "percentComplete": 100,
    "taskDefinitionSummary": {
        "id": "2c91808475b4334b0175e1dff64b63c5",
        "uniqueName": "Cloud Account Aggregation",
        "description": "Aggregates from the specified application.",
        "parentName": "Cloud Account Aggregation",
        "executor": "sailpoint.task.ServiceTaskExecutor",
        "arguments": {},
    },
}


def task(**fields: Any) -> TaskStatus:
    return TaskStatus.from_json({**DOCUMENT, **fields})


def test_reads_the_documented_answer() -> None:
    read = task()
    assert read == TaskStatus(
        id="id12345",
        unique_name="Cloud Account Aggregation",
        description="Aggregate accounts from Active Directory [source]",
        launcher="John Doe",
        target_id="2c91808475b4334b0175e1dff64b63c5",
        target_name="AD [source]",
        created=datetime(2020, 7, 11, 21, 23, 15, tzinfo=UTC),
        launched=datetime(2020, 7, 11, 21, 23, 15, tzinfo=UTC),
        completed=datetime(2020, 7, 11, 21, 53, 16, 250_000, tzinfo=UTC),
        completion_status=CompletionStatus.SUCCESS,
        completion_status_text="SUCCESS",
        progress="Completed",
        percent_complete=100,
        messages=("The work was done",),
        attributes={"identityCount": 0, "total": 12, "optimized": True, "owner": "x"},
        kind=TaskKind.ACCOUNTS,
    )
    assert (read.source_id, read.source_name) == ("2c91808475b4334b0175e1dff64b63c5", "AD")
    assert read.duration == timedelta(minutes=30, seconds=1.25)
    assert read.counters == {"identityCount": 0, "total": 12}
    assert read.raw == DOCUMENT
    assert str(read) == "Cloud Account Aggregation of AD (id12345)"
    assert read.outcome() == "Cloud Account Aggregation of AD (id12345) ended with SUCCESS after 0:30:01"


def test_keeps_fields_that_are_not_documented() -> None:
    assert task(newField={"a": [1]}).raw["newField"] == {"a": [1]}


def test_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        task().id = "other"  # type: ignore[misc]


def test_is_hashable() -> None:
    assert len({task(), task(), task(id="other")}) == 2


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("SUCCESS", CompletionStatus.SUCCESS),
        ("Success", CompletionStatus.SUCCESS),
        (" success ", CompletionStatus.SUCCESS),
        ("WARNING", CompletionStatus.WARNING),
        ("ERROR", CompletionStatus.ERROR),
        ("Error", CompletionStatus.ERROR),
        ("TERMINATED", CompletionStatus.TERMINATED),
        ("TEMPERROR", CompletionStatus.TEMPERROR),
        ("TempError", CompletionStatus.TEMPERROR),
        ("TEMP_ERROR", CompletionStatus.TEMPERROR),
        ("temp error", CompletionStatus.TEMPERROR),
        ("UNKNOWN", CompletionStatus.UNKNOWN),
        ("PARTIAL_SUCCESS", CompletionStatus.UNKNOWN),
        ("SUCCESSFUL", CompletionStatus.UNKNOWN),
        ("NOT_SUCCESS", CompletionStatus.UNKNOWN),
        ("0", CompletionStatus.UNKNOWN),
        (7, CompletionStatus.UNKNOWN),
    ],
)
def test_completion_status(text: str | int, status: CompletionStatus) -> None:
    read = task(completionStatus=text)
    assert (read.completion_status, read.completion_status_text) == (status, str(text).strip())
    assert read.is_complete


@pytest.mark.parametrize("text", [None, "", "  "])
def test_is_complete_only_when_the_completion_status_is_set(text: str | None) -> None:
    """``completed`` may be set a moment earlier."""
    read = task(completionStatus=text)
    assert not read.is_complete
    assert read.completed is not None


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2024-05-17T19:33:16.470Z", datetime(2024, 5, 17, 19, 33, 16, 470_000, tzinfo=UTC)),
        ("2024-05-17T19:33:16Z", datetime(2024, 5, 17, 19, 33, 16, tzinfo=UTC)),
        ("2024-05-17T21:33:16+02:00", datetime(2024, 5, 17, 19, 33, 16, tzinfo=UTC)),
        ("2024-05-17T19:33:16.470+0000", datetime(2024, 5, 17, 19, 33, 16, 470_000, tzinfo=UTC)),
        ("2024-05-17T19:33:16.470", datetime(2024, 5, 17, 19, 33, 16, 470_000, tzinfo=UTC)),
        (1_715_974_396_470, datetime(2024, 5, 17, 19, 33, 16, 470_000, tzinfo=UTC)),
        (1_715_974_396_470.0, datetime(2024, 5, 17, 19, 33, 16, 470_000, tzinfo=UTC)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (None, None),
        ("", None),
        ("yesterday", None),
        (True, None),
        (10**30, None),
        (float("nan"), None),
        ("0001-01-01T00:00:00+05:00", None),
        ("1969-12-31T23:59:59Z", None),
        ("2099-01-01T00:00:00Z", datetime(2099, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", None),
        (-1, None),
        ({"time": 1}, None),
    ],
)
def test_times(value: object, moment: datetime | None) -> None:
    read = task(created=value, launched=value, completed=value)
    assert read.created == read.launched == read.completed == moment
    if moment is not None:
        assert read.completed is not None
        assert read.completed.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("created", "launched", "completed", "duration"),
    [
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:10Z", "2024-01-01T00:01:00Z", timedelta(seconds=50)),
        ("2024-01-01T00:00:00Z", None, "2024-01-01T00:01:00Z", timedelta(seconds=60)),
        (None, None, "2024-01-01T00:01:00Z", None),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:10Z", None, None),
    ],
)
def test_duration(
    created: str | None, launched: str | None, completed: str | None, duration: timedelta | None
) -> None:
    assert task(created=created, launched=launched, completed=completed).duration == duration


@pytest.mark.parametrize(
    ("unique_name", "definition", "kind"),
    [
        ("Cloud Account Aggregation", "", TaskKind.ACCOUNTS),
        ("cloud_account_aggregation", "", TaskKind.ACCOUNTS),
        ("Cloud Group Aggregation", "", TaskKind.ENTITLEMENTS),
        ("CLOUD_ENTITLEMENT_IMPORT", "", TaskKind.ENTITLEMENTS),
        ("Cloud Process Uncorrelated Accounts", "", TaskKind.UNCORRELATED_ACCOUNTS),
        ("CLOUD_PROCESS_UNCORRELATED_ACCOUNTS", "", TaskKind.UNCORRELATED_ACCOUNTS),
        ("Cloud Uncorrelated Refresh", "", TaskKind.OTHER),
        ("CLOUD_UNCORRELATED_REFRESH", "", TaskKind.OTHER),
        ("CLOUD_IDENTITY_AGGREGATION", "", TaskKind.OTHER),
        ("Machine Identity Aggregation", "", TaskKind.MACHINE_IDENTITIES),
        ("MACHINE_IDENTITY_DELETION", "", TaskKind.OTHER),
        ("AI Agent Aggregation - Account Aggregation of HR", "", TaskKind.AI_AGENTS),
        ("Dataset Aggregation", "", TaskKind.DATASETS),
        ("Source Application Discovery", "", TaskKind.APPLICATION_DISCOVERY),
        ("APPLICATION_DISCOVERY", "", TaskKind.APPLICATION_DISCOVERY),
        ("Aggregate Active Directory", "Cloud Account Aggregation", TaskKind.ACCOUNTS),
        (None, "Cloud Group Aggregation", TaskKind.ENTITLEMENTS),
        ("Cloud Refresh Role", "Cloud Refresh Role", TaskKind.OTHER),
        ("Account Deletion", "", TaskKind.OTHER),
        (None, None, TaskKind.OTHER),
    ],
)
def test_kind(unique_name: str | None, definition: str | None, kind: TaskKind) -> None:
    read = task(uniqueName=unique_name, taskDefinitionSummary={"uniqueName": definition})
    assert read.kind is kind
    assert TaskStatus.from_json(read.to_json()).kind is kind


def test_the_answer_of_load_accounts() -> None:
    """It has ``name`` for ``uniqueName``, no target, and epoch milliseconds."""
    read = TaskStatus.from_json(
        {
            "id": "ef38f94347e94562b5bb8424a56397d8",
            "type": "QUARTZ",
            "name": "Cloud Account Aggregation",
            "created": 1_715_974_396_470,
            "launched": 1_715_974_396_470,
            "completed": None,
            "completionStatus": None,
            "attributes": {"appId": "2c9180835d191a86015d28455b4a2329"},
        }
    )
    assert (read.unique_name, read.kind) == ("Cloud Account Aggregation", TaskKind.ACCOUNTS)
    assert read.source_id == "2c9180835d191a86015d28455b4a2329"
    assert read.launched == datetime(2024, 5, 17, 19, 33, 16, 470_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("messages", "texts"),
    [
        (None, ()),
        ([], ()),
        ("text", ()),
        ([None, 7, {}], ()),
        (["plain", " "], ("plain",)),
        ([{"localizedText": {"locale": "en", "message": "Text"}, "key": "key"}], ("Text",)),
        ([{"localizedText": None, "parameters": None, "key": "key"}], ("key",)),
        ([{"text": "Text"}], ("Text",)),
        ([{"localizedText": "It must complete first"}], ("It must complete first",)),
    ],
)
def test_messages(messages: object, texts: tuple[str, ...]) -> None:
    assert task(messages=messages).messages == texts


@pytest.mark.parametrize(
    ("value", "percent"),
    [
        (42, 42),
        (42.9, 42),
        (101, 100),
        (-1, 0),
        (1e20, None),
        (2**64, None),
        ("42", 42),
        (None, None),
        ("half", None),
        (True, None),
        ([], None),
        pytest.param(10**400, None, id="huge"),
    ],
)
def test_percent(value: object, percent: int | None) -> None:
    assert task(percentComplete=value).percent_complete == percent


@pytest.mark.parametrize("payload", [None, [], "id", 7, [{"id": "1"}]])
def test_refuses_what_is_no_object(payload: object) -> None:
    with pytest.raises(UnexpectedPayloadError, match="should be a JSON object"):
        TaskStatus.from_json(payload)


@pytest.mark.parametrize(
    "task_id", [None, "", " ", [], {}, True, "bad id/1", "_x", "null", pytest.param("x" * 129, id="long")]
)
def test_refuses_what_has_no_id(task_id: object) -> None:
    with pytest.raises(UnexpectedPayloadError, match="id"):
        task(id=task_id)


def test_writes_small_json() -> None:
    written = task().to_json()
    assert written == {
        "id": "id12345",
        "kind": "accounts",
        "uniqueName": "Cloud Account Aggregation",
        "description": "Aggregate accounts from Active Directory [source]",
        "launcher": "John Doe",
        "target": {"id": "2c91808475b4334b0175e1dff64b63c5", "name": "AD [source]"},
        "created": "2020-07-11T21:23:15.000Z",
        "launched": "2020-07-11T21:23:15.000Z",
        "completed": "2020-07-11T21:53:16.250Z",
        "duration": 1801.25,
        "completionStatus": "SUCCESS",
        "progress": "Completed",
        "percentComplete": 100,
        "messages": ["The work was done"],
        "attributes": {"identityCount": 0, "total": 12, "optimized": True, "owner": "x"},
    }


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Success", "SUCCESS"),
        ("temp_error", "TEMPERROR"),
        ("Odd", "Odd"),
        ("UNKNOWN", "UNKNOWN"),
        (None, None),
    ],
)
def test_writes_documented_statuses_as_documented(text: str | None, written: str | None) -> None:
    assert task(completionStatus=text).to_json()["completionStatus"] == written


def test_cuts_what_is_long() -> None:
    written = task(
        messages=["m" * 1_000] * 50,
        description="d" * 10_000,
        attributes={f"a{n}": "v" * 1_000 for n in range(200)},
    ).to_json()
    assert written["messages"] == ["m" * (MAX_TEXT - 1) + "…"] * MAX_MESSAGES
    assert written["description"] == "d" * (MAX_TEXT - 1) + "…"
    assert list(written["attributes"]) == [f"a{n}" for n in range(MAX_ATTRIBUTES)]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda task: pickle.loads(pickle.dumps(task))])
def test_survives_copies(again: Callable[[TaskStatus], TaskStatus]) -> None:
    assert again(task()) == task()
    assert again(task()).raw == task().raw


TEXTS = st.text() | st.sampled_from(["", " x ", "SUCCESS", "Temp_Error", "m" * 600, "\ud800"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**18), 1_715_974_396_470])
    | st.floats()
    | TEXTS
    | st.datetimes().map(lambda moment: moment.isoformat())
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(TEXTS, inner, max_size=6),
    max_leaves=12,
)
# Most fields with the right shape half of the time, so that it isn't the first odd one that decides.
OBJECTS = st.fixed_dictionaries(
    {"id": JSON | st.just("1")},
    optional={
        "completionStatus": JSON | TEXTS,
        "uniqueName": JSON,
        "name": JSON,
        "kind": JSON | st.sampled_from(["accounts", "entitlements"]),
        "taskDefinitionSummary": JSON | st.just({"uniqueName": "Cloud Account Aggregation"}),
        "target": JSON | st.fixed_dictionaries({"id": JSON, "name": JSON}),
        "created": JSON,
        "launched": JSON | st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
        "completed": JSON | st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
        "messages": JSON | st.lists(JSON, max_size=20),
        "attributes": JSON | st.dictionaries(TEXTS | st.text(min_size=501), LEAVES),
        "progress": JSON,
        "percentComplete": JSON,
        "description": JSON,
    },
)


@given(OBJECTS | JSON)
def test_tolerates_any_json(payload: object) -> None:
    try:
        read = TaskStatus.from_json(payload)
    except UnexpectedPayloadError as error:
        read, message = None, str(error)
    if read is None:
        assert len(message) < 500
        return
    assert read.is_complete == (read.completion_status is not None)
    assert str(read).endswith(f"({read.id})")
    assert read.outcome().startswith(f"{read} ended with ")
    assert all(read.attributes[name] == value for name, value in read.counters.items())
    assert hash(read) == hash(TaskStatus.from_json(payload))


@given(OBJECTS)
def test_what_is_written_is_small_json_and_reads_the_same(payload: object) -> None:
    try:
        read = TaskStatus.from_json(payload)
    except UnexpectedPayloadError:
        return
    written = read.to_json()
    text = json.dumps(written, allow_nan=False, ensure_ascii=False)
    assert text.encode()
    assert "\\u0000" not in text, "PostgreSQL stores no NUL"
    # Escaped, a character takes up to 12 bytes.
    assert len(text) < 12 * (MAX_TEXT + 20) * (10 + MAX_MESSAGES + 2 * MAX_ATTRIBUTES)
    again = TaskStatus.from_json(json.loads(text))
    assert again.to_json() == written
    assert (again.id, again.kind, again.is_complete) == (read.id, read.kind, read.is_complete)
    assert again.completion_status is read.completion_status
