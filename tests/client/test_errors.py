"""What an error says, and what it is called."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from airflow_provider_sptasks.client import TaskStatusClient
from airflow_provider_sptasks.client.errors import (
    AggregationRunningError,
    AmbiguousError,
    APIError,
    BadRequestError,
    ForbiddenError,
    NotFoundError,
    NotSentError,
    RateLimitedError,
    SailPointError,
    ServerError,
    SourceNotFoundError,
    SourceNotUniqueError,
    TooLongError,
    TransientResponseError,
    TransportError,
    UnauthorizedError,
    UnexpectedPayloadError,
    UploadError,
)
from airflow_provider_sptasks.emulator import Emulator
from tests.client.conftest import Connect, Waits, api_requests

ID = "a" * 32
PATH = f"/task-status/v1/{ID}"


def body(*messages: tuple[str, str]) -> str:
    return json.dumps(
        {
            "detailCode": "400.1 Bad Request Content",
            "trackingId": "e7eab60924f64aa284175b9fa3309599",
            "messages": [
                {"locale": locale, "localeOrigin": "DEFAULT", "text": text} for locale, text in messages
            ],
            "causes": [],
        }
    )


@dataclass(frozen=True)
class Answer:
    """An answer, and the error that it should become; ``message`` is all of its text."""

    name: str
    status: int
    body: str | bytes
    kind: type[APIError]
    message: str
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)


DETAILS = ": 400.1 Bad Request Content The text (trackingId e7eab60924f64aa284175b9fa3309599)"
ANSWERS = [
    Answer("documented", 400, body(("en-US", "The text")), BadRequestError, f"400{DETAILS}"),
    Answer(
        "English first",
        400,
        body(("de-DE", "Der Text"), ("en-US", "The text")),
        BadRequestError,
        f"400{DETAILS}",
    ),
    Answer(
        "no English",
        400,
        body(("de-DE", "Der Text")),
        BadRequestError,
        f"400{DETAILS.replace('The text', 'Der Text')}",
    ),
    Answer("no messages", 400, body(), BadRequestError, f"400{DETAILS.replace(' The text', '')}"),
    Answer("no body", 404, b"", NotFoundError, "404"),
    Answer(
        "HTML",
        404,
        b"<html>",
        TransientResponseError,
        "404: an HTML page, which a proxy on the way may have sent",
    ),
    Answer("text", 409, b"conflict", TransientResponseError, "409"),
    Answer("array", 400, b'["text"]', TransientResponseError, "400"),
    Answer("odd shapes", 400, b'{"detailCode": 4, "messages": {"a": 1}}', TransientResponseError, "400"),
    Answer("odd messages", 400, b'{"messages": [null, {"text": null}]}', BadRequestError, "400"),
    Answer("size", 414, b"<html>", TooLongError, "414: an HTML page, which a proxy on the way may have sent"),
    Answer(
        "rate limit",
        429,
        b'{"message": " Rate Limit Exceeded "}',
        RateLimitedError,
        "429: Rate Limit Exceeded",
        headers={"Retry-After": "7"},
    ),
    Answer("5xx", 502, b"", ServerError, "502"),
    Answer(
        "401",
        401,
        b'{"error": "JWT validation failed: JWT is expired"}',
        UnauthorizedError,
        "401: JWT validation failed: JWT is expired",
    ),
    Answer(
        "403 on GET",
        403,
        b"",
        ForbiddenError,
        "403. Check that the credentials have the scope idn:task-management:read",
    ),
    Answer(
        "403 on PATCH",
        403,
        body(("en-US", "The text")).replace("400.1 Bad Request Content", "403 Forbidden"),
        ForbiddenError,
        f"403{DETAILS.replace('400.1 Bad Request Content', '403 Forbidden')}. Changing a task needs a "
        "personal access token of a user with the scope idn:task-management:write",
        method="PATCH",
    ),
    Answer(
        "redirect",
        302,
        b"",
        TransientResponseError,
        "302. Redirects are not followed (to 'https://login.example.com/sso'): "
        "check the connection's Tenant (host)",
        headers={"Location": "https://login.example.com/sso?state=x"},
    ),
    Answer(
        "redirect of a PATCH",
        307,
        b"",
        TransientResponseError,
        "307. Redirects are not followed (to '/elsewhere'): check the connection's Tenant (host)",
        method="PATCH",
        headers={"Location": "/elsewhere"},
    ),
]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name)
def test_answers(answer: Answer, client: TaskStatusClient, emulator: Emulator) -> None:
    emulator.fail(answer.status, body=answer.body, headers=answer.headers)
    with pytest.raises(SailPointError) as caught:
        client.get(ID) if answer.method == "GET" else client.update(ID, [])
    error = caught.value
    assert type(error) is answer.kind
    assert str(error) == f"{answer.method} {PATH} was answered with {answer.message}"
    assert isinstance(error, APIError)
    assert (error.method, error.path, error.status) == (answer.method, PATH, answer.status)
    assert error.retryable is issubclass(answer.kind, (RateLimitedError, ServerError, TransientResponseError))
    # Tried again: 401 once with a new token, transient errors as often as the policy says, the rest never.
    tries = {401: 2}.get(answer.status, 4 if error.retryable else 1)
    assert [(each.method, each.path) for each in api_requests(emulator)] == [(answer.method, PATH)] * tries


def test_attributes(client: TaskStatusClient, emulator: Emulator) -> None:
    emulator.fail(400, body=body(("en-US", "The text")), headers={"Retry-After": "3"})
    with pytest.raises(BadRequestError) as caught:
        client.get(ID)
    assert caught.value.detail_code == "400.1 Bad Request Content"
    assert caught.value.text == "The text"
    assert caught.value.tracking_id == "e7eab60924f64aa284175b9fa3309599"
    assert caught.value.retry_after == 3.0


def test_long_texts_are_cut(client: TaskStatusClient, emulator: Emulator) -> None:
    emulator.fail(400, body=body(("en-US", "x" * 100_000)))
    with pytest.raises(BadRequestError) as caught:
        client.get(ID)
    assert len(str(caught.value)) < 1_000


def test_an_error_has_no_query(client: TaskStatusClient, emulator: Emulator) -> None:
    """A filter of 200 ids would bury the message."""
    emulator.fail(404)
    with pytest.raises(NotFoundError) as caught:
        client.find([ID])
    assert str(caught.value).startswith("GET /task-status/v1 was answered with 404: 404 Not found ")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"<html>", "and an HTML page: is a proxy or a login page on the way"),
        (b"", "and an empty body"),
        (b"\x00\x01", "and a body of 2 bytes that is not JSON"),
        (b"null", r"should be a JSON object, not NoneType"),
        (b"[]", "should be a JSON object, not list of 0 items"),
        (b'{"status": "ok"}', r"without a usable id came: NoneType None in a dict of 1 fields \(status\)"),
    ],
)
def test_an_answer_of_another_shape(
    body: bytes, problem: str, client: TaskStatusClient, emulator: Emulator
) -> None:
    """Tried again, since the tenant never sends it."""
    # An empty body stands for the usual one, where a fault answers with a status.
    emulator.fail(200, kind="status" if body else "empty", body=body or None)
    with pytest.raises(UnexpectedPayloadError, match=problem):
        client.get(ID)
    assert len(api_requests(emulator)) == 4


@pytest.mark.parametrize("version", ["beta", "v1"])
def test_a_count_without_its_header(version: str, connect: Connect, emulator: Emulator) -> None:
    emulator.fail(200, kind="empty")
    with pytest.raises(UnexpectedPayloadError, match="without a usable X-Total-Count"):
        connect(version).count_pending()
    assert len(api_requests(emulator)) == 4


class TestTransport:
    def test_no_server_listens(self, connect: Connect, emulator: Emulator, waits: Waits) -> None:
        client = connect()
        emulator.stop()
        with pytest.raises(TransportError) as caught:
            client.get(ID)
        assert caught.value.retryable
        text = str(caught.value)
        assert text.startswith(f"POST /oauth/token at {emulator.url.removeprefix('http://')} got no answer: ")
        assert "refused" in text
        assert "object at 0x" not in text
        assert len(waits.seconds) == 3

    def test_dropped(self, client: TaskStatusClient, emulator: Emulator) -> None:
        emulator.fail(kind="drop")
        with pytest.raises(TransportError, match=f"GET {PATH} at 127.0.0.1:.* got no answer: ") as caught:
            client.get(ID)
        assert caught.value.retryable
        assert len(api_requests(emulator)) == 4

    def test_truncated(self, client: TaskStatusClient, emulator: Emulator) -> None:
        emulator.add_task(ID)
        emulator.fail(kind="truncate")
        with pytest.raises(TransportError, match="got no answer: ProtocolError: IncompleteRead"):
            client.get(ID)
        assert len(api_requests(emulator)) == 4

    def test_too_late(self, connect: Connect, emulator: Emulator) -> None:
        emulator.add_task(ID)
        emulator.fail(kind="delay", delay=0.4)
        with pytest.raises(TransportError, match=r"got no answer: ReadTimeout: .*timed out"):
            connect(timeout=0.1).get(ID)


@pytest.mark.parametrize(
    ("error", "retryable", "message"),
    [
        (TransportError("No answer"), True, "No answer"),
        (TransportError("No answer", retryable=False), False, "No answer"),
        (NotSentError("Not sent", retry_after=7.0), True, "Not sent"),
        (UnexpectedPayloadError("HTML"), True, "HTML"),
        (
            AmbiguousError(UnexpectedPayloadError("HTML")),
            False,
            "Whether SailPoint acted on a request is ambiguous: HTML",
        ),
        (AggregationRunningError("s1", "Wait."), False, "No aggregation of source s1 was started: Wait."),
        (
            AggregationRunningError("s1", None),
            False,
            "No aggregation of source s1 was started: the answer names no task, which means that another "
            "aggregation runs",
        ),
        (
            SourceNotFoundError("named 'HR'"),
            False,
            "The tenant has no source named 'HR', or the credentials may not see it",
        ),
        (
            SourceNotUniqueError("HR", ["s1", "s2"]),
            False,
            "2 sources are named 'HR': give the id of one instead (s1, s2)",
        ),
        (UploadError("No such file"), False, "No such file"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_whether_trying_again_can_help(error: SailPointError, retryable: bool, message: str) -> None:
    assert error.retryable is retryable
    assert error.retry_after == (7.0 if isinstance(error, NotSentError) else None)
    assert str(error) == message


def test_the_tree() -> None:
    """The module's docstring is the hierarchy."""
    import airflow_provider_sptasks.client.errors as module

    text = module.__doc__ or ""
    tree = text.partition(".. code-block:: text\n")[2].partition("\n\nA refusal")[0]
    named = {line.strip().partition(":")[0] for line in tree.splitlines()}
    defined = {name for name, value in vars(module).items() if isinstance(value, type)}
    assert named - {""} == defined
    for name in defined - {"SailPointError"}:
        assert issubclass(getattr(module, name), SailPointError)
