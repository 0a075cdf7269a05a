"""What the page's routes share in a process: connections, gates, and what is known of tenants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from fastapi import HTTPException, status

from airflow_provider_sptasks.client.errors import NotFoundError, SailPointError
from airflow_provider_sptasks.hooks.sailpoint import SailPointHook
from airflow_provider_sptasks.plugin.access import User, dags_of, may
from airflow_provider_sptasks.plugin.connections import Connections, connect
from airflow_provider_sptasks.plugin.gates import Gate, Gates, gates_json, waiting_on
from airflow_provider_sptasks.plugin.overview import epoch, history_json, pending_json, summary, task_json
from airflow_provider_sptasks.plugin.snapshot import Snapshot
from airflow_provider_sptasks.plugin.watch import SHARE_OF_LIMIT, Watch, Watches

T = TypeVar("T")

NO_RIGHT = (
    "You may not see the SailPoint connections. The roles Op and Admin may, and in FAB's auth manager each "
    "role that can read on Connections. "
    "An administrator can open this page to viewers with [sailpoint] page_readers = view."
)
NO_CONNECTION = (
    "There is no SailPoint connection. Add one under Admin, Connections. One of the environment or of a "
    "secrets backend has to be named in [sailpoint] page_connections."
)


class Page:
    """
    What the routes share.

    :param connect: reads the connection with an id
    :param share_of_limit: the part of SailPoint's limit that may be used up by watching a tenant
    """

    def __init__(
        self,
        connect: Callable[[str], SailPointHook] = connect,
        share_of_limit: float = SHARE_OF_LIMIT,
    ) -> None:
        self._connections = Connections()
        self._gates = Gates()
        self._watches = Watches(connect, share_of_limit)
        self._histories: dict[tuple[str, int], tuple[str, bytes]] = {}
        # Airflow's own requests must not wait for tenants, nor for each other here.
        self._database = ThreadPoolExecutor(2, thread_name_prefix="sailpoint-page-database")
        self._tenants = ThreadPoolExecutor(4, thread_name_prefix="sailpoint-page-tenant")

    async def connections(self, user: User) -> dict[str, Any]:
        """
        Describe the connections that a user may see.

        :param user: the user
        """

        def read() -> dict[str, Any]:
            ids = self._ids()
            seen = [each for each in ids if may(user, each)]
            described = [{"id": each, "can_change": may(user, each, change=True)} for each in seen]
            return {"connections": described, "reason": "" if seen else NO_RIGHT if ids else NO_CONNECTION}

        return await _in(self._database, read)

    def _ids(self) -> list[str]:
        return self._connections.ids({gate.connection_id for gate in self._gates.all()})

    async def watch(self, connection_id: str) -> Watch:
        """
        Return the watch of a connection.

        :param connection_id: the Airflow connection's id
        :raises HTTPException: 404 for one that the page doesn't offer: it probes no others
        """
        if connection_id not in await _in(self._database, self._ids):
            raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such SailPoint connection")
        return self._watches.of(connection_id)

    async def overview(self, connection_id: str, user: User) -> dict[str, Any]:
        """
        Describe what is pending at a tenant, and what waits for it.

        :param connection_id: the Airflow connection's id
        :param user: who may see the gates of some DAGs only
        """
        snapshot = await (await self.watch(connection_id)).watch()
        gates = await _in(self._database, lambda: self._gates_of(connection_id, user))
        now = datetime.now(UTC)
        waiting = waiting_on(gates, snapshot.pending)
        tasks = pending_json(snapshot.pending, now, snapshot.usual)
        outage = snapshot.outage
        return {
            "now": epoch(now),
            "read_at": epoch(snapshot.read_at),
            "version": snapshot.version,
            "summary": summary(tasks, snapshot.failing, len(gates)),
            "tasks": [{**task, "gates": waiting.get(task["id"], [])} for task in tasks],
            "gates": gates_json(gates, snapshot.pending),
            "outage": outage and {**vars(outage), "since": epoch(outage.since)},
        }

    def _gates_of(self, connection_id: str, user: User) -> list[Gate]:
        gates = [gate for gate in self._gates.all() if gate.connection_id == connection_id]
        seen = dags_of(user) if gates else set()
        return [gate for gate in gates if gate.dag_id in seen]

    async def history(self, connection_id: str, hours: int) -> bytes:
        """
        Describe what ended at a tenant, as JSON, which is made once for each version.

        :param connection_id: the Airflow connection's id
        :param hours: in that many hours until now
        """
        watch = await self.watch(connection_id)
        snapshot = watch.snapshot
        if snapshot.is_reading and not snapshot.ended:
            snapshot = await watch.watch()  # the first page is about to come
        return await _in(self._database, lambda: self._history(connection_id, snapshot, hours))

    def _history(self, connection_id: str, snapshot: Snapshot, hours: int) -> bytes:
        version, body = self._histories.get((connection_id, hours), ("", b""))
        if not body or version != snapshot.version:
            since = datetime.now(UTC) - timedelta(hours=hours)
            described = {
                **history_json(snapshot.ended, since, snapshot.usual),
                "version": snapshot.version,
                "reaches_back_to": epoch(snapshot.reaches_back_to),
                "is_reading": snapshot.is_reading,
                "is_cut": snapshot.is_cut,
            }
            body = json.dumps(described, separators=(",", ":")).encode()
            self._histories[connection_id, hours] = (snapshot.version, body)
        return body

    async def task(self, connection_id: str, task_id: str) -> dict[str, Any]:
        """
        Describe one task, as it is now.

        :param connection_id: the Airflow connection's id
        :param task_id: SailPoint's id of the task, checked
        :raises HTTPException: 404 for one that the tenant doesn't know
        """
        watch = await self.watch(connection_id)

        def read() -> dict[str, Any]:
            task = watch.reader().get(task_id)
            return task_json(task, task.source_id and watch.source_page(task.source_id))

        return await self.ask(read)

    async def ask(self, work: Callable[[], T]) -> T:
        """
        Do something that a user wants of a tenant.

        :param work: what to do
        :raises HTTPException: 404 or 502, with the reason why it can't be done
        """
        try:
            return await _in(self._tenants, work)
        except NotFoundError:
            raise HTTPException(
                status.HTTP_404_NOT_FOUND, "SailPoint knows no such task, or it is older than 90 days"
            ) from None
        except (SailPointError, ValueError, AirflowNotFoundException) as error:
            raise HTTPException(status.HTTP_502_BAD_GATEWAY, str(error)) from None


async def _in(executor: Executor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(executor, work)
