"""What every answer has in common: JSON, lists, and what an error means."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sptasks.client import http, tasks
from airflow_provider_sptasks.client.errors import (
    APIError,
    BadRequestError,
    ForbiddenError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    TooLongError,
    TransientResponseError,
    UnauthorizedError,
    UnexpectedPayloadError,
)
from airflow_provider_sptasks.client.http import Request, Response

REQUEST = Request("GET", "/task-status/v1")
ONE = Request("GET", "/task-status/v1/1", one_record=True)
HEAD = Request("HEAD", "/beta/task-status/pending-tasks")
TOKEN = http.get_token("/oauth/token", "id", "secret")

DOCUMENTED = json.dumps(
    {"detailCode": "400.1", "trackingId": "e7eab6", "messages": [{"locale": "en-US", "text": "No."}]}
).encode()
MESSAGES = b'{"messages": [{"locale": "en-US", "text": "No."}]}'
PAGE = b"<html>Access denied</html>"
AMAZONS = b'{"message": "Forbidden"}'
CLOUDFLARES = b'{"success": false, "errors": [], "messages": [], "result": null}'
OAUTHS = b'{"error": "invalid_client", "error_description": "Bad client credentials"}'
TRANSIENT = TransientResponseError

WHO_SAYS_IT: list[tuple[Request, int, bytes, type[APIError]]] = [
    # SailPoint's own words are a refusal.
    (REQUEST, 400, DOCUMENTED, BadRequestError),
    (REQUEST, 400, MESSAGES, BadRequestError),
    (REQUEST, 401, b'{"error": "JWT validation failed: JWT is expired"}', UnauthorizedError),
    (REQUEST, 401, b'{"message": "Unauthorized"}', UnauthorizedError),
    (REQUEST, 403, DOCUMENTED, ForbiddenError),
    (REQUEST, 404, DOCUMENTED, NotFoundError),
    (REQUEST, 404, b'{"trackingId": "e7eab6"}', NotFoundError),
    (REQUEST, 405, DOCUMENTED, BadRequestError),
    (REQUEST, 409, DOCUMENTED, BadRequestError),
    # What something on the way says passes.
    *((REQUEST, status, PAGE, TRANSIENT) for status in (400, 401, 403, 404, 405, 409, 410, 418, 451)),
    *((REQUEST, status, b"", TRANSIENT) for status in (400, 401, 403, 404)),
    *((REQUEST, status, b"denied", TRANSIENT) for status in (400, 403, 404)),
    (REQUEST, 403, AMAZONS, TRANSIENT),
    (REQUEST, 404, b'{"error": "Not Found", "status": 404}', TRANSIENT),
    (REQUEST, 403, CLOUDFLARES, TRANSIENT),
    (REQUEST, 400, b'["No."]', TRANSIENT),
    (REQUEST, 400, b"null", TRANSIENT),
    (REQUEST, 400, b'{"detailCode": 4, "trackingId": "", "messages": {"text": "No."}}', TRANSIENT),
    # One record may be refused without a body, and HEAD never has one.
    (ONE, 403, b"", ForbiddenError),
    (ONE, 404, b"", NotFoundError),
    (ONE, 404, b" \r\n", NotFoundError),
    (ONE, 400, b"", TRANSIENT),
    (ONE, 404, PAGE, TRANSIENT),
    (ONE, 403, AMAZONS, TRANSIENT),
    (HEAD, 403, b"", ForbiddenError),
    (HEAD, 404, b"", NotFoundError),
    # The token endpoint speaks OAuth 2.
    (TOKEN, 400, OAUTHS, BadRequestError),
    (TOKEN, 401, OAUTHS, UnauthorizedError),
    (TOKEN, 403, OAUTHS, ForbiddenError),
    (TOKEN, 401, DOCUMENTED, UnauthorizedError),
    *((TOKEN, status, PAGE, TRANSIENT) for status in (400, 401, 403, 404)),
    *((TOKEN, status, b"", TRANSIENT) for status in (400, 401, 403, 404)),
    # A redirect, and what asks for another try, whoever says it.
    *((ONE, status, DOCUMENTED, TRANSIENT) for status in (301, 302, 304, 307, 308, 408, 425)),
    # The size, whoever says it.
    *((REQUEST, status, PAGE, TooLongError) for status in (413, 414, 431)),
    *((REQUEST, status, DOCUMENTED, TooLongError) for status in (413, 414, 431)),
    *(
        (REQUEST, 429, body, RateLimitedError)
        for body in (PAGE, b"", b'{"message": " Rate Limit Exceeded "}')
    ),
    *((REQUEST, status, body, ServerError) for status in (500, 501, 503, 599) for body in (PAGE, DOCUMENTED)),
]
RETRYABLE = (TransientResponseError, RateLimitedError, ServerError)


@pytest.mark.parametrize(("request_", "status", "body", "kind"), WHO_SAYS_IT)
def test_a_refusal_is_sailpoints_own(
    request_: Request, status: int, body: bytes, kind: type[APIError]
) -> None:
    error = http.decode_error(request_, Response(status, {}, body))
    assert type(error) is kind
    assert error.status == status
    assert error.retryable is (kind in RETRYABLE)


@given(st.integers(300, 599), st.binary() | st.sampled_from([b"[" * 10_000, b'{"messages": [7]}']))
def test_any_body_of_an_error_is_tolerated(status: int, body: bytes) -> None:
    error = http.decode_error(REQUEST, Response(status, {}, body))
    assert isinstance(error, APIError)
    assert error.retryable is (status not in (413, 414, 431))  # none of these bodies is SailPoint's
    assert f"GET /task-status/v1 was answered with {status}" in str(error)


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://login.example.com/sso?state=x", "https://login.example.com/sso"),
        ("https://user:pass@login.example.com/sso", "https://login.example.com/sso"),
        ("https://user:p/a@ss@login.example.com/sso", "https://login.example.com/sso"),
        ("//user:pass@login.example.com", "//login.example.com"),
        ("user:pass@login.example.com", "login.example.com"),
        ("/elsewhere#pass", "/elsewhere"),
    ],
)
def test_a_redirect_is_shown_without_its_secrets(location: str, shown: str) -> None:
    error = http.decode_error(REQUEST, Response(302, {"location": location}, b""))
    assert f"Redirects are not followed (to {shown!r})" in str(error)
    assert "pass" not in str(error)


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            (None, None),
            ("", None),
            ("soon", None),
            ("nan", None),
            ("0", None),
            ("-0.0", None),
            ("1e-3", 0.001),
            ("0.5", 0.5),
            ("1", 1.0),
            ("5", 5.0),
            (" 5 ", 5.0),
            ("1199", 1_199.0),
            ("1200", 1_200.0),
            ("1201", 1_200.0),
            ("2.5", 2.5),
            ("-3", None),
            ("-inf", None),
            ("999999999", 1_200.0),
            ("inf", 1_200.0),
            ("Wed, 21 Oct 2015 07:28:00 GMT", None),
            ("Wed, 21 Oct 9015 07:28:00 GMT", 1_200.0),
            ("Wed, 99 Oct 2015 07:28:00 GMT", None),
            ("Wed, 21 Oct 99999999999 07:28:00 GMT", None),
        ],
    )
    def test_forms(self, text: str | None, seconds: float | None) -> None:
        assert http.parse_retry_after(text) == seconds

    @pytest.mark.parametrize("zone", [UTC, None])
    @pytest.mark.parametrize("date", [None, "", "soon"])
    def test_dates(self, zone: Any, date: str | None) -> None:
        """By this machine's clock where the answer has no usable one."""
        moment = datetime.now(UTC) + timedelta(minutes=10)
        seconds = http.parse_retry_after(format_datetime(moment.replace(tzinfo=zone)), date)
        assert seconds is not None
        assert 500 < seconds <= 600

    @pytest.mark.parametrize(
        ("date", "until", "seconds"),
        [
            ("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:07 GMT", 7.0),
            ("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 GMT", None),
            ("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:01 GMT", 1.0),
            ("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:27:00 GMT", None),
            ("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 09:28:07 +0200", 7.0),
            ("Wed, 21 Oct 2015 07:28:00 -0000", "Wed, 21 Oct 2015 07:28:07 GMT", 7.0),
            ("Wed, 21 Oct 9015 07:28:00 GMT", "Wed, 21 Oct 9015 07:28:30 GMT", 30.0),
            ("Wed, 21 Oct 2015 07:28:00 GMT", "20", 20.0),
        ],
    )
    def test_dates_are_measured_by_the_answers_own_clock(
        self, date: str, until: str, seconds: float | None
    ) -> None:
        error = http.decode_error(REQUEST, Response(503, {"date": date, "retry-after": until}, b""))
        assert error.retry_after == seconds

    @given(
        st.text() | st.from_regex(r"\w{3}, \d{1,5} \w{3} \d{1,20} \d\d:\d\d:\d\d [A-Z+]{1,3}\d{0,9}"),
        st.none() | st.text(),
    )
    def test_it_is_always_above_0_and_at_most_a_ban(self, text: str, date: str | None) -> None:
        seconds = http.parse_retry_after(text, date)
        assert seconds is None or 0 < seconds <= 1_200


