"""Latency: where does the time go, and does it fit the budget?"""

from collections.abc import Callable
from functools import partial

import streamlit as st

from dashboard import formats
from dashboard.charts.frame import Chart
from dashboard.components.cards import Figure, chart_panel, draw_figures
from dashboard.components.context import PageContext, page_context
from dashboard.components.header import page_header
from dashboard.components.latency_data import Choice, load_course, load_row, load_rows
from dashboard.components.live import live
from dashboard.components.panel import panel
from dashboard.state import Outcome
from dashboard.view_models.latency import STAGE_TITLES, LatencyRow

NOTHING = "No latencies match these filters in this time range. Widen the range or clear the filters."
MERGED = "Merged from the carts' own histograms: percentiles over carts and hours are exact to 1.1 %."
TOTAL = "camera_to_decision"
DEFAULT_BUDGET_MS = 250


def controls() -> Choice:
    """Draw the page's own controls, bound to the URL."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        title = st.selectbox(
            "Stage", list(STAGE_TITLES.values()), key="stage", bind="query-params", width=240
        )
        budget_ms = st.number_input(
            "Budget, camera to decision (ms)",
            10,
            5000,
            DEFAULT_BUDGET_MS,
            10,
            key="budget",
            bind="query-params",
            width=240,
        )
    return Choice(next(s for s, t in STAGE_TITLES.items() if t == title), float(budget_ms))


def body() -> None:
    """Draw the page once."""
    context = page_context()
    page_header("Latency", context)
    choice = controls()
    title = STAGE_TITLES[choice.stage]
    panel(
        "",
        lambda: load_row(context, choice),
        lambda row: draw_row(row, choice, context),
        context=context,
        key="summary",
        nothing=NOTHING,
        border=False,
        height_px=120,
    )
    cards: list[tuple[str, str, Callable[[], Outcome[Chart]]]] = [
        (f"{title} over time", "course", partial(load_course, context, choice)),
        ("Stages", "stages", partial(load_rows, context, choice, "stage")),
        (f"{title} by store", "stores", partial(load_rows, context, choice, "store_id")),
        (f"{title} by model version", "models", partial(load_rows, context, choice, "model_digest")),
    ]
    places = [st.container(), st.container(), *st.columns(2)]
    for place, (heading, key, load) in zip(places, cards, strict=True):
        with place:
            chart_panel(heading, load, context=context, key=key, explain=MERGED, nothing=NOTHING)


def draw_row(row: LatencyRow | None, choice: Choice, context: PageContext) -> None:
    """Draw the percentiles as figures."""
    if row is None:
        return
    foot = f"n = {formats.count(row.latency.n)}"
    figures = [
        Figure(f"{name}, {row.title.lower()}", formats.milliseconds(value), foot)
        for name, value in (
            ("p50", row.latency.p50_ms),
            ("p95", row.latency.p95_ms),
            ("p99", row.latency.p99_ms),
        )
    ]
    if choice.line_ms is not None:
        figures.append(Figure(f"Within {choice.line_ms:g} ms", formats.percent(row.within_budget), foot))
    draw_figures(figures, context)


live(body)
