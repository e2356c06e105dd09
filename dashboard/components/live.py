"""Auto-refresh: the body of a page as one fragment on a timer."""

from collections.abc import Callable

import streamlit as st

from dashboard.components.context import REFRESH

INTERVALS: dict[str, float | None] = {"off": None, "10s": 10.0, "30s": 30.0, "1min": 60.0}
DEFAULT_INTERVAL = "30s"


def live(body: Callable[[], None], at_most_s: float | None = None) -> None:
    """Draw the body, and again at the chosen interval; panels inside never have timers of their own.

    Args:
        body: Draws the page.
        at_most_s: A page that cannot wait is drawn again after so long, unless auto-refresh is off.
    """
    interval = INTERVALS.get(str(st.session_state.get(REFRESH)), INTERVALS[DEFAULT_INTERVAL])
    if interval is not None and at_most_s is not None:
        interval = min(interval, at_most_s)
    st.fragment(body, run_every=interval)()
