"""Drift: what looks different from a store's own past?"""

from functools import partial

import streamlit as st

from dashboard import formats
from dashboard.charts.drift import distance_map, distribution
from dashboard.components.cards import draw_chart
from dashboard.components.context import PageContext, page_context
from dashboard.components.drift_data import (
    MOST_ROWS_OF_ONE_STORE,
    MOST_STORES_AT_ONCE,
    DriftTable,
    load_parts,
    load_stores,
)
from dashboard.components.header import page_header
from dashboard.components.live import live
from dashboard.components.panel import panel
from dashboard.distances import FEW_COUNTS
from dashboard.timeframe import Comparison, comparison_of
from dashboard.view_models.drift import SIGNALS, Drift, shift_text

HOW = (
    "Jensen-Shannon distance, base 2, of the counts now to the same store's past: "
    "0 is equal, 1 has nothing in common. "
    "It measures and does not test yet: nothing corrects for looking at many signals. "
    f"A star marks fewer than {FEW_COUNTS} counts on one side, which say little."
)
NOTHING = (
    "There is nothing to compare: no counts in this time range, or no past that is older than a week. "
    "Widen the range, or wait until the fleet has a history."
)
NO_PARTS = (
    "There are no whole-day counts to compare yet; they follow the hourly ones within minutes. "
    f"In a fleet of more than {MOST_STORES_AT_ONCE} stores, choose a store first."
)
WHOLE_DAYS = (
    "Counted by whole days (UTC), all model versions together; "
    f"at most {MOST_ROWS_OF_ONE_STORE} of one store while all stores are shown. {HOW}"
)


def body() -> None:
    """Draw the page once."""
    context = page_context()
    page_header("Drift", context, _compared(comparison_of(context.window)))
    panel(
        "Stores against their own past",
        lambda: load_stores(context),
        lambda found: draw_map(found, context, "stores"),
        context=context,
        key="stores",
        explain=HOW,
        nothing=NOTHING,
        height_px=280,
    )
    where = "" if context.scope.store_id else ", all stores"
    for place, title, cameras in zip(st.columns(2), ("Cameras", "Carts"), (True, False), strict=True):
        with place:
            panel(
                f"{title} that changed most{where}",
                partial(load_parts, context, cameras=cameras),
                partial(draw_map, context=context, key=title.lower()),
                context=context,
                key=title.lower(),
                explain=WHOLE_DAYS,
                height_px=280,
                nothing=NO_PARTS,
            )
    panel(
        "",
        lambda: load_stores(context),
        lambda found: draw_distributions(found, context),
        context=context,
        key="distributions",
        explain=HOW,
        nothing=NOTHING,
        border=False,
        height_px=480,
    )


def _compared(comparison: Comparison) -> str:
    hours = ", same hours of the day" if comparison.same_hours else ""
    return f"last {comparison.now.title} against 28 to 7 days ago{hours}"


def draw_map(found: DriftTable, context: PageContext, key: str) -> None:
    """Draw distances as a heat map."""
    draw_chart(distance_map(found.drifts, found.titles, context.look, found.bins), context, f"{key}_map")


def draw_distributions(found: DriftTable, context: PageContext) -> None:
    """Draw each signal of one store: the chosen one, or the most changed one."""
    known = [d for d in found.drifts if d.distance is not None]
    store_id = context.scope.store_id or known[0].key
    name = found.titles.get(store_id, store_id)
    chosen = "" if context.scope.store_id else ", the most changed store"
    st.markdown(f"##### Now over its past: {name}{chosen}", width="content")
    mine = {d.signal: d for d in known if d.key == store_id}
    with st.grid(4, min_column_width=220, gap="small"):
        for signal in [s for s in SIGNALS if s in mine and s in found.bins]:
            with st.container(border=True, height="stretch"):
                draw_distribution(mine[signal], found, context)


def draw_distribution(drift: Drift, found: DriftTable, context: PageContext) -> None:
    """Draw one signal."""
    bins = found.bins[drift.signal]
    st.markdown(
        f"**{SIGNALS[drift.signal].title}**", help=f"A change may mean {SIGNALS[drift.signal].meaning}."
    )
    draw_chart(distribution(drift, bins, context.look), context, f"distribution_{drift.signal}")
    mean = f"Mean {shift_text(drift, bins)} · " if drift.mean_now is not None else ""
    few = ", few: read with caution" if drift.few else ""
    n = f"n = {formats.count(drift.n_now)} now, {formats.count(drift.n_reference)} before{few}"
    st.caption(f"{mean}{n} · chance alone: {drift.chance or 0:.2f}")


live(body)
