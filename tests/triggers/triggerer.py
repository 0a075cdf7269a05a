"""A triggerer's part in asset watchers: Airflow's shared streams and state stores, without its processes."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time import comms, task_runner
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from tests.compat import AIRFLOW_3_3, BEFORE_3_3

if AIRFLOW_3_3:
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors
    from airflow.triggers.shared_stream import SharedStreamManager


@dataclass
class Database:
    """What outlives a triggerer."""

    events: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    values: dict[tuple[str, str], str] = field(default_factory=dict)
    at_risk: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    """By asset, the tasks in events that its cursor doesn't know of: a crash makes them come again."""

    def found(self, asset: str) -> list[str]:
        """The ids of the tasks in an asset's events, in their order."""
        return [each["id"] for event in self.events[asset] for each in event["aggregations"]]


class Triggerer:
    """
    A triggerer's process, of Airflow 3.3; in a crash it leaves what is in the database, and no more happens.

    :param database: what was there before
    :param watchers: triggers, each with the names of the assets that it updates
    :param sync: how long events are on their way to the database, and the confirmation back, in seconds
    :param stagger: how long after the one before each watcher is started, in seconds
    :param ack_timeout: how long the database may take to confirm an event, in seconds
    """

    def __init__(
        self,
        database: Database,
        watchers: Mapping[BaseEventTrigger, Sequence[str]],
        *,
        sync: float = 0.01,
        ack_timeout: float = 60.0,
        stagger: float = 0.0,
    ) -> None:
        if not AIRFLOW_3_3:
            pytest.skip(BEFORE_3_3)
        self.database = database
        self.starts = 0
        self.lost: set[BaseEventTrigger] = set()
        """Whose events don't reach the database."""
        self.unreadable: set[str] = set()
        """The assets whose state can't be read."""
        self.read_error: Exception | None = None
        self.write_error: Exception | None = None
        self._watchers = watchers
        self._sync = sync
        self._stagger = stagger
        self._manager = SharedStreamManager(ack_timeout=ack_timeout)
        self._queue: list[tuple[BaseEventTrigger, TriggerEvent, int | None]] = []
        self._ids = itertools.count(1)
        self._is_dead = False
        self._tasks: list[asyncio.Task[None]] = []
        self._comms = mock.patch.object(
            task_runner, "SUPERVISOR_COMMS", SimpleNamespace(asend=self._asend), create=True
        )

    async def __aenter__(self) -> Triggerer:
        self._comms.start()
        self._tasks = [
            asyncio.create_task(self._run(trigger, number * self._stagger))
            for number, trigger in enumerate(self._watchers)
        ]
        self._tasks.append(asyncio.create_task(self._synchronise()))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def kill(self) -> None:
        """Let nothing reach the database any more, and end."""
        self._is_dead = True
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        await self._manager.stop_all()
        self._comms.stop()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something; a fault of the triggerer's own ends the waiting."""
        async with asyncio.timeout(60):
            while not condition():
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.01)

    async def _run(self, watcher: BaseEventTrigger, delay: float) -> None:
        """Start a trigger again and again, as Airflow does while a DAG is scheduled by its assets."""
        await asyncio.sleep(delay)
        _, kwargs = watcher.serialize()
        while True:
            trigger = type(watcher)(**json.loads(json.dumps(kwargs)))
            trigger.asset_state_store = AssetStateStoreAccessors(
                inlets=[Asset(name) for name in self._watchers[watcher]]
            )
            self.starts += 1
            trigger_id, key = next(self._ids), trigger.shared_stream_key()
            stream = self._manager.subscribe(trigger_id=trigger_id, trigger=trigger, key=key)
            try:
                async for event in trigger.filter_shared_stream(stream):
                    sequence = self._manager.bind_pending_event(trigger_id=trigger_id, key=key)
                    self._queue.append((watcher, event, sequence))
            except Exception:  # noqa: BLE001 - Airflow logs it, and starts the trigger again
                await asyncio.sleep(0.05)
            finally:
                await self._manager.unsubscribe(trigger_id, key)

    async def _synchronise(self) -> None:
        persisted: list[int] = []
        while True:
            await asyncio.sleep(self._sync)
            self._manager.confirm_persisted(persisted)
            queue, self._queue = self._queue, []
            queue = [each for each in queue if each[0] not in self.lost]
            for watcher, event, _ in queue:
                for asset in self._watchers[watcher]:
                    payload = json.loads(json.dumps(event.payload))
                    self.database.events[asset].append(payload)
                    for each in payload["aggregations"]:
                        created = datetime.fromisoformat(each["created"] or "1970-01-01").timestamp()
                        self.database.at_risk[asset][each["id"]] = created
            persisted = [sequence for _, _, sequence in queue if sequence is not None]

    async def _asend(self, message: Any) -> Any:
        await asyncio.sleep(0)
        if self._is_dead:
            raise ConnectionError("the triggerer is dead")
        is_write = isinstance(message, comms.SetAssetStateStoreByName)
        error = self.write_error if is_write else self.read_error
        if error is not None:
            raise error
        if not is_write and message.name in self.unreadable:
            raise ConnectionError(f"no state of {message.name}")
        place = (message.name, message.key)
        if isinstance(message, comms.SetAssetStateStoreByName):
            self.database.values[place] = json.dumps(message.value)
            cursor: Any = message.value
            at_risk = self.database.at_risk[message.name]
            for each, created in list(at_risk.items()):
                is_old = created < cursor["since"] and each not in cursor["awaited"]
                if is_old or each in cursor["reported"]:
                    del at_risk[each]
            return comms.OKResponse(ok=True)
        assert isinstance(message, comms.GetAssetStateStoreByName)
        if place not in self.database.values:
            return comms.ErrorResponse(error=ErrorType.ASSET_STORE_NOT_FOUND)
        return comms.AssetStateStoreResult(value=json.loads(self.database.values[place]))
