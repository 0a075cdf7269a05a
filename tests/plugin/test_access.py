"""Who may read and change, where roles have one right without the other, as roles of one's own can in FAB."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import HTTPException

from airflow_provider_sptasks.plugin import access


class Rights:
    """Stands for an auth manager in which a user has certain rights."""

    def __init__(self, rights: set[str]) -> None:
        self._rights = rights

    def is_authorized_view(self, **_: Any) -> bool:
        return "view" in self._rights

    def is_authorized_connection(self, *, method: str, **_: Any) -> bool:
        return method in self._rights


@pytest.mark.parametrize(
    ("rights", "by_connection", "by_view", "change"),
    [
        (set(), False, False, False),
        ({"view"}, False, True, False),
        ({"GET"}, True, True, False),
        ({"PUT"}, False, False, True),
        ({"view", "PUT"}, False, True, True),
        ({"GET", "PUT"}, True, True, True),
    ],
)
def test_opening_the_page_to_viewers_takes_nothing_from_others(
    monkeypatch: pytest.MonkeyPatch, rights: set[str], by_connection: bool, by_view: bool, change: bool
) -> None:
    user: Any = "someone"
    monkeypatch.setattr(access, "get_auth_manager", lambda: Rights(rights))
    assert access.may(user, "acme") is by_connection
    assert access.may(user, "acme", change=True) is change
    monkeypatch.setenv("AIRFLOW__SAILPOINT__PAGE_READERS", "view")
    assert access.may(user, "acme") is by_view
    assert access.may(user, "acme", change=True) is change
    if by_view:
        access.requires_view_or_connection("acme", user)
    else:
        with pytest.raises(HTTPException, match="403"):
            access.requires_view_or_connection("acme", user)
