"""What every page needs to know: the time, the filters, the viewer, and a cached source."""

import os
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
import streamlit as st

from dashboard.charts.frame import Look
from dashboard.components.cached_source import CachedSource
from dashboard.sources.opening import TARGET_VARIABLE
from dashboard.sources.protocol import Scope, WarehouseSource
from dashboard.theme import palette
from dashboard.timeframe import DEFAULT_RANGE, RANGES, TimeRange, Window, window_of
from dashboard.view_models import cells

# Keys of the filters: names in the URL and in the session.
RANGE, STORE, MODEL, REFRESH = "range", "store", "model", "refresh"
ALL = ""


@dataclass(frozen=True, slots=True)
class PageContext:
    """One look at the world: everything a page draws belongs to the same moment.

    Attributes:
        now: That moment.
        time_range: As chosen.
        window: What that means now.
        scope: What the filters leave.
        look: How to draw.
        source: The warehouse.
        part: What else was asked for: the rollout, and the filters of its tables.
    """

    now: datetime
    time_range: TimeRange
    window: Window
    scope: Scope
    look: Look
    source: WarehouseSource
    part: Hashable = None

    @property
    def zone(self) -> ZoneInfo:
        """The viewer's time zone."""
        return self.look.zone

    @property
    def filters(self) -> Hashable:
        """What was asked for, without the time: answers under equal filters may replace each other."""
        return self.time_range.key, self.scope, self.part


def page_context() -> PageContext:
    """Read the clock, the filters and the viewer."""
    now = datetime.now(UTC)
    time_range = RANGES.get(str(st.session_state.get(RANGE)), RANGES[DEFAULT_RANGE])
    return PageContext(
        now=now,
        time_range=time_range,
        window=window_of(time_range, now),
        scope=Scope(st.session_state.get(STORE) or None, st.session_state.get(MODEL) or None),
        look=Look(palette(st.context.theme.type), viewer_zone(st.context.timezone)),
        source=CachedSource(os.environ.get(TARGET_VARIABLE)),
    )


def viewer_zone(name: str | None) -> ZoneInfo:
    """Return the viewer's zone; UTC when the browser does not say, or says nonsense."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def store_names(stores: pd.DataFrame) -> dict[str, str]:
    """Return the name of each store: its id where it has none, and with its id where two share one."""
    names = {
        str(s["store_id"]): cells.text(s["name"]) or str(s["store_id"]) for s in stores.to_dict("records")
    }
    often = Counter(names.values())
    return {key: name if often[name] == 1 else f"{name} ({key})" for key, name in names.items()}
