"""The dashboard as people meet it: a real Streamlit server, a real browser, simulated numbers."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Page

from tests.dashboard.browsing import DESKTOP, PATHS, chromium, open_page, settle

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 60.0
# Streamlit's own: a page below / first asks for its health beside itself, and gets a 404.
_NOT_OURS = "the server responded with a status of 404"

pytestmark = pytest.mark.browser


@pytest.fixture
def base_url(free_port: Callable[[], int], tmp_path: Path) -> Iterator[str]:
    """Serve the dashboard on simulated numbers."""
    port = free_port()
    environment = {
        **os.environ,
        "CARTWRIGHT_WAREHOUSE": "fake",
        "CARTWRIGHT_CONTROL": "fake",
        "PYTHONPATH": str(ROOT),
    }
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "dashboard/app.py", "--server.port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/_stcore/health")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(20)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  # our own server
                # Streamlit answers unknown paths with 200 as well: only the word counts.
                if answer.read() == b"ok":
                    return
        except OSError:
            time.sleep(0.2)
    pytest.fail("the dashboard did not start")


def test_all_pages_in_a_browser(base_url: str) -> None:
    """Every page draws its charts without an error on screen, in the console, or a word to the outside."""
    complaints: list[str] = []
    outside: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error" and _NOT_OURS not in message.text:
            complaints.append(message.text)

    with chromium() as browser:
        page = browser.new_page(viewport=DESKTOP)
        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: None if _inside(r.url, base_url) else outside.append(r.url))
        for path in PATHS:
            open_page(page, f"{base_url}/{path}")
            assert page.locator('[data-testid="stAlert"]').count() == 0
            assert page.locator('[data-testid="stException"]').count() == 0
            page.wait_for_selector(".js-plotly-plot .main-svg")
        _open_a_store(page, base_url)
        _stop_a_rollout(page, base_url)

    assert complaints == []
    assert outside == []


def _inside(url: str, base_url: str) -> bool:
    return url.startswith((base_url, base_url.replace("http", "ws"), "data:", "blob:"))


def _open_a_store(page: Page, base_url: str) -> None:
    """Click the first row of the table: the Store page opens, and the link says which and since when."""
    open_page(page, f"{base_url}/?range=7d")
    table = page.locator('[data-testid="stDataFrame"]').first
    table.scroll_into_view_if_needed()
    page.wait_for_timeout(500)  # the table is a canvas: nothing in the page says that it is painted
    table.click(position={"x": 90, "y": 50})
    page.wait_for_url("**/store?*", timeout=30_000)
    settle(page)
    page.wait_for_url("**/store?*store=Gent*", timeout=30_000)
    assert "range=7d" in page.url
    assert page.locator("h1").first.inner_text().startswith("Gent Dampoort")


def _stop_a_rollout(page: Page, base_url: str) -> None:
    """From the list into a rollout, Pause, read what it means, confirm: paused, and the link says which."""
    open_page(page, f"{base_url}/rollouts")
    main = page.get_by_test_id("stMain")
    main.get_by_role("button", name="Open").first.click()
    page.wait_for_url("**/rollouts?*rollout=lamps-2*", timeout=30_000)
    page.wait_for_selector(".js-plotly-plot .main-svg")
    main.get_by_role("button", name="Pause", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("10 carts on the way stop fetching and put nothing live.").wait_for()
    # The page behind is drawn again every few seconds; the dialog has to outlive that.
    page.wait_for_timeout(4_000)
    dialog.get_by_label("Reason (optional)").fill("wrong labels on citrus")
    dialog.get_by_role("button", name="Pause", exact=True).dblclick()
    dialog.wait_for(state="hidden")
    page.get_by_text("ago: wrong labels on citrus.").wait_for()
    page.get_by_role("tab", name="Commands").click()
    settle(page)
    page.get_by_role("button", name="All rollouts").click()
    page.get_by_role("button", name="New rollout").wait_for()
    assert "rollout=" not in page.url
