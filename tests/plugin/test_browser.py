"""A large tenant in a real browser: what it has to draw stays small."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from airflow_provider_sptasks.emulator import Emulator
from harness.browser import browser, logged_in, why_no_browser
from tests.conftest import CONNECTION
from tests.plugin.conftest import Client

pytestmark = pytest.mark.skipif(why_no_browser() is not None, reason=str(why_no_browser()))

TASKS, SOURCES = 5_000, 300
MOST_ELEMENTS = 4_000
# What keeps the browser for longer than 50 ms, as it reports it; and when the first tables were painted.
WATCH = """
window.longTasks = [];
new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map((each) => each.duration)))
  .observe({ type: 'longtask', buffered: true });
const notePaint = () => {
  if (document.querySelector('#pending tbody tr')) {
    requestAnimationFrame(() => { window.paintedAt = performance.now(); });
  } else {
    requestAnimationFrame(notePaint);
  }
};
notePaint();
"""


@pytest.fixture(scope="module")
def large(page: Client) -> Iterator[Client]:
    """The page of a tenant with thousands of tasks, all of which are known already."""
    from fastapi import FastAPI

    from airflow_provider_sptasks.plugin.app import build
    from airflow_provider_sptasks.plugin.page import Page
    from tests.plugin.conftest import Served

    with pytest.MonkeyPatch.context() as patch, Emulator(rate_limit=None) as tenant:
        patch.setenv(CONNECTION, tenant.connection_uri)
        for number in range(TASKS):
            name = f"Source {number % SOURCES} " + "x" * (number % 3) * 60
            outcome = "SUCCESS" if number % 9 else "ERROR"
            launched = -86_000.0 + number * 16
            tenant.add_task(source=name, launched=launched, duration=600.0, outcome=outcome, messages=["why"])
        for number in range(300):
            tenant.add_task(source=f"Source {number}", launched=-90_000.0, duration=None)
        root = FastAPI()
        root.mount("/sailpoint", build(Page(share_of_limit=1.0)))
        with Served(root) as url:
            client = Client(f"{url}/sailpoint/page/", page.tokens)
            client.get("api/sailpoint_default/overview")
            while client.get("api/sailpoint_default/history").json()["is_reading"]:
                client.get("api/sailpoint_default/overview")
            yield client


def test_thousands_of_tasks_are_few_elements(
    large: Client, record_property: Callable[[str, object], None]
) -> None:
    history = large.get("api/sailpoint_default/history")
    assert len(history.json()["tasks"]) > 0.9 * TASKS
    assert len(history.content) < 300 * TASKS
    with browser() as started, logged_in(started, large.url, large.tokens["op"]) as context:
        context.add_init_script(WATCH)
        window = context.new_page()
        window.goto(large.url)
        window.wait_for_selector("#sources tbody tr")
        assert window.evaluate("document.querySelectorAll('*').length") < MOST_ELEMENTS
        assert window.locator("#pending tbody tr").count() == 40
        window.locator("#pending-section .empty button").click()
        assert window.locator("#pending tbody tr").count() == 240
        window.evaluate("window.longTasks = []")
        for _ in range(20):
            window.mouse.wheel(0, 400)
            window.wait_for_timeout(50)
        scrolled = window.evaluate("window.scrollY")
        assert scrolled > 0
        entry = "performance.getEntriesByType('resource').find(({ name }) => name.includes('history'))"
        record_property("milliseconds until the data came", window.evaluate(f"{entry}.responseEnd"))
        record_property("milliseconds until tasks were painted", window.evaluate("window.paintedAt"))
        record_property("long tasks while scrolling, ms", window.evaluate("window.longTasks"))
