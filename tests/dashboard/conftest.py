"""The dashboard on simulated numbers: a fixed clock for pure tests, AppTest for pages."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard.charts.frame import Look
from dashboard.sources.fake import FakeWarehouse
from dashboard.theme import LIGHT
from dashboard.timeframe import RANGES, Window, window_of

NOW = datetime(2026, 3, 10, 15, 30, tzinfo=UTC)
APP = Path(__file__).parents[2] / "dashboard" / "app.py"
PAGES = ("fleet", "store", "latency", "drift")

OpenPage = Callable[..., AppTest]


@pytest.fixture
def look() -> Look:
    """The light theme, seen from Paris."""
    return Look(LIGHT, ZoneInfo("Europe/Paris"))


@pytest.fixture
def day() -> Window:
    """The last 24 hours."""
    return window_of(RANGES["24h"], NOW)


@pytest.fixture
def fake() -> FakeWarehouse:
    """The simulated warehouse at a fixed time."""
    return FakeWarehouse(lambda: NOW)


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> OpenPage:
    """Return a function that runs one page of the app on a fake warehouse."""

    def run(page: str, target: str = "fake", **query: str) -> AppTest:
        monkeypatch.setenv("CARTWRIGHT_WAREHOUSE", target)
        st.cache_data.clear()
        app = AppTest.from_file(str(APP), default_timeout=60)
        # The app is not served here, so no address says who can reach it.
        monkeypatch.setenv("CARTWRIGHT_DASHBOARD_OPEN", "1")
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
        return app if page == "fleet" else app.switch_page(f"app_pages/{page}.py").run()

    return run
