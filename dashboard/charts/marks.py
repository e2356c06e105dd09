"""Marks of rollouts on time charts: a line from top to bottom, a sign above, its words on hovering."""

from collections.abc import Sequence
from dataclasses import replace
from html import escape

import plotly.graph_objects as go

from dashboard.charts.frame import Chart, Look
from dashboard.timeframe import Window
from dashboard.view_models.marks import Mark

# Signs nearer to each other than this share of the window are drawn as one, which counts them.
_APART = 0.02
# More of them on one chart say nothing.
MOST_LINES = 40
LEGEND = "Upright lines are rollouts; point at a sign above for what happened."
UNKNOWN = "Rollouts are not marked: the warehouse did not answer for them."


def with_marks(chart: Chart, marks: Sequence[Mark] | None, window: Window, look: Look) -> Chart:
    """Return a time chart with marks drawn into its figure.

    Args:
        chart: The chart; its time axis is the window.
        marks: Of rollouts, the oldest first; None: nobody knows whether there were any.
        window: Of the chart.
        look: How to draw.
    """
    if marks is None:
        return replace(chart, caption=f"{chart.caption} {UNKNOWN}")
    seen = [mark for mark in marks if window.start <= mark.at < window.end][-MOST_LINES:]
    for mark in seen:
        _draw_line(chart.figure, mark, look)
    for group in _groups(seen, window):
        _draw_sign(chart.figure, group, look)
    return replace(chart, caption=f"{chart.caption} {LEGEND}") if seen else chart


def _groups(marks: Sequence[Mark], window: Window) -> list[list[Mark]]:
    groups: list[list[Mark]] = []
    for mark in marks:
        if groups and (mark.at - groups[-1][0].at) / window.length < _APART:
            groups[-1].append(mark)
        else:
            groups.append([mark])
    return groups


def _draw_line(figure: go.Figure, mark: Mark, look: Look) -> None:
    # A shape of the paper spans all charts that share the time axis; add_vline would draw one on each.
    figure.add_shape(
        type="line",
        xref="x",
        yref="paper",
        x0=look.local(mark.at),
        x1=look.local(mark.at),
        y0=0,
        y1=1,
        layer="below",
        line={
            "color": look.colours.alarm if mark.stop else look.colours.text,
            "width": 1,
            "dash": "dash" if mark.stop else "dot",
        },
    )


def _draw_sign(figure: go.Figure, group: Sequence[Mark], look: Look) -> None:
    sign = next((mark.sign for mark in group if mark.stop), group[0].sign)
    lines = [f"{look.local(mark.at):%a %H:%M} {escape(mark.text)}" for mark in group]
    stop = any(mark.stop for mark in group)
    figure.add_annotation(
        x=look.local(group[0].at),
        xref="x",
        y=1,
        yref="paper",
        yanchor="bottom",
        showarrow=False,
        text=sign if len(group) == 1 else f"{sign}{len(group)}",
        font={"size": 11, "color": look.colours.alarm if stop else look.colours.text},
        hovertext="<br>".join(lines),
    )
