"""A ready access token instead of credentials."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from airflow_provider_sptasks.client import ClientSettings, RetryPolicy, TaskStatusClient
from airflow_provider_sptasks.client.errors import TransientResponseError, UnauthorizedError
from airflow_provider_sptasks.emulator import Emulator

ONCE = RetryPolicy(max_attempts=1)


def client(tenant: Emulator, token: str, **changes: Any) -> TaskStatusClient:
    return TaskStatusClient(ClientSettings(tenant.url, access_token=token, **changes), retry=ONCE)


def token_of(tenant: Emulator) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": tenant.client_id,
        "client_secret": tenant.client_secret,
    }
    answer = requests.post(f"{tenant.url}/oauth/token", data=form, timeout=5)
    token: str = answer.json()["access_token"]
    tenant.reset_requests()
    return token


def test_is_sent_as_it_is(sailpoint_emulator: Emulator) -> None:
    connected = client(sailpoint_emulator, token_of(sailpoint_emulator))
    assert connected.count_pending() == 0
    assert [request.path for request in sailpoint_emulator.requests] == ["/task-status/v1"]


def test_one_that_has_expired_is_not_renewed(sailpoint_emulator: Emulator) -> None:
    token = token_of(sailpoint_emulator)
    sailpoint_emulator.revoke_tokens()
    connected = client(sailpoint_emulator, token)
    with pytest.raises(UnauthorizedError, match=r"given \(access_token\), so it can't be renewed") as caught:
        connected.count_pending()
    assert token not in str(caught.value)
    assert [request.status for request in sailpoint_emulator.requests] == [401]


def test_a_401_of_something_on_the_way_passes(sailpoint_emulator: Emulator) -> None:
    connected = client(sailpoint_emulator, token_of(sailpoint_emulator))
    sailpoint_emulator.fail(401, kind="html", times=1)
    with pytest.raises(TransientResponseError):
        connected.count_pending()


def test_tokens_share_a_pace_only_where_the_client_is_said(sailpoint_emulator: Emulator) -> None:
    def pacer(token: str, client_id: str = "") -> object:
        return client(sailpoint_emulator, token, client_id=client_id).transport.pacer

    assert pacer("token-of-one") is pacer("token-of-one") is not pacer("token-of-another")
    assert pacer("token-of-one", "c") is pacer("token-of-another", "c")
