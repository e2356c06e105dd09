"""Store: what is wrong here, since when?"""

import pandas as pd
import streamlit as st

from dashboard import formats
from dashboard.charts.drift import camera_days
from dashboard.charts.frame import Chart
from dashboard.charts.timeline import store_timeline
from dashboard.components.cards import draw_chart, draw_table, export_button
from dashboard.components.columns import CART_COLUMNS, EVENT_COLUMNS, cart_table, event_table
from dashboard.components.context import PageContext
from dashboard.components.figures import UNCONTRADICTED, draw_key_figures
from dashboard.components.header import page_header
from dashboard.components.live import live
from dashboard.components.loading import in_scope, load_key_figures, newest_sign
from dashboard.components.one_store import one_store
from dashboard.components.panel import outcome_of, panel
from dashboard.state import Outcome
from dashboard.timeframe import RANGES, window_of
from dashboard.view_models.counts import course
from dashboard.view_models.drift import SIGNALS, build_bins
from dashboard.view_models.store import (
    CartRow,
    EventRow,
    build_camera_traces,
    build_cart_rows,
    build_event_rows,
)

NOTHING = "No item events match these filters in this time range. Widen the range or clear the filters."
NEWEST = 50


def body() -> None:
    """Draw the page once."""
    found = one_store()
    if found is None:
        return
    context, name, subtitle = found
    page_header(name, context, subtitle)
    panel(
        "",
        lambda: load_key_figures(context),
        lambda figures: draw_key_figures(figures, context),
        context=context,
        key="figures",
        nothing=NOTHING,
        border=False,
        height_px=170,
    )
    panel(
        "Timeline",
        lambda: load_timeline(context),
        lambda chart: draw_chart(chart, context, "timeline"),
        context=context,
        key="timeline",
        explain=UNCONTRADICTED,
        nothing=NOTHING,
        height_px=480,
    )
    panel(
        "Carts",
        lambda: load_carts(context),
        lambda rows: draw_carts(rows, context),
        context=context,
        key="carts",
        explain="Offline first, then the lowest uncontradicted share.",
        nothing="This store has no carts yet.",
    )
    for column, signal in zip(st.columns(2), ("blur", "brightness"), strict=True):
        with column:
            draw_cameras(context, signal)
    panel(
        "Latest item events",
        lambda: load_events(context),
        lambda rows: draw_events(rows, context),
        context=context,
        key="events",
        explain="What the cart decided, and what people said about it since.",
        nothing=NOTHING,
    )


def load_timeline(context: PageContext) -> Outcome[Chart]:
    """Load the store's course."""
    events = context.source.event_series(context.window, context.scope)
    points = course(events.frame, context.window.steps())
    return outcome_of(store_timeline(points, context.window, context.look), (events,), rows=len(events.frame))


def load_carts(context: PageContext) -> Outcome[tuple[CartRow, ...]]:
    """Load the store's carts; online carts that decided nothing are named as missing."""
    source, window, scope = context.source, context.window, context.scope
    carts, events, activity = (
        source.carts(),
        source.cart_events(window, scope),
        source.cart_activity(window, scope),
    )
    here = in_scope(carts.frame, scope)
    rows = build_cart_rows(here, events.frame, activity.frame)
    return outcome_of(rows, (carts, events, activity), rows=len(rows), data_until=newest_sign(here))


def draw_carts(rows: tuple[CartRow, ...], context: PageContext) -> None:
    """Draw the table of carts."""
    frame = cart_table(rows)
    draw_table(frame, CART_COLUMNS, key="carts_table", alt=f"{len(rows)} carts, offline ones first.")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Offline first, then the lowest uncontradicted share.", width="content")
        st.space("stretch")
        export_button(frame, context, "carts")


def draw_cameras(context: PageContext, signal: str) -> None:
    """Draw one signal of all cameras by day, always over four weeks: faults begin slowly."""
    title = f"{SIGNALS[signal].title} by camera, 28 d"

    def load() -> Outcome[Chart]:
        window = window_of(RANGES["28d"], context.now)
        rows, bins = context.source.camera_days(window, context.scope, signal), context.source.signal_bins()
        scale = build_bins(bins.frame, {})[signal]
        traces = build_camera_traces(rows.frame, scale.centres)
        unit = scale.unit or "log2 variance"
        return outcome_of(camera_days(traces, title, unit, context.look), (rows, bins), rows=len(traces))

    panel(
        title,
        load,
        lambda chart: draw_chart(chart, context, f"cameras_{signal}"),
        context=context,
        key=f"cameras_{signal}",
        explain=f"Daily mean. A change may mean {SIGNALS[signal].meaning}.",
        nothing="The cameras of this store have sent no such counts yet.",
    )


def load_events(context: PageContext) -> Outcome[tuple[EventRow, ...]]:
    """Load the newest item events."""
    events, items = (
        context.source.recent_events(context.window, context.scope, NEWEST),
        context.source.items(),
    )
    names = dict(zip(items.frame["item_id"].astype(str), items.frame["name"].astype(str), strict=True))
    return outcome_of(build_event_rows(events.frame, names), (events, items), rows=len(events.frame))


def draw_events(rows: tuple[EventRow, ...], context: PageContext) -> None:
    """Draw the newest item events."""
    frame: pd.DataFrame = event_table(rows, context.zone)
    draw_table(
        frame, EVENT_COLUMNS, key="events_table", height=420, alt=f"The {len(rows)} newest item events."
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"The newest {formats.count(len(rows))}, at most {NEWEST}.", width="content")
        st.space("stretch")
        export_button(frame, context, "events")


live(body)
