"""What a test does with requests: it reads which there were, and lets some go wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from airflow_provider_sptasks.emulator.faults import BOMB_SIZE, Fault, FaultKind
from airflow_provider_sptasks.emulator.requestlog import LoggedRequest
from airflow_provider_sptasks.emulator.state import State


class RequestControls:
    """Lists which requests there were, lets some go wrong, calls a function before each answer."""

    _state: State

    @property
    def requests(self) -> tuple[LoggedRequest, ...]:
        """The requests to the API and to the token endpoint, oldest first."""
        with self._state.lock:
            return self._state.requests.entries()

    def reset_requests(self) -> None:
        """Forget the requests."""
        with self._state.lock:
            self._state.requests.clear()

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
        :param times: only that often.
        :param probability: only so probably, each time; repeatable by the emulator's ``seed``.
        :param delay: hold the request up first, in seconds, but for ``trickle`` and ``endless``.
        :param headers: more headers of the answer.
        :param body: the body of the answer instead of the usual one, for ``status`` and ``html``; a piece of
            it for ``endless``.
        :param size: of the body of ``gzip``, in bytes.
        :return: the fault.
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
