"""The warehouse behind Streamlit's cache, shared by all sessions of the server."""

from typing import Any

import streamlit as st

from dashboard.sources.opening import open_source
from dashboard.sources.protocol import Reading, Scope, WarehouseSource
from dashboard.timeframe import Comparison, Window

# Below the fastest auto-refresh, so that each tick sees the carts as they are; higher shows carts
# online that left, lower asks the warehouse once per viewer instead of once.
_LIVE_TTL_S = 8.0
# The window is part of the key and moves by itself; this only bounds what is kept.
_WINDOW_TTL_S = 120.0
_MOST_ANSWERS = 256


@st.cache_resource(show_spinner=False)
def _opened(target: str | None) -> WarehouseSource:
    return open_source(target)


@st.cache_data(ttl=_LIVE_TTL_S, max_entries=_MOST_ANSWERS, show_spinner=False)
def _ask_live(target: str | None, question: str) -> Reading:
    answer: Reading = getattr(_opened(target), question)()
    return answer


@st.cache_data(ttl=_WINDOW_TTL_S, max_entries=_MOST_ANSWERS, show_spinner=False)
def _ask(target: str | None, question: str, *arguments: Any) -> Reading:
    answer: Reading = getattr(_opened(target), question)(*arguments)
    return answer


def forget_answers() -> None:
    """Drop all cached answers: the next look asks the warehouse."""
    _ask_live.clear()
    _ask.clear()


class CachedSource:
    """A `WarehouseSource` whose answers are cached; failures are not."""

    def __init__(self, target: str | None) -> None:
        self._target = target

    def stores(self) -> Reading:
        """See `WarehouseSource`."""
        return _ask_live(self._target, "stores")

    def items(self) -> Reading:
        """See `WarehouseSource`."""
        return _ask_live(self._target, "items")

    def signal_bins(self) -> Reading:
        """See `WarehouseSource`."""
        return _ask_live(self._target, "signal_bins")

    def freshness(self) -> Reading:
        """See `WarehouseSource`."""
        return _ask_live(self._target, "freshness")

    def carts(self) -> Reading:
        """See `WarehouseSource`."""
        return _ask_live(self._target, "carts")

    def models(self, window: Window) -> Reading:
        """See `WarehouseSource`."""
        return _ask(self._target, "models", window)

    def event_series(self, window: Window, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        return _ask(self._target, "event_series", window, scope)

    def cart_events(self, window: Window, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        return _ask(self._target, "cart_events", window, scope)

    def cart_activity(self, window: Window, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        return _ask(self._target, "cart_activity", window, scope)

    def cart_vitals(self, window: Window, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        return _ask(self._target, "cart_vitals", window, scope)

    def cart_engines(self, window: Window, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        return _ask(self._target, "cart_engines", window, scope)

    def recent_events(self, window: Window, scope: Scope, limit: int) -> Reading:
        """See `WarehouseSource`."""
        return _ask(self._target, "recent_events", window, scope, limit)

    def rollout_marks(self, window: Window, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        return _ask(self._target, "rollout_marks", window, scope)

    def latency(self, window: Window, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        return _ask(self._target, "latency", window, scope)

    def latency_series(self, window: Window, scope: Scope, stage: str) -> Reading:
        """See `WarehouseSource`."""
        return _ask(self._target, "latency_series", window, scope, stage)

    def signals(self, comparison: Comparison, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        return _ask(self._target, "signals", comparison, scope)

    def cart_signals(self, comparison: Comparison, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        return _ask(self._target, "cart_signals", comparison, scope)

    def camera_days(self, window: Window, scope: Scope, signal: str) -> Reading:
        """See `WarehouseSource`."""
        return _ask(self._target, "camera_days", window, scope, signal)
