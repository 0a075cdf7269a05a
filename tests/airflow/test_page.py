"""The page in a real Airflow's UI, below a path, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from airflow_provider_sptasks.emulator import Emulator
from harness.airflow import Airflow, Site
from harness.browser import browser, logged_in, why_no_browser
from tests.airflow.conftest import PATIENCE, connect

# Milliseconds.
TIMEOUT = 60_000

pytestmark = pytest.mark.skipif(why_no_browser() is not None, reason=str(why_no_browser()))

if why_no_browser() is None:
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Frame, Page, expect

    expect.set_options(timeout=TIMEOUT)

CONNECTION = "page"
VIEWER, OPERATOR = "vera", "otto"
HOSTILE = '<img src=x onerror=alert(1)> & "quotes"'


@pytest.fixture(scope="module")
def tenant(airflow: Airflow) -> Iterator[Emulator]:
    with Emulator() as tenant:
        connect(airflow, CONNECTION, tenant)
        yield tenant


@pytest.fixture(scope="module")
def site(airflow: Airflow, tenant: Emulator) -> Site:
    return airflow.start_site("site", "/air/flow", {VIEWER: "viewer", OPERATOR: "op"}, PATIENCE)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


class Visit:
    """
    A user at the page, by way of Airflow's UI; all that goes wrong in the browser is kept.

    :param context: the user's window
    :param url: Airflow's base URL
    """

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.problems: list[str] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(TIMEOUT)
        self._origin = urlsplit(url)
        self.page.on("console", self._log)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self._request(request.url))
        self.page.goto(f"{url}/plugin/sailpoint?connection={CONNECTION}")

    def _log(self, message: ConsoleMessage) -> None:
        # Airflow's own page warns of this and that.
        if message.type == "error" and "/sailpoint/" in message.location.get("url", ""):
            self.problems.append(message.text)

    def _request(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.netloc != self._origin.netloc:
            self.problems.append(f"asks another origin: {url}")

    @property
    def frame(self) -> Frame:
        handle = self.page.wait_for_selector("iframe[title=SailPoint]")
        assert handle is not None
        frame = handle.content_frame()
        assert frame is not None
        frame.wait_for_selector("#pending-section:visible, #notice:visible")
        return frame


@pytest.fixture
def operator(chromium: Browser, site: Site) -> Iterator[Visit]:
    with logged_in(chromium, site.url, site.tokens[OPERATOR]) as context:
        visit = Visit(context, site.url)
        yield visit
        assert visit.problems == []


@pytest.fixture
def viewer(chromium: Browser, site: Site) -> Iterator[Visit]:
    with logged_in(chromium, site.url, site.tokens[VIEWER]) as context:
        visit = Visit(context, site.url)
        yield visit
        assert [each for each in visit.problems if "403" not in each] == []


def test_an_operator_sees_what_runs_and_clears_what_is_stuck(
    airflow: Airflow, tenant: Emulator, operator: Visit
) -> None:
    stuck = tenant.add_task(source=HOSTILE, launched=-200_000, duration=None).id
    tenant.add_task(source="Workday", launched=-10, duration=600)
    for hour in range(1, 5):
        tenant.add_task(source="Workday", launched=-hour * 3600, duration=240)
    why = "The virtual appliance cluster can't be reached."
    tenant.add_task(source="SAP HR", launched=-900, duration=60, outcome="ERROR", messages=[why])
    run = airflow.trigger("gates", {"task_status_id": stuck, "sailpoint_conn_id": CONNECTION})
    airflow.until(run, {"wait_deferrable": "deferred"}, PATIENCE)
    frame = operator.frame
    row = frame.locator("#pending tbody tr", has_text=HOSTILE)
    expect(row).to_contain_text("stuck")
    expect(row).to_contain_text("gates.wait_deferrable")
    expect(frame.locator("#failures")).to_contain_text(why)
    expect(frame.locator("#sources tbody tr", has_text="Workday")).to_contain_text("100% (4 of 4)")
    expect(frame.locator("#summary")).to_contain_text("1 stuck")
    assert frame.locator("img").count() == 0

    progress = frame.locator("#pending tbody tr", has_text="Workday").locator("progress")
    before = progress.get_attribute("value")
    expect(progress).not_to_have_attribute("value", before or "")

    frame.fill("#q", "work")
    expect(row).to_have_count(0)
    expect(frame.locator("#pending tbody tr")).to_have_count(1)
    frame.fill("#q", "")

    report = Axe().run(frame)
    serious = [each for each in report.response["violations"] if each["impact"] in ("serious", "critical")]
    assert serious == [], report.generate_report()

    button = row.get_by_role("button", name="Clear")
    button.focus()
    operator.page.keyboard.press("Enter")
    dialog = frame.locator("dialog")
    expect(dialog).to_contain_text("gates.wait_deferrable")
    operator.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()
    assert tenant.task(stuck)["completionStatus"] is None

    button.click()
    dialog.get_by_role("button", name="Clear task").click()
    expect(dialog).to_contain_text("was cleared")
    assert tenant.task(stuck)["completionStatus"] == "Error"
    dialog.get_by_role("button", name="Close").click()
    expect(row).to_have_count(0)
    expect(frame.locator("#failures")).to_contain_text(HOSTILE)
    (entry,) = airflow.get("/api/v2/eventLogs?event=sailpoint_clear")["event_logs"]
    assert entry["owner"] == OPERATOR
    assert stuck in entry["extra"]


def test_the_page_follows_airflow(operator: Visit) -> None:
    """Its theme, its reload below the path, and its links lead on in Airflow's own window."""
    root = operator.frame.locator("html")
    expect(root).to_have_attribute("data-theme", "light")
    operator.page.evaluate(
        "document.documentElement.classList.remove('light'); document.documentElement.classList.add('dark')"
    )
    expect(root).to_have_attribute("data-theme", "dark")
    report = Axe().run(operator.frame)
    assert [each for each in report.response["violations"] if each["impact"] in ("serious", "critical")] == []
    operator.frame.select_option("#hours", "168")
    operator.page.reload()
    frame = operator.frame
    expect(frame.locator("#pending-section")).to_be_visible()
    expect(frame.locator("#hours")).to_have_value("168")
    expect(frame.locator("#connection")).to_have_value(CONNECTION)


def test_a_viewer_may_see_no_connection(viewer: Visit) -> None:
    frame = viewer.frame
    expect(frame.locator("#notice")).to_contain_text("You may not see the SailPoint connections")
    assert frame.locator("section:visible").count() == 0
