"""
The page in Airflow's UI: what runs at SailPoint, what failed, and what waits for it.

Every component of Airflow imports this, so it imports next to nothing: the application is built when the
first request comes, in the api-server.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

Message = MutableMapping[str, Any]


class LazyApplication:
    """An ASGI application that is built when the first request comes."""

    def __init__(self) -> None:
        self._application: Any = None
        self._lock = threading.Lock()

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Serve a request."""
        if self._application is None:
            import asyncio

            await asyncio.to_thread(self._build)
        await self._application(scope, receive, send)

    def _build(self) -> None:
        with self._lock:
            if self._application is None:
                from airflow_provider_sptasks.plugin.app import build

                self._application = build()


class SailPointPlugin(AirflowPlugin):
    """Adds the page to Airflow's UI, from Airflow 3.1 on; ``[sailpoint] page = False`` leaves it out."""

    name = "sailpoint"


if conf.getboolean("sailpoint", "page", fallback=True):
    SailPointPlugin.fastapi_apps = [
        {"app": LazyApplication(), "url_prefix": "/sailpoint", "name": "SailPoint"},
    ]
    SailPointPlugin.external_views = [
        {
            "name": "SailPoint",
            # Without a slash ahead, so that it is below the path of Airflow's base URL.
            "href": "sailpoint/page/",
            "url_route": "sailpoint",
            "destination": "nav",
            "category": "browse",
        },
    ]
