"""Fleet: which stores need attention?"""

import streamlit as st

from dashboard import formats
from dashboard.charts.frame import Chart
from dashboard.charts.marks import with_marks
from dashboard.charts.timeline import MAX_SERIES, share_course
from dashboard.components.cards import draw_chart, export_button
from dashboard.components.columns import STORE_COLUMNS, store_table
from dashboard.components.context import PageContext, page_context
from dashboard.components.figures import UNCONTRADICTED, draw_key_figures
from dashboard.components.filters import open_store
from dashboard.components.header import page_header
from dashboard.components.live import live
from dashboard.components.loading import load_key_figures, load_marks, load_store_rows
from dashboard.components.panel import outcome_of, panel
from dashboard.state import Outcome
from dashboard.view_models.counts import MIN_EVENTS, course
from dashboard.view_models.fleet import StoreRow

NOTHING = "No item events match these filters in this time range. Widen the range or clear the filters."
WORST_FIRST = (
    f"Lowest uncontradicted share first; stores with fewer than {MIN_EVENTS} item events last, "
    "without a share. Click a row to open the store."
)


def body() -> None:
    """Draw the page once."""
    context = page_context()
    page_header("Fleet", context)
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
        "Stores, worst first",
        lambda: load_store_rows(context),
        lambda rows: draw_stores(rows, context),
        context=context,
        key="stores",
        explain=WORST_FIRST,
        nothing=NOTHING,
    )
    panel(
        "Uncontradicted share over time",
        lambda: load_courses(context),
        lambda chart: draw_chart(chart, context, "courses"),
        context=context,
        key="courses",
        explain=UNCONTRADICTED,
        nothing=NOTHING,
        height_px=340,
    )


def load_courses(context: PageContext) -> Outcome[Chart]:
    """Load the course of the lowest stores."""
    rows = load_store_rows(context)
    events = context.source.event_series(context.window, context.scope)
    steps = context.window.steps()
    series = [
        (row.name, course(events.frame[events.frame["store_id"] == row.store_id], steps))
        for row in (rows.value or ())[:MAX_SERIES]
        if row.counts.item_events
    ]
    return outcome_of(
        with_marks(
            share_course(series, context.window, context.look),
            load_marks(context),
            context.window,
            context.look,
        ),
        (events,),
        data_until=rows.data_until,
        rows=len(series),
    )


def draw_stores(rows: tuple[StoreRow, ...], context: PageContext) -> None:
    """Draw the table; a click opens the store."""
    frame = store_table(rows)
    chosen = st.dataframe(
        frame,
        column_config=STORE_COLUMNS,
        hide_index=True,
        key="stores_table",
        on_select="rerun",
        selection_mode=["single-row", "single-cell"],
        placeholder=formats.UNKNOWN,
        alt=f"{len(rows)} stores, worst first: {rows[0].name}.",
    ).selection
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(WORST_FIRST, width="content")
        st.space("stretch")
        export_button(frame.drop(columns="Trend"), context, "stores")
    places = [*chosen.rows, *(row for row, _ in chosen.cells)]
    if places and places[0] < len(rows):
        open_store(rows[places[0]].store_id)


live(body)
