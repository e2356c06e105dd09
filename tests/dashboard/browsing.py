"""A headless Chromium that looks at the dashboard: shared by the browser test and the screenshots."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATHS = ("", "store", "latency", "drift")
DESKTOP = ViewportSize(width=1440, height=900)
PHONE = ViewportSize(width=390, height=844)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Debian's Chromium and end it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def open_page(page: Page, url: str, timeout_ms: float = 30_000) -> None:
    """Open a page of the dashboard and wait until it has drawn itself."""
    page.goto(url, timeout=timeout_ms)
    page.wait_for_selector("h1", timeout=timeout_ms)
    settle(page, timeout_ms)


def settle(page: Page, timeout_ms: float = 30_000) -> None:
    """Wait until nothing runs and no placeholder is left."""
    page.wait_for_function(
        """() => document.querySelector('[data-test-script-state="notRunning"]')
                 && !document.querySelector('[data-testid="stSkeleton"]')""",
        timeout=timeout_ms,
    )
    page.wait_for_load_state("networkidle", timeout=timeout_ms)
    # Plotly draws in animation frames after the last message.
    page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
