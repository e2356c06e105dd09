"""Latency: where does the time go, and does it fit the budget?"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import streamlit as st

from dashboard import formats
from dashboard.charts.frame import Chart
from dashboard.charts.latency import latency_course, percentile_ranges
from dashboard.components.cards import Figure, chart_panel, draw_figures
from dashboard.components.context import PageContext, page_context
from dashboard.components.header import page_header
from dashboard.components.live import live
from dashboard.components.loading import names_of_stores
from dashboard.components.panel import outcome_of, panel
from dashboard.histograms import percentiles
from dashboard.state import Outcome
from dashboard.view_models.latency import STAGE_TITLES, LatencyRow, build_course, build_rows, slowest_first

NOTHING = "No latencies match these filters in this time range. Widen the range or clear the filters."
MERGED = "Merged from the carts' own histograms: percentiles over carts and hours are exact to 1.1 %."
TOTAL = "camera_to_decision"
DEFAULT_BUDGET_MS = 250


@dataclass(frozen=True, slots=True)
class Choice:
    """What the page's own controls say; the budget is one for camera to decision, the whole way."""

    stage: str
    budget_ms: float

    @property
    def line_ms(self) -> float | None:
        """Where the budget line goes in charts of the chosen stage."""
        return self.budget_ms if self.stage == TOTAL else None


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


def load_row(context: PageContext, choice: Choice) -> Outcome[LatencyRow | None]:
    """Load the chosen stage over everything."""
    reading = context.source.latency(context.window, context.scope)
    stage = reading.frame[reading.frame["stage"] == choice.stage]
    rows = build_rows(stage, "stage", STAGE_TITLES, choice.budget_ms)
    return outcome_of(rows[0] if rows else None, (reading,), rows=len(rows))


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


def load_course(context: PageContext, choice: Choice) -> Outcome[Chart]:
    """Load the chosen stage over time."""
    reading = context.source.latency_series(context.window, context.scope, choice.stage)
    points = build_course(reading.frame, context.window.steps())
    chart = latency_course(points, context.window, choice.line_ms, context.look)
    return outcome_of(chart, (reading,), rows=percentiles(reading.frame).n)


def load_rows(context: PageContext, choice: Choice, column: str) -> Outcome[Chart]:
    """Load percentiles side by side: of all stages, or of the chosen stage by store or model."""
    reading = context.source.latency(context.window, context.scope)
    frame, titles, by_stage = reading.frame, dict(STAGE_TITLES), column == "stage"
    if not by_stage:
        frame = frame[frame["stage"] == choice.stage]
        titles = (
            names_of_stores(context)
            if column == "store_id"
            else {str(m): formats.short_version(str(m)) for m in frame["model_digest"].unique()}
        )
    rows = build_rows(frame, column, titles, choice.budget_ms)
    rows = rows if by_stage else slowest_first(rows)
    line = choice.budget_ms if by_stage else choice.line_ms
    return outcome_of(percentile_ranges(rows, line, context.look, log=by_stage), (reading,), rows=len(rows))


live(body)
