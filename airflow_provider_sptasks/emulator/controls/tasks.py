"""What a test does with the tasks of the tenant."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence

from airflow_provider_sptasks.emulator.kinds import KINDS
from airflow_provider_sptasks.emulator.state import State
from airflow_provider_sptasks.emulator.tasks import DURATION, OUTCOME, Task, message_json


class TaskControls:
    """Adds tasks, ends them, and makes odd or missing records of them."""

    _state: State

    def add_task(
        self,
        id: str | None = None,  # noqa: A002 - the API's own name for it
        *,
        source: str = "Active Directory",
        source_id: str | None = None,
        kind: str = "accounts",
        launched: float = 0.0,
        duration: float | None = DURATION,
        outcome: str = OUTCOME,
        completed_lead: float = 0.0,
        messages: Sequence[str | Mapping[str, object]] = (),
        fields: Mapping[str, object] | None = None,
    ) -> Task:
        """
        Add a task.

        :param id: random by default.
        :param source: the name of its source.
        :param source_id: by default that of the source with this name.
        :param kind: a key of ``kinds.KINDS``.
        :param launched: when it starts, in seconds from now; negative for a task that started earlier. Before
            that the tenant doesn't know it.
        :param duration: how long it runs, in seconds; ``None`` for a task that never ends.
        :param outcome: its ``completionStatus`` in the end, any text.
        :param completed_lead: how many seconds ``completed`` is set before ``completionStatus``.
        :param messages: what its messages say in the end; texts, or the JSON of messages.
        :param fields: overrides of its JSON, as they are.
        :return: the task.
        :raises ValueError: ``fields`` holds an ``id``.
        """
        if fields and "id" in fields:
            raise ValueError("fields: can't override the id; pass it as id")
        with self._state.lock:
            tenant = self._state.tenant
            targeted = kind not in KINDS or KINDS[kind].targeted
            task = Task(
                id=id or uuid.uuid4().hex,
                kind=kind,
                source=source if targeted else None,
                source_id=(source_id or tenant.sources.id_of(source)) if targeted else None,
                launched=tenant.clock.now() + launched,
                duration=duration,
                outcome=outcome,
                completed_lead=completed_lead,
                messages=tuple(message_json(m, outcome) if isinstance(m, str) else m for m in messages),
                fields=dict(fields or {}),
            )
            tenant.add(task)
            return task

    def complete(self, task_id: str, outcome: str = OUTCOME) -> None:
        """
        End a task now, whatever it was doing.

        :param task_id: its id.
        :param outcome: its ``completionStatus``.
        """
        with self._state.lock:
            self._state.tenant.complete(task_id, outcome)

    def override_task(
        self,
        task_id: str,
        fields: Mapping[str, object] | None = None,
        /,
        *,
        without: Iterable[str] = (),
        **more: object,
    ) -> None:
        """
        Show other JSON of a task than its own, wherever a client gets it, to see what odd records do.

        The task is still found by the id that it was added with. Lists sort by a ``created`` that is a time,
        and filter by ``completionStatus``, ``launcher`` and the id of ``target``, as they are shown. What was
        overridden before stays so.

        :param task_id: its id.
        :param fields: fields to replace or to add, exactly as they are: any value that has a JSON form. Half
            of a surrogate pair is sent as the escape that JSON has for it.
        :param without: the names of fields to leave out, such as ``id``.
        :param more: more ``fields``.
        """
        with self._state.lock:
            self._state.tenant.override(task_id, {**(fields or {}), **more}, without)

    def hide_task(self, task_id: str, hidden: bool = True) -> None:
        """
        Leave a task out of all lists; a client still gets it by its id.

        :param task_id: its id.
        :param hidden: ``False`` shows it in lists again.
        """
        with self._state.lock:
            self._state.tenant.hide(task_id, hidden=hidden)

    def remove_task(self, task_id: str) -> None:
        """
        Remove a task, as at the end of its retention.

        :param task_id: its id, which another task may have then.
        """
        with self._state.lock:
            self._state.tenant.remove(task_id)

    def task(self, task_id: str) -> dict[str, object]:
        """
        Return a task's JSON as a client would get it now.

        :param task_id: its id.
        """
        with self._state.lock:
            tenant = self._state.tenant
            return tenant.task(task_id).snapshot(tenant.clock.now())

    def tasks(self) -> list[dict[str, object]]:
        """Return the JSON of all tasks as a client would get it now, in the order of their addition."""
        with self._state.lock:
            tenant = self._state.tenant
            now = tenant.clock.now()
            return [task.snapshot(now) for task in tenant.tasks()]
