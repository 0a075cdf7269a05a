"""Stops what is under way: nothing is sent after that."""

from __future__ import annotations

import threading


class StoppedError(Exception):
    """The work was stopped; nothing more is sent."""


class StopFlag:
    """
    Stops what waits, and what is about to be sent.

    :param event: set it to stop
    """

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def check(self) -> None:
        """
        Go on, unless it was set.

        :raises StoppedError: it was
        """
        if self._event.is_set():
            raise StoppedError

    def sleep(self, seconds: float) -> None:
        """
        Wait, unless it is set meanwhile.

        :param seconds: for how long
        :raises StoppedError: it was set
        """
        if self._event.wait(seconds):
            raise StoppedError
