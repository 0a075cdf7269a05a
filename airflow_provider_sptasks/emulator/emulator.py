"""The emulator itself: the tenant behind a real HTTP server, in a thread of the current process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from airflow_provider_sptasks.emulator.clock import Clock
from airflow_provider_sptasks.emulator.credentials import (
    ALL_SCOPES,
    PERSONAL_ACCESS_TOKEN_LIFETIME,
    Credential,
    new_credential,
)
from airflow_provider_sptasks.emulator.faults import BOMB_SIZE, Fault, FaultKind, Faults
from airflow_provider_sptasks.emulator.ratelimit import RateLimit, RateLimiter
from airflow_provider_sptasks.emulator.requestlog import LoggedRequest, RequestLog
from airflow_provider_sptasks.emulator.scenario import Scenario, load_scenario
from airflow_provider_sptasks.emulator.schedules import Schedule, new_schedule
from airflow_provider_sptasks.emulator.server import HOST, Server, listen
from airflow_provider_sptasks.emulator.sources import Source, new_source
from airflow_provider_sptasks.emulator.state import State
from airflow_provider_sptasks.emulator.tasks import Task, new_task
from airflow_provider_sptasks.emulator.tenant import Tenant
from airflow_provider_sptasks.emulator.uploads import Upload


class Emulator:
    """
    A SailPoint tenant on ``127.0.0.1``.

    .. code-block:: python

        with Emulator() as emulator:
            task = emulator.add_task(source="Active Directory", duration=20)
            monkeypatch.setenv("AIRFLOW_CONN_SAILPOINT_DEFAULT", emulator.connection_uri)

    Everything that it offers may be used from any thread while it serves.

    :param scenario: what the tenant holds at first: the name of a scenario, a TOML file, or nothing.
    :param port: where it listens; any free port by default.
    :param rate_limit: its rate limit, ``None`` to switch it off.
    :param seed: makes faults with a probability repeatable.
    :param client_id: of the default credential; random by default.
    :param client_secret: of the default credential; random by default.
    """

    def __init__(
        self,
        scenario: str | Path | Scenario | None = None,
        *,
        port: int = 0,
        rate_limit: RateLimit | None = RateLimit(),  # noqa: B008 - frozen
        seed: int = 0,
        client_id: str | None = None,
        client_secret: str | None = None,
    ) -> None:
        self.scenario = load_scenario(scenario) if isinstance(scenario, str | Path) else scenario
        self._port = port
        self._filled = False
        self._server: Server | None = None
        self._state = State(
            tenant=Tenant(Clock()),
            faults=Faults(seed),
            requests=RequestLog(),
            limiter=None if rate_limit is None else RateLimiter(rate_limit),
        )
        self._credential = new_credential(client_id=client_id, client_secret=client_secret)
        self._state.tenant.credentials.add(self._credential)

    def start(self) -> Self:
        """Start serving; the scenario's tasks and schedules begin now."""
        if self._server is not None:
            raise RuntimeError("The emulator is already running.")
        listener = listen(self._port)
        self._port = listener.getsockname()[1]
        if self.scenario is not None and not self._filled:
            self.scenario.fill(self._state.tenant)
            self._filled = True
        self._server = Server(self._state, listener)
        self._server.start()
        return self

    def stop(self) -> None:
        """Stop serving; open connections are cut. Does nothing if it isn't running."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where the tenant is, without a slash at the end."""
        if self._port == 0:
            raise RuntimeError("The emulator has no URL before it is started.")
        return f"http://{HOST}:{self._port}"

    @property
    def connection_uri(self) -> str:
        """The Airflow connection to it, for ``AIRFLOW_CONN_SAILPOINT_DEFAULT``."""
        client_id, secret = (quote(part, safe="") for part in (self.client_id, self.client_secret))
        return f"sailpoint://http://{client_id}:{secret}@{self.url.removeprefix('http://')}"

    @property
    def client_id(self) -> str:
        """The default credential's client id: a personal access token of a user with the level ORG_ADMIN."""
        return self._credential.client_id

    @property
    def client_secret(self) -> str:
        """The default credential's secret as it is now."""
        with self._state.lock:
            return self._state.tenant.credentials.get(self._credential.client_id).client_secret

    @property
    def clock(self) -> Clock:
        """The tenant's time; ``clock.advance(60)`` moves it."""
        return self._state.tenant.clock

    @property
    def token_lifetime(self) -> float:
        """How long tokens issued from now on are valid, in seconds."""
        with self._state.lock:
            lifetime = self._state.tenant.credentials.lifetime
            return PERSONAL_ACCESS_TOKEN_LIFETIME if lifetime is None else lifetime

    @token_lifetime.setter
    def token_lifetime(self, seconds: float) -> None:
        with self._state.lock:
            self._state.tenant.credentials.lifetime = seconds

    @property
    def requests(self) -> tuple[LoggedRequest, ...]:
        """The requests to the API and to the token endpoint, oldest first."""
        with self._state.lock:
            return self._state.requests.entries()

    def reset_requests(self) -> None:
        """Forget the requests."""
        with self._state.lock:
            self._state.requests.clear()

    def add_credential(
        self,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        user: bool = True,
        level: str = "ORG_ADMIN",
        scopes: Iterable[str] = (ALL_SCOPES,),
        expires_in: float = PERSONAL_ACCESS_TOKEN_LIFETIME,
    ) -> Credential:
        """
        Add a credential.

        :param client_id: random by default.
        :param client_secret: random by default.
        :param user: a personal access token, which has a user; ``False`` for an API client.
        :param level: the user's level, such as ``HELPDESK``.
        :param scopes: what it is granted.
        :param expires_in: the lifetime of its tokens in seconds.
        """
        credential = new_credential(
            client_id=client_id,
            client_secret=client_secret,
            user=user,
            level=level,
            scopes=scopes,
            expires_in=expires_in,
        )
        with self._state.lock:
            self._state.tenant.credentials.add(credential)
        return credential

    def rotate_secret(self, client_id: str, new_secret: str) -> None:
        """
        Replace a secret; tokens that were issued stay valid.

        :param client_id: whose secret.
        :param new_secret: the new one.
        """
        with self._state.lock:
            self._state.tenant.credentials.rotate(client_id, new_secret)

    def revoke_tokens(self, client_id: str | None = None) -> None:
        """
        Revoke tokens.

        :param client_id: whose; everybody's by default.
        """
        with self._state.lock:
            self._state.tenant.credentials.revoke(client_id)

    def add_source(
        self,
        name: str,
        id: str | None = None,  # noqa: A002 - the API's own name for it
        *,
        delimited_file: bool = False,
        duration: float | None = 30.0,
        outcome: str | Sequence[str] = "SUCCESS",
        retry_after: float | None = None,
        fields: Mapping[str, object] | None = None,
    ) -> Source:
        """
        Add a source. Sources that tasks and schedules name are there without it, as with the defaults below.

        While an aggregation of a source runs, of whichever kind, a client can't start another one: it gets a
        202 without a task.

        :param name: its name; several may have the same.
        :param id: by default the same for the same name.
        :param delimited_file: its accounts come from an uploaded CSV file.
        :param duration: how long an aggregation runs that a client starts, in seconds; ``None`` for one that
            never ends.
        :param outcome: its ``completionStatus`` in the end, any text; of several each start takes the next.
        :param retry_after: how many seconds after a ``TEMPERROR`` SailPoint launches it again, twice at most;
            never by default.
        :param fields: overrides of the source's JSON, as they are.
        """
        with self._state.lock:
            tenant = self._state.tenant
            source = new_source(
                tenant.clock.now(),
                name,
                id,
                delimited_file=delimited_file,
                duration=duration,
                outcome=outcome,
                retry_after=retry_after,
                fields=fields,
            )
            tenant.sources.add(source)
            return source

    def schedule(
        self,
        source: str,
        *,
        source_id: str | None = None,
        every: float,
        offset: float = 0.0,
        kind: str = "accounts",
        duration: float | None = 30.0,
        outcome: str | Sequence[str] = "SUCCESS",
        retry_after: float | None = None,
    ) -> Schedule:
        """
        Launch aggregations of a source again and again, by the tenant's clock.

        When ``clock.advance()`` jumps over several launches, each task appears with its own times. A launch
        is left out while an aggregation of the same source and kind runs, and nothing makes up for it.
        Aggregations of different kinds of a source don't wait for each other here.

        :param source: the name of the source.
        :param source_id: its id, by default that of the source with this name.
        :param every: how many seconds lie between two launches.
        :param offset: when the first is launched, in seconds from now; negative for a past.
        :param kind: ``accounts``, ``entitlements`` or ``uncorrelated_accounts``.
        :param duration: how long each runs, in seconds; ``None`` for ones that never end.
        :param outcome: their ``completionStatus`` in the end, any text; of several each takes the next.
        :param retry_after: how many seconds after a ``TEMPERROR`` SailPoint launches it again, twice at most;
            never by default. The retry takes the next outcome.
        """
        with self._state.lock:
            tenant = self._state.tenant
            schedule = new_schedule(
                tenant.clock.now(),
                source,
                source_id or tenant.sources.id_of(source),
                every=every,
                offset=offset,
                kind=kind,
                duration=duration,
                outcome=outcome,
                retry_after=retry_after,
            )
            tenant.schedule(schedule)
            return schedule

    def clear_schedules(self) -> None:
        """Launch nothing any more, retries included; what was launched stays."""
        with self._state.lock:
            self._state.tenant.clear_schedules()

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources, those that tasks and schedules name too, in the order of their addition."""
        with self._state.lock:
            return tuple(self._state.tenant.sources.all())

    @property
    def started(self) -> tuple[Task, ...]:
        """The tasks that clients have started with a POST, oldest first, answered or not."""
        with self._state.lock:
            return tuple(self._state.tenant.started())

    @property
    def uploads(self) -> tuple[Upload, ...]:
        """The files that clients have uploaded and the tenant didn't refuse, oldest first."""
        with self._state.lock:
            return tuple(self._state.tenant.uploads)

    def add_task(
        self,
        id: str | None = None,  # noqa: A002 - the API's own name for it
        *,
        source: str = "Active Directory",
        source_id: str | None = None,
        kind: str = "accounts",
        launched: float = 0.0,
        duration: float | None = 30.0,
        outcome: str = "SUCCESS",
        completed_lead: float = 0.0,
        messages: Sequence[str | Mapping[str, object]] = (),
        fields: Mapping[str, object] | None = None,
    ) -> Task:
        """
        Add a task.

        :param id: random by default.
        :param source: the name of its source.
        :param source_id: by default that of the source with this name.
        :param kind: a key of ``tasks.KINDS``.
        :param launched: when it starts, in seconds from now; negative for a task that started earlier. Before
            that the tenant doesn't know it.
        :param duration: how long it runs, in seconds; ``None`` for a task that never ends.
        :param outcome: its ``completionStatus`` in the end, any text.
        :param completed_lead: how many seconds ``completed`` is set before ``completionStatus``.
        :param messages: what its messages say in the end; texts, or the JSON of messages.
        :param fields: overrides of its JSON, as they are.
        """
        with self._state.lock:
            tenant = self._state.tenant
            task = new_task(
                tenant.clock.now(),
                id=id,
                source=source,
                source_id=source_id or tenant.sources.id_of(source),
                kind=kind,
                launched=launched,
                duration=duration,
                outcome=outcome,
                completed_lead=completed_lead,
                messages=messages,
                fields=fields,
            )
            tenant.add(task)
            return task

    def complete(self, task_id: str, outcome: str = "SUCCESS") -> None:
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

    def on_request(self, callback: Callable[[LoggedRequest], object] | None) -> None:
        """
        Call something just before a request to the API is answered, after what a fault holds it up.

        It may use everything that the emulator offers, for example end or remove a task between two pages of
        a list. It is called in the server's thread, for one request after the other: nothing is answered
        until it returns. What it raises becomes an answer with the status 500, and is logged.

        :param callback: is called with the request, whose ``status`` is still 0; ``None`` for nothing.
        """
        with self._state.lock:
            self._state.on_request = callback

    def fail(
        self,
        status: int | None = None,
        *,
        kind: FaultKind = "status",
        method: str | None = None,
        path: str | None = None,
        query: str | None = None,
        times: int | None = None,
        probability: float = 1.0,
        delay: float = 0.0,
        headers: Mapping[str, str] | None = None,
        body: str | bytes | None = None,
        size: int = BOMB_SIZE,
    ) -> Fault:
        """
        Let something go wrong from now on.

        Several faults may be active: delays add up, and the oldest other one that matches decides. The kinds:

        - ``status``: answers with the status and the error body documented for it; nothing takes effect.
        - ``html``: the same with the error page of a proxy. ``empty``: the same without a body.
        - ``delay``: holds the request up, then processes it, even if the client has given up.
        - ``drop``: closes the connection; nothing takes effect.
        - ``drop_after``: processes the request, then closes the connection without an answer.
        - ``truncate``: processes the request, sends half of the answer's body, then closes the connection.
        - ``trickle``: processes the request, then sends the answer's body byte by byte, with ``delay``
          seconds between two of them.
        - ``endless``: answers 200 with a body that never ends, of spaces or of ``body`` again and again, with
          ``delay`` seconds between two pieces; nothing takes effect. It stops when the client closes the
          connection.
        - ``gzip``: answers 200 with an empty list that is ``size`` bytes long when it is unpacked, and some
          hundreds of bytes before; nothing takes effect.

        :param status: the status of the answer; 503 by default, but for ``endless`` and ``gzip``.
        :param kind: what goes wrong.
        :param method: only with this method.
        :param path: only where the path matches this pattern, such as ``/task-status*``; by default the whole
            API without the token endpoint.
        :param query: only where the query string, decoded, matches this pattern, such as ``*bad-id*``.
        :param times: only so often.
        :param probability: only so probably, each time; repeatable by the emulator's ``seed``.
        :param delay: hold the request up first, in seconds, but for ``trickle`` and ``endless``.
        :param headers: more headers of the answer.
        :param body: the body of the answer instead of the usual one, for ``status`` and ``html``; a piece of
            it for ``endless``.
        :param size: of the body of ``gzip``, in bytes.
        """
        with self._state.lock:
            return self._state.faults.add(
                status,
                kind=kind,
                method=method,
                path=path,
                query=query,
                times=times,
                probability=probability,
                delay=delay,
                headers=headers,
                body=body,
                size=size,
            )

    def clear_faults(self) -> None:
        """Let nothing go wrong any more."""
        with self._state.lock:
            self._state.faults.clear()
