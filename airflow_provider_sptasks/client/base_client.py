"""What the clients of a tenant have in common: how they are configured, shared and closed."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Self

from airflow_provider_sptasks.client.http import Response
from airflow_provider_sptasks.client.pacing import Pacer
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.client.settings import ClientSettings
from airflow_provider_sptasks.client.stopping import StopFlag
from airflow_provider_sptasks.client.transport import Transport


class BaseClient:
    """
    A client of a tenant, safe to share between threads.

    Each call is tried again after connection errors, time-outs, 429 and 5xx until its retry policy's
    deadline, and keeps to the pace that all clients with the same tenant, client id and API version share, in
    all processes of a user on a host, or with the setting ``budget_url`` on all hosts.

    :param transport: sends the requests
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    @property
    def settings(self) -> ClientSettings:
        """The tenant and the credentials."""
        return self.transport.settings

    @property
    def retry(self) -> RetryPolicy:
        """How long and how often a call is tried."""
        return self.transport.retry

    def with_retry(self, retry: RetryPolicy) -> Self:
        """
        Return a client that shares everything with this one but its patience.

        :param retry: how long and how often its calls are tried
        """
        return self._over(self.transport.with_retry(retry))

    def with_stop(self, stop: threading.Event) -> Self:
        """
        Return a client that shares everything with this one, and sends nothing after a stop.

        Whatever it does then ends with :class:`~airflow_provider_sptasks.client.stopping.StoppedError`.

        :param stop: set it to stop
        """
        return self.with_retry(self.retry.stopped_by(StopFlag(stop)))

    def with_pacer(self, pacer: Pacer) -> Self:
        """
        Return a client that shares everything with this one but its pace.

        :param pacer: the pace to keep
        """
        return self._over(self.transport.with_pacer(pacer))

    def with_answers(self, note: Callable[[Response], object]) -> Self:
        """
        Return a client that shares everything with this one, and hands over the tenant's answers.

        :param note: called with each answer of the API, errors and repeated attempts included, before it is
            read: its ``status``, ``headers`` (names in lower case) and ``body``, without the secrets that
            were sent. Called in the thread that made the call
        """
        return self._over(self.transport.with_answers(note))

    def polling(self) -> Self:
        """Return a client for polls, which keep to the settings' ``poll_share`` besides the common pace."""
        return self._over(self.transport.polling())

    def close(self) -> None:
        """Close the connections; the client can be used again."""
        self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _over(self, transport: Transport) -> Self:
        twin = copy.copy(self)
        twin.transport = transport
        return twin
