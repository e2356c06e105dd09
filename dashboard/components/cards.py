"""Key figures, charts with their tables, and tables with their export."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
import streamlit as st

from dashboard import formats
from dashboard.charts.frame import Chart
from dashboard.components.context import PageContext
from dashboard.components.panel import panel
from dashboard.export import csv_with_header
from dashboard.state import Outcome

_NO_TOOLBAR = {"displayModeBar": False, "displaylogo": False, "showSendToCloud": False}


@dataclass(frozen=True, slots=True)
class Figure:
    """One key figure.

    Attributes:
        label: What it is.
        value: With its unit.
        foot: Its n and interval.
        delta: Change against the period before, with its unit; None when unknown.
        good: Whether more is better, worse, or neither.
        spark: Its course.
        explain: What it means.
        columns: How wide its card is.
    """

    label: str
    value: str
    foot: str
    delta: str | None = None
    good: Literal["normal", "inverse", "off"] = "off"
    spark: Sequence[float] = ()
    explain: str | None = None
    columns: int = 1


def draw_figures(figures: Sequence[Figure], context: PageContext) -> None:
    """Draw key figures in cards of equal height that wrap on narrow screens."""
    grid = st.grid(sum(f.columns for f in figures), min_column_width=146, gap="small")
    for figure in figures:
        place = grid.cell(column_span=figure.columns) if figure.columns > 1 else grid
        with place.container(border=True, height="stretch", gap="xxsmall"):
            _draw_figure(figure, context)


def _draw_figure(figure: Figure, context: PageContext) -> None:
    steady = figure.delta is not None and figure.delta.startswith("±")
    st.metric(
        figure.label,
        figure.value,
        delta=0 if steady else figure.delta,
        delta_color=figure.good,
        # Narrow cards have no room for the words; the first card of the row says it for all.
        delta_description=f"vs {context.window.title} before"
        if figure.delta and figure.columns > 1
        else None,
        chart_data=list(figure.spark) if len(figure.spark) > 1 else None,
        help=figure.explain,
    )
    st.caption(figure.foot)


def draw_chart(chart: Chart, context: PageContext, key: str) -> None:
    """Draw a chart below its finding, with its table on demand."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", wrap=False):
        st.caption(chart.caption, width="stretch")
        table = st.popover(
            "Table", icon=":material/table_rows:", type="tertiary", on_change="rerun", key=f"table_{key}"
        )
        if table.open:
            with table:
                st.dataframe(chart.table, hide_index=True, height=280, alt=chart.alt)
                export_button(chart.table, context, key)
    st.plotly_chart(chart.figure, key=f"chart_{key}", config=_NO_TOOLBAR, alt=chart.alt or chart.caption)


def draw_plain(chart: Chart, key: str) -> None:
    """Draw a small chart whose caption holds all its numbers."""
    st.plotly_chart(chart.figure, key=f"chart_{key}", config=_NO_TOOLBAR, alt=chart.alt)


def chart_panel(
    title: str,
    load: Callable[[], Outcome[Chart]],
    *,
    context: PageContext,
    key: str,
    explain: str,
    nothing: str,
) -> None:
    """Draw a panel that is a chart."""
    panel(
        title,
        load,
        lambda chart: draw_chart(chart, context, key),
        context=context,
        key=key,
        explain=explain,
        nothing=nothing,
        height_px=320,
    )


def draw_table(
    frame: pd.DataFrame, columns: Mapping[str, Any], *, key: str, alt: str, height: int | None = None
) -> None:
    """Draw a table that is read, not clicked."""
    st.dataframe(
        frame,
        column_config=dict(columns),
        hide_index=True,
        key=key,
        alt=alt,
        height=height or "auto",
        placeholder=formats.UNKNOWN,
    )


def export_button(frame: pd.DataFrame, context: PageContext, key: str) -> None:
    """Offer a table as CSV, with header lines that say what it is."""
    st.download_button(
        "CSV",
        csv_with_header(frame, key, context.window, context.scope, context.now),
        file_name=f"cartwright-{key}-{context.time_range.key}.csv",
        mime="text/csv",
        key=f"csv_{key}",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
    )
