"""How those who look for many in a process ask a tenant: in a thread of their own, with one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_sptasks.client.errors import UnauthorizedError
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook

T = TypeVar("T")

# So many ids of 32 digits fit in a request line of 8 KB.
IDS_IN_A_REQUEST = 200
# Between processes that were started together, looks drift apart by up to this part.
JITTER = 0.1


class Tenant:
    """
    Asks a tenant, without keeping the event loop from anybody: slow answers delay nobody else's events.

    :param sailpoint_conn_id: the Airflow connection
    :param api_version: the API version; ``None`` for the connection's
    :param retry: how long and how often the client tries a question by itself
    :param thread: the name of the thread
    :param grace: for how long a connection that can't be found is looked for again, in seconds: Airflow says
        that it doesn't exist also while its API server is restarting
    """

    def __init__(
        self,
        sailpoint_conn_id: str,
        api_version: str | None,
        *,
        retry: RetryPolicy,
        thread: str,
        grace: float = 0.0,
    ) -> None:
        self.sailpoint_conn_id = sailpoint_conn_id
        self.hook: SailPointHook | None = None
        self._api_version = api_version
        self._retry = retry
        self._grace = grace
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=thread)

    async def ask(self, question: Callable[[SailPointHook], T]) -> T:
        """
        Ask; after a 401 once more with the connection read again, since credentials may have been rotated.

        :param question: what to ask for, and with what
        """
        hook = self.hook or await self.connect()
        try:
            return await self.work(lambda: question(hook))
        except UnauthorizedError:
            renewed = await self.connect()
            return await self.work(lambda: question(renewed))

    async def work(self, work: Callable[[], T]) -> T:
        """
        Do something in the thread that may take long enough for others to notice.

        :param work: what to do
        """
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def connect(self) -> SailPointHook:
        """Read the connection."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._grace
        while True:
            hook = SailPointHook(self.sailpoint_conn_id, self._api_version, retry=self._retry)
            try:
                # Not in the thread, which may be busy with another question.
                await asyncio.to_thread(hook.get_conn)
            except AirflowNotFoundException:
                if loop.time() >= give_up_at:
                    raise
            else:
                self.hook = hook
                return hook
            await asyncio.sleep(1.0)

    def forget(self) -> None:
        """Read the connection again before the next question: somebody may have corrected it."""
        self.hook = None

    def close(self) -> None:
        """Let go of the thread."""
        self._executor.shutdown(wait=False, cancel_futures=True)
