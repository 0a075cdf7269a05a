"""A browser for what is shown in one: the machine's Chromium. None is ever downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTH, HEIGHT = 1280, 800


def why_no_browser() -> str | None:
    """Say why there is no browser; ``None`` if there is one."""
    if find_spec("playwright") is None:
        return "Playwright is not installed"
    if _chromium() is None:
        return "NO BROWSER: install Debian's chromium, or set CHROMIUM to the path of one"
    return None


def _chromium() -> str | None:
    given = os.environ.get("CHROMIUM")
    return given or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """Start the browser, and stop it in the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=_chromium(), args=ARGUMENTS)
        try:
            yield started
        finally:
            started.close()


def logged_in(browser: Browser, url: str, token: str, color_scheme: str = "light") -> BrowserContext:
    """
    Return a window of its own in which a user has logged in to Airflow.

    :param browser: the browser
    :param url: Airflow's base URL
    :param token: the user's token
    :param color_scheme: ``light`` or ``dark``, as the user's system has it
    """
    context = browser.new_context(
        viewport={"width": WIDTH, "height": HEIGHT},
        color_scheme="dark" if color_scheme == "dark" else "light",
    )
    parts = urlsplit(url)
    context.add_cookies([{"name": "_token", "value": token, "domain": parts.hostname or "", "path": "/"}])
    return context
