"""What one trigger wants to know from the poller, and the updates that it has not read yet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from airflow_provider_sptasks.client.errors import SailPointError
from airflow_provider_sptasks.waiting.queries import Answers, Query

if TYPE_CHECKING:
    from airflow_provider_sptasks.client.settings import ClientSettings
    from airflow_provider_sptasks.triggers._poller import Poller


class ConnectionChangedError(Exception):
    """The Airflow connection leads to another tenant, client id or API version than it did."""


@dataclass(slots=True)
class Update:
    """
    What is new for one subscription.

    :param answers: answers that are new or have changed
    :param error: why something could not be asked, where that is so
    """

    answers: Answers = field(default_factory=dict)
    error: SailPointError | None = None


class Subscription:
    """
    What one trigger wants to know. Made by :func:`~airflow_provider_sptasks.triggers._poller.subscribe`.

    Leaving its context closes it. There may be ten thousand, so each holds as little as it can.

    :param poller: who asks
    :param interval: maximum seconds between two polls of a query
    :param connection: the Airflow connection and the API version that was asked for
    """

    __slots__ = ("_error", "_future", "_poller", "_update", "_watched", "connection", "interval")

    def __init__(self, poller: Poller, interval: float, connection: tuple[str, str | None]) -> None:
        self.interval = interval
        self.connection = connection
        self._poller = poller
        self._watched: dict[Query, float] = {}
        self._update: Update | None = None
        self._error: BaseException | None = None
        self._future: asyncio.Future[None] | None = None

    @property
    def watched(self) -> Iterable[Query]:
        """The queries whose answers it gets."""
        return self._watched

    @property
    def fails(self) -> bool:
        """Whether one of its queries can't be asked at present."""
        return any(self._poller.fails(query) for query in self._watched)

    @property
    def settings(self) -> ClientSettings:
        """The settings that its queries are asked with at present."""
        return self._poller.settings

    def watch(self, queries: Iterable[Query]) -> None:
        """
        Get the answers to these queries from now on, and to no others.

        The first answer to a new one comes from a request that is sent after this, as a poke's would.

        :param queries: the queries
        """
        wanted = dict.fromkeys(queries)
        for query in [each for each in self._watched if each not in wanted]:
            del self._watched[query]
            self._poller.remove(self, query)
        now = asyncio.get_running_loop().time()
        for query in wanted:
            if query not in self._watched:
                self._watched[query] = now
                self._poller.add(self, query)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Get no answers any more."""
        self.watch(())
        self._poller.close_subscription(self)

    async def update(self, seconds: float | None = None) -> Update | None:
        """
        Wait for an update.

        :param seconds: for how long; ``None`` for as long as it takes
        :return: ``None`` where none came in time
        :raises SailPointError: the tenant refuses, and goes on to do so
        :raises ConnectionChangedError: the connection leads to another tenant now
        """
        while self._update is None and self._error is None:
            self._future = asyncio.get_running_loop().create_future()
            if seconds is None:
                await self._future
                continue
            try:
                async with asyncio.timeout(seconds):
                    await self._future
            except TimeoutError:
                return None
        if self._error is not None:
            raise self._error
        update, self._update = self._update, None
        return update

    def is_new(self, query: Query, asked_at: float) -> bool:
        """
        Whether it has had no answer yet to a query.

        :param query: a query that it watches
        :param asked_at: when the request of the latest answer was sent
        """
        return self._watched[query] > asked_at

    def answer(self, query: Query, answer: object) -> None:
        """Hand it an answer that is new or has changed; whoever waits for it is not woken yet."""
        self._pending().answers[query] = answer

    def outage(self, error: SailPointError) -> None:
        """Hand it what keeps the poller from asking."""
        self._pending().error = error
        self.wake()

    def fail(self, error: BaseException) -> None:
        """Hand it what it can't wait out."""
        self._error = error
        self.wake()

    def wake(self) -> None:
        """Let whoever waits for an update have it."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def _pending(self) -> Update:
        if self._update is None:
            self._update = Update()
        return self._update
