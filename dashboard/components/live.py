"""Auto-refresh: the body of a page as one fragment on a timer."""

from collections.abc import Callable

import streamlit as st

from dashboard.components.context import REFRESH

INTERVALS: dict[str, float | None] = {"off": None, "10s": 10.0, "30s": 30.0, "1min": 60.0}
DEFAULT_INTERVAL = "30s"


def live(body: Callable[[], None]) -> None:
    """Draw the body, and again at the chosen interval; panels inside never have timers of their own."""
    interval = INTERVALS.get(str(st.session_state.get(REFRESH)), INTERVALS[DEFAULT_INTERVAL])
    st.fragment(body, run_every=interval)()
