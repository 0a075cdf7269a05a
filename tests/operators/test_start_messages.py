"""What an error becomes in Airflow: whether it is retried, and as what it is known."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_provider_sptasks.client.errors import (
    AmbiguousError,
    ForbiddenError,
    ServerError,
    SourceNotFoundError,
    SourceNotUniqueError,
    TransportError,
    UploadError,
)
from airflow_provider_sptasks.exceptions import (
    SailPointRequestError,
    SailPointSourceNotFoundError,
    SailPointStartError,
)
from airflow_provider_sptasks.operators._start_messages import airflow_error
from tests.compat import AirflowSensorTimeout

PATH = "/sources/v1/ad/load-accounts"


@pytest.mark.parametrize(
    ("error", "kind", "start"),
    [
        (SourceNotFoundError("named HR"), SailPointSourceNotFoundError, "The tenant has no source named HR"),
        (SourceNotUniqueError("HR", ["a", "b"]), SailPointSourceNotFoundError, "2 sources are named"),
        (UploadError("it can't be read"), SailPointStartError, "Nothing was started. it can't be read"),
        (
            AmbiguousError(TransportError("cut off")),
            AirflowSensorTimeout,
            "The timeout of 1:00:00 has passed:",
        ),
        (
            AmbiguousError(ForbiddenError("GET", "/task-status/v1", 403), "an aggregation was started"),
            SailPointRequestError,
            "Whether an aggregation was started is ambiguous: GET /task-status/v1",
        ),
        (TimeoutError("it runs"), AirflowSensorTimeout, "The timeout of 1:00:00 has passed: it runs"),
        (TransportError("no route"), AirflowSensorTimeout, "The timeout of 1:00:00 has passed: no route"),
        (ServerError("POST", PATH, 503), AirflowSensorTimeout, "The timeout of 1:00:00 has passed: POST"),
        (ForbiddenError("POST", PATH, 403), SailPointRequestError, f"POST {PATH}"),
        (ValueError("file is invalid"), SailPointRequestError, "file is invalid"),
    ],
)
def test_what_an_error_becomes(error: Exception, kind: type[Exception], start: str) -> None:
    made = airflow_error(error, timedelta(hours=1))
    assert type(made) is kind
    assert str(made).startswith(start)
