"""Take the pictures of the page that the documentation shows, in a real Airflow and a real browser."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_sptasks.emulator import Emulator
from demo.week import fill
from harness.airflow import Airflow, Site
from harness.browser import browser, logged_in, why_no_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Frame, Page

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
GATES = ("sailpoint_gate", "sailpoint_gate_by_source")
OPERATOR = "operator"
PATIENCE = 300.0


def main() -> int:
    """Take them, and return the exit code."""
    if why := why_no_browser():
        sys.stderr.write(f"{why}\n")
        return 1
    IMAGES.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="screenshots-"))
    try:
        with Emulator() as emulator, Emulator() as empty, browser() as started:
            connections = {
                "AIRFLOW_CONN_SAILPOINT_DEFAULT": emulator.connection_uri,
                "AIRFLOW_CONN_SAILPOINT_NEW": empty.connection_uri,
                "AIRFLOW__SAILPOINT__PAGE_CONNECTIONS": "sailpoint_new",
            }
            with Airflow(home, ROOT / "example_dags", connections) as airflow:
                late = fill(emulator)
                site = _start(airflow, late)
                _take(started, site)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return 0


def _start(airflow: Airflow, late: str) -> Site:
    airflow.create_database(PATIENCE)
    airflow.start()
    airflow.start_triggerer()
    airflow.wait_until_ready(GATES, PATIENCE)
    airflow.until(
        airflow.trigger("sailpoint_gate", {"task_status_id": late}),
        {"wait_for_aggregation": {"running", "up_for_reschedule", "deferred"}},
        PATIENCE,
    )
    by_source = airflow.switch_on("sailpoint_gate_by_source", PATIENCE)
    airflow.until(by_source, {"wait_for_aggregation": "deferred"}, PATIENCE)
    return airflow.start_site("site", "/airflow", {OPERATOR: "op"}, PATIENCE)


def _take(started: Browser, site: Site) -> None:
    with _page(started, site, "") as (page, frame):
        frame.wait_for_selector("#pending a")
        page.screenshot(path=IMAGES / "page-light.png")
    with _page(started, site, "&hours=168", "dark") as (page, frame):
        page.evaluate("document.documentElement.className = 'dark'")
        frame.locator("#timeline-section").scroll_into_view_if_needed()
        frame.evaluate("document.querySelector('#timeline-section').scrollIntoView()")
        page.screenshot(path=IMAGES / "page-dark.png")
    with _page(started, site, "&state=late") as (page, frame):
        frame.locator("#pending tbody tr", has_text="ServiceNow").get_by_text("Clear…").click()
        frame.wait_for_selector("dialog dl")
        page.screenshot(path=IMAGES / "page-stuck.png")
    with _page(started, site, "&state=failed") as (page, frame):
        page.screenshot(path=IMAGES / "page-failed.png")
    with _page(started, site, "", connection="sailpoint_new") as (page, _):
        page.screenshot(path=IMAGES / "page-empty.png")


@contextmanager
def _page(
    started: Browser,
    site: Site,
    query: str,
    color_scheme: str = "light",
    connection: str = "sailpoint_default",
) -> Iterator[tuple[Page, Frame]]:
    """Open the page by way of Airflow's UI, and wait until all of it is there."""
    with logged_in(started, site.url, site.tokens[OPERATOR], color_scheme) as context:
        page = context.new_page()
        page.goto(f"{site.url}/plugin/sailpoint")
        handle = page.wait_for_selector("iframe[title=SailPoint]")
        frame = handle.content_frame() if handle is not None else None
        if frame is None:
            raise RuntimeError("Airflow's UI doesn't show the page.")
        frame.goto(f"{site.url}/sailpoint/page/?connection={connection}{query}")
        frame.wait_for_selector("#sources tbody tr, #sources-section .empty:has-text('No aggregation')")
        if connection == "sailpoint_default":
            frame.wait_for_selector("#summary:has-text('longer than usual')")
        yield page, frame


if __name__ == "__main__":
    sys.exit(main())