class TestAnswers:
    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            (b"", "an empty body"),
            (b" \r\n", "an empty body"),
            (b"<html>\n</html>", "an HTML page: is a proxy or a login page on the way?"),
            (b"  <!DOCTYPE html>", "an HTML page"),
            (b'[{"id": "1"', "a body of 11 bytes that is not JSON"),
            (b"\xff\xfe\xfa", "a body of 3 bytes that is not JSON"),
            pytest.param(b"[" * 100_000, "a body of 100000 bytes that is not JSON", id="deep"),
            pytest.param(b"1" * 5_000, "a body of 5000 bytes that is not JSON", id="long number"),
        ],
    )
    def test_a_body_that_is_not_json(self, body: bytes, problem: str) -> None:
        with pytest.raises(UnexpectedPayloadError, match=problem) as caught:
            tasks.decode_page(REQUEST, Response(200, {}, body))
        assert caught.value.retryable
        assert "GET /task-status/v1 was answered with 200" in str(caught.value)
        assert len(str(caught.value)) < 300
        assert caught.value.__cause__ is None

    @pytest.mark.parametrize("body", [b"{}", b'"text"', b"null", b"7"])
    def test_a_list_that_is_none(self, body: bytes) -> None:
        with pytest.raises(UnexpectedPayloadError, match="should be answered with a JSON array") as caught:
            tasks.decode_page(REQUEST, Response(200, {}, body))
        assert caught.value.retryable

    def test_204_is_an_empty_list(self) -> None:
        assert tasks.decode_page(REQUEST, Response(204, {}, b"")).keys == []

    @pytest.mark.parametrize(
        ("status", "headers", "count"),
        [(200, {"x-total-count": "12"}, 12), (204, {"x-total-count": "0"}, 0), (204, {}, 0)],
    )
    def test_count(self, status: int, headers: dict[str, str], count: int) -> None:
        assert http.decode_count(REQUEST, Response(status, headers, b"")) == count

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"x-total-count": ""},
            {"x-total-count": "many"},
            {"x-total-count": "-1"},
            {"x-total-count": "9" * 5_000},
        ],
    )
    def test_no_count(self, headers: dict[str, str]) -> None:
        with pytest.raises(UnexpectedPayloadError, match="without a usable X-Total-Count"):
            http.decode_count(REQUEST, Response(200, headers, b"[]"))
