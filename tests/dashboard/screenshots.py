"""Save a picture of every page, light and dark, wide and narrow.

    python -m tests.dashboard.screenshots http://127.0.0.1:8501 docs/images [query string]

Files are called fleet-light.png, fleet-dark.png, fleet-light-phone.png and so on.
"""

import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, ViewportSize

from tests.dashboard.browsing import DESKTOP, PATHS, PHONE, chromium, open_page

Scheme = Literal["light", "dark"]
ZONE = "Europe/Paris"
_LONGEST_PX = 6000


def picture(
    browser: Browser, url: str, scheme: Scheme, viewport: ViewportSize, target: Path, *, full: bool
) -> None:
    """Save one picture; with `full`, of the whole page instead of the first screen."""
    context = browser.new_context(color_scheme=scheme, viewport=viewport, timezone_id=ZONE, locale="en-GB")
    page = context.new_page()
    open_page(page, url)
    if full:
        height = page.evaluate("() => document.querySelector('[data-testid=\"stMain\"]').scrollHeight")
        page.set_viewport_size({"width": viewport["width"], "height": min(_LONGEST_PX, int(height) + 8)})
    page.wait_for_timeout(
        2500
    )  # tables and charts are painted on canvases, which do not say when they are done
    page.screenshot(path=target)
    context.close()


def main(base_url: str, folder: Path, query: str = "") -> None:
    """Save all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    suffix = f"?{query}" if query else ""
    with chromium() as browser:
        for path in (*PATHS, "rollouts"):
            url = f"{base_url.rstrip('/')}/{path}{suffix}"
            for scheme in ("light", "dark"):
                name = path or "fleet"
                picture(browser, url, scheme, DESKTOP, folder / f"{name}-{scheme}.png", full=False)
                picture(browser, url, scheme, PHONE, folder / f"{name}-{scheme}-phone.png", full=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:4])
