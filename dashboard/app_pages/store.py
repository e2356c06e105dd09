"""Store: what is wrong here, since when?"""

import pandas as pd
import streamlit as st

from dashboard import formats
from dashboard.components.cards import draw_chart, draw_table, export_button
from dashboard.components.columns import (
    CART_COLUMNS,
    EVENT_COLUMNS,
    VITAL_COLUMNS,
    cart_table,
    event_table,
    vital_table,
)
from dashboard.components.context import PageContext
from dashboard.components.figures import UNCONTRADICTED, draw_key_figures
from dashboard.components.header import page_header
from dashboard.components.live import live
from dashboard.components.loading import load_key_figures
from dashboard.components.one_store import one_store
from dashboard.components.panel import panel
from dashboard.components.store_data import (
    NEWEST,
    load_cameras,
    load_carts,
    load_events,
    load_timeline,
    load_vitals,
)
from dashboard.view_models.drift import SIGNALS
from dashboard.view_models.store import (
    CartRow,
    EventRow,
)
from dashboard.view_models.vitals import VitalRow

NOTHING = "No item events match these filters in this time range. Widen the range or clear the filters."


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
    panel(
        "Cart health, last hour",
        lambda: load_vitals(context),
        lambda rows: draw_vitals(rows, context),
        context=context,
        key="vitals",
        explain="What the carts report about their own cameras, scale, engine and computer.",
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


def draw_carts(rows: tuple[CartRow, ...], context: PageContext) -> None:
    """Draw the table of carts."""
    frame = cart_table(rows)
    draw_table(frame, CART_COLUMNS, key="carts_table", alt=f"{len(rows)} carts, offline ones first.")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Offline first, then the lowest uncontradicted share.", width="content")
        st.space("stretch")
        export_button(frame, context, "carts")


def draw_vitals(rows: tuple[VitalRow, ...], context: PageContext) -> None:
    """Draw the table of cart health."""
    frame = vital_table(rows)
    draw_table(frame, VITAL_COLUMNS, key="vitals_table", alt=f"Health of {len(rows)} carts, trouble first.")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Trouble first. Each cart speaks for itself, once a minute.", width="content")
        st.space("stretch")
        export_button(frame, context, "cart_health")


def draw_cameras(context: PageContext, signal: str) -> None:
    """Draw one signal of all cameras by day, always over four weeks: faults begin slowly."""
    title = f"{SIGNALS[signal].title} by camera, 28 d"

    panel(
        title,
        lambda: load_cameras(context, signal, title),
        lambda chart: draw_chart(chart, context, f"cameras_{signal}"),
        context=context,
        key=f"cameras_{signal}",
        explain=f"Daily mean. A change may mean {SIGNALS[signal].meaning}.",
        nothing="The cameras of this store have sent no such counts yet.",
    )


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
