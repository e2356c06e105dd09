"""Latency: percentiles side by side and over time, always with the budget in sight."""

import math
from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.charts.frame import Chart, Look, fix_time_axis, gaps_of, lay_out, line_mode, shade_gaps
from dashboard.theme import series_style
from dashboard.timeframe import Window
from dashboard.view_models.fleet import CAMERA_TO_DECISION
from dashboard.view_models.latency import LatencyPoint, LatencyRow

_PARTS = (("p50", "p50_ms", 0), ("p95", "p95_ms", 1), ("p99", "p99_ms", 2))
_ROW_PX = 34
# A chart of fewer rows is still drawn this high, so that neighbours look alike.
_FEWEST_ROWS = 4


def percentile_ranges(rows: Sequence[LatencyRow], budget_ms: float | None, look: Look, *, log: bool) -> Chart:
    """Draw p50, p95 and p99 of each row on one axis: one line per row, one mark per percentile.

    Args:
        rows: First row on top.
        budget_ms: Where the budget line goes; None for no line.
        look: How to draw.
        log: A logarithmic axis, for rows that differ by orders of magnitude.
    """
    figure = go.Figure()
    titles = [row.title for row in rows]
    for row in rows:
        ends = [v for v in (row.latency.p50_ms, row.latency.p99_ms or row.latency.p95_ms) if v is not None]
        figure.add_trace(
            go.Scatter(
                x=ends,
                y=[row.title] * len(ends),
                mode="lines",
                showlegend=False,
                hoverinfo="skip",
                line={"color": look.colours.muted, "width": 3},
            )
        )
    for name, field, place in _PARTS:
        style = series_style(place, look.colours)
        figure.add_trace(
            go.Scatter(
                x=[getattr(row.latency, field) for row in rows],
                y=titles,
                name=name,
                mode="markers",
                marker={
                    "color": style["color"],
                    "symbol": style["symbol"],
                    "size": 10,
                    "line": {"width": 1.5, "color": look.colours.surface},
                },
                customdata=[
                    [formats.milliseconds(getattr(row.latency, field)), formats.count(row.latency.n)]
                    for row in rows
                ],
                hovertemplate=f"%{{y}}: {name} %{{customdata[0]}}, n = %{{customdata[1]}}<extra></extra>",
            )
        )
    lay_out(figure, look, 88 + _ROW_PX * max(_FEWEST_ROWS, len(rows)))
    # A category even where all titles are digits, as eight characters of a digest may be.
    figure.update_yaxes(
        type="category", autorange="reversed", showgrid=False, categoryorder="array", categoryarray=titles
    )
    figure.update_xaxes(
        type="log" if log else "linear", ticksuffix=" ms", rangemode="normal" if log else "tozero"
    )
    if log:
        figure.update_xaxes(dtick=1)
    if budget_ms is not None:
        _draw_budget(figure, budget_ms, look, at=math.log10(budget_ms) if log else budget_ms)
    finding = _finding(rows, budget_ms)
    return Chart(figure, finding, finding, latency_table(rows))


def latency_course(
    points: Sequence[LatencyPoint], window: Window, budget_ms: float | None, look: Look
) -> Chart:
    """Draw p50, p95 and p99 over time, from zero, with the budget line."""
    figure = go.Figure()
    for name, field, place in _PARTS:
        style = series_style(place, look.colours)
        figure.add_trace(
            go.Scatter(
                x=[look.local(p.at) for p in points],
                y=[getattr(p.latency, field) for p in points],
                name=name,
                mode=line_mode(len(points)),
                connectgaps=False,
                line={"color": style["color"], "dash": style["dash"], "width": 2},
                marker={"symbol": style["symbol"], "size": 5},
                customdata=[formats.count(p.latency.n) for p in points],
                hovertemplate="%{y:.3s} ms (n = %{customdata})",
            )
        )
    lay_out(figure, look, 320)
    highest = max((p.latency.p99_ms or p.latency.p95_ms or 0.0 for p in points), default=0.0)
    figure.update_yaxes(ticksuffix=" ms", range=[0, 1.08 * max(highest, budget_ms or 0.0, 1.0)])
    fix_time_axis(figure, window, look)
    shade_gaps(
        figure, gaps_of([p.at for p in points], [p.latency.n for p in points], window.step), window, look
    )
    if budget_ms is not None:
        _draw_budget(figure, budget_ms, look, at=None)
    known = [p for p in points if p.latency.p95_ms is not None]
    over = [p for p in known if budget_ms is not None and (p.latency.p95_ms or 0.0) > budget_ms]
    finding = f"p95 was above the budget in {len(over)} of {len(known)} steps." if budget_ms else ""
    rows = [
        (look.local(p.at), p.latency.p50_ms, p.latency.p95_ms, p.latency.p99_ms, p.latency.n) for p in points
    ]
    return Chart(
        figure, finding, finding, pd.DataFrame(rows, columns=["at", "p50_ms", "p95_ms", "p99_ms", "n"])
    )


def _draw_budget(figure: go.Figure, budget_ms: float, look: Look, *, at: float | None) -> None:
    """Draw the budget: across at its height, or upright at a place of the x axis.

    That place is the budget's logarithm on a log axis.
    Plotly takes shapes in data units and annotations in axis units, which differ on a log axis.
    """
    colour = look.colours.alarm
    line = {"color": colour, "width": 1.5, "dash": "longdash"}
    label = {"text": f"budget {budget_ms:g} ms", "showarrow": False, "font": {"color": colour, "size": 11}}
    if at is None:
        figure.add_hline(y=budget_ms, line=line)
        figure.add_annotation(x=1, xref="paper", xanchor="right", y=budget_ms, yanchor="bottom", **label)
    else:
        figure.add_vline(x=budget_ms, line=line)
        figure.add_annotation(x=at, y=1, yref="paper", yanchor="bottom", **label)


def latency_table(rows: Sequence[LatencyRow]) -> pd.DataFrame:
    """Return the rows as a table."""
    found = [
        (r.title, r.latency.p50_ms, r.latency.p95_ms, r.latency.p99_ms, r.within_budget, r.latency.n)
        for r in rows
    ]
    return pd.DataFrame(found, columns=["name", "p50_ms", "p95_ms", "p99_ms", "within_budget", "n"])


def _finding(rows: Sequence[LatencyRow], budget_ms: float | None) -> str:
    if not rows:
        return "No latency was measured."
    parts = [r for r in rows if r.key != CAMERA_TO_DECISION]
    if parts and len(parts) < len(rows):
        longest = max(parts, key=lambda r: r.latency.p95_ms or 0.0)
        p95 = formats.milliseconds(longest.latency.p95_ms)
        return f"{longest.title} takes longest: p95 {p95}. Logarithmic axis."
    worst = max(rows, key=lambda r: r.latency.p95_ms or 0.0)
    slowest = "Slowest is " if len(rows) > 1 else ""
    sentence = f"{slowest}{worst.title}: p95 {formats.milliseconds(worst.latency.p95_ms)}"
    if budget_ms is None or worst.latency.p95_ms is None:
        return f"{sentence}."
    side = "above" if worst.latency.p95_ms > budget_ms else "within"
    return f"{sentence}, {side} the budget of {budget_ms:g} ms."
