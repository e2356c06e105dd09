"""Item events over time: uncontradicted share with its interval, events, asked share."""

from collections.abc import Sequence
from itertools import groupby

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard import formats
from dashboard.charts.frame import Chart, Look, fix_time_axis, gaps_of, lay_out, line_mode, shade_gaps
from dashboard.theme import series_style
from dashboard.timeframe import Window
from dashboard.view_models.counts import Point, pooled

# More lines than this cannot be told apart; the page passes the worst ones.
MAX_SERIES = 5
# Shares live near 100 %; an axis shorter than this makes noise look like news.
_MIN_SPAN = 0.06
# A step with fewer events has no share: 1 of 2 is not 50 %.
MIN_STEP_EVENTS = 10
# Lines of several stores pool each step with its neighbours: single steps cross each other too much to read.
_POOLED_STEPS = 3


def share_course(series: Sequence[tuple[str, Sequence[Point]]], window: Window, look: Look) -> Chart:
    """Draw the uncontradicted share of a few stores on one axis."""
    figure = go.Figure()
    shown = series[:MAX_SERIES]
    for place, (name, points) in enumerate(shown):
        _add_share(figure, name, pooled(points, _POOLED_STEPS), look, place=place)
    lay_out(figure, look, 300)
    figure.update_yaxes(
        tickformat=".0%",
        range=_share_range([p for _, points in shown for p in pooled(points, _POOLED_STEPS)]),
    )
    fix_time_axis(figure, window, look)
    if shown:
        totals = [
            sum(p.counts.item_events for p in at) for at in zip(*(points for _, points in shown), strict=True)
        ]
        shade_gaps(figure, gaps_of([p.at for p in shown[0][1]], totals, window.step), window, look)
    caption = (
        f"Share of item events that nobody contradicted. Each point pools {_POOLED_STEPS} steps; "
        f"fewer than {MIN_STEP_EVENTS} events have no share."
    )
    return Chart(
        figure,
        caption,
        f"Uncontradicted share of {len(shown)} stores over {window.title}.",
        _table(shown, look),
    )


def store_timeline(points: Sequence[Point], window: Window, look: Look) -> Chart:
    """Draw share with interval, events and asked share of one store under each other, on one time axis."""
    figure = make_subplots(
        rows=3,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.09,
        row_heights=[0.5, 0.25, 0.25],
        subplot_titles=("Uncontradicted share, 95 % interval", "Item events per step", "Asked for a barcode"),
    )
    _add_band(figure, points, look)
    _add_share(figure, "Uncontradicted", points, look, row=1)
    _add_events(figure, points, look)
    _add_asked(figure, points, look)
    lay_out(figure, look, 470, legend=False)
    figure.update_layout(margin_t=28, bargap=0.25)
    figure.update_annotations(font_size=12, font_color=look.colours.text, x=0, xanchor="left", xref="paper")
    figure.update_yaxes(tickformat=".0%", range=_share_range(points, band=True), row=1, col=1, nticks=5)
    figure.update_yaxes(rangemode="tozero", row=2, col=1, nticks=4)
    figure.update_yaxes(tickformat=".0%", rangemode="tozero", row=3, col=1, nticks=4)
    fix_time_axis(figure, window, look)
    shade_gaps(
        figure,
        gaps_of([p.at for p in points], [p.counts.item_events for p in points], window.step),
        window,
        look,
    )
    finding = _finding(points)
    return Chart(figure, finding, finding, _table([("store", points)], look))


def _enough(point: Point) -> bool:
    return point.counts.item_events >= MIN_STEP_EVENTS


def _share_range(points: Sequence[Point], *, band: bool = False) -> list[float]:
    rates = [p.counts.uncontradicted for p in points if _enough(p)]
    lows = [r.low if band or r.share is None else r.share for r in rates]
    low = max(0.0, min(*lows, 1 - _MIN_SPAN, 1.0) - 0.01)
    return [low, 1.004]


def _add_share(
    figure: go.Figure,
    name: str,
    points: Sequence[Point],
    look: Look,
    *,
    place: int = 0,
    row: int | None = None,
) -> None:
    style = series_style(place, look.colours)
    trace = go.Scatter(
        x=[look.local(p.at) for p in points],
        y=[p.counts.uncontradicted.share if _enough(p) else None for p in points],
        name=name,
        mode=line_mode(len(points)),
        line={"color": style["color"], "dash": style["dash"], "width": 2},
        marker={"symbol": style["symbol"], "size": 5, "color": style["color"]},
        customdata=[
            [formats.interval(p.counts.uncontradicted), formats.count(p.counts.item_events)] for p in points
        ],
        hovertemplate="%{y:.1%} (%{customdata[0]}, n = %{customdata[1]})",
        connectgaps=False,
    )
    figure.add_trace(trace, **({"row": row, "col": 1} if row else {}))


def _add_band(figure: go.Figure, points: Sequence[Point], look: Look) -> None:
    for stretch in _stretches(points):
        for bound, fill in (("high", None), ("low", "tonexty")):
            figure.add_trace(
                go.Scatter(
                    x=[look.local(p.at) for p in stretch],
                    y=[getattr(p.counts.uncontradicted, bound) for p in stretch],
                    mode="lines",
                    line={"width": 0},
                    fill=fill,
                    fillcolor=look.colours.band,
                    hoverinfo="skip",
                    showlegend=False,
                ),
                row=1,
                col=1,
            )


def _stretches(points: Sequence[Point]) -> list[list[Point]]:
    """Return the runs of neighbouring points that have a share: a band must not bridge a gap."""
    runs = [list(run) for enough, run in groupby(points, key=_enough) if enough]
    return [run for run in runs if len(run) > 1]


def _add_events(figure: go.Figure, points: Sequence[Point], look: Look) -> None:
    figure.add_trace(
        go.Bar(
            x=[look.local(p.at) for p in points],
            y=[p.counts.item_events or None for p in points],
            name="Item events",
            marker_color=look.colours.muted,
            hovertemplate="%{y:,} events",
        ),
        row=2,
        col=1,
    )


def _add_asked(figure: go.Figure, points: Sequence[Point], look: Look) -> None:
    style = series_style(1, look.colours)
    figure.add_trace(
        go.Scatter(
            x=[look.local(p.at) for p in points],
            y=[p.counts.asked.share if _enough(p) else None for p in points],
            name="Asked",
            mode=line_mode(len(points)),
            connectgaps=False,
            line={"color": style["color"], "dash": style["dash"], "width": 2},
            marker={"symbol": style["symbol"], "size": 5},
            customdata=[formats.count(p.counts.item_events) for p in points],
            hovertemplate="%{y:.1%} (n = %{customdata})",
        ),
        row=3,
        col=1,
    )


def _finding(points: Sequence[Point]) -> str:
    known = [p for p in points if _enough(p)]
    if len(known) < 2:
        return "Too few item events to see a course."
    halves = known[: len(known) // 2], known[len(known) // 2 :]
    first, second = (_pooled(half) for half in halves)
    before, after = formats.percent(first), formats.percent(second)
    return f"Uncontradicted: {before} in the first half of the time, {after} in the second."


def _pooled(points: Sequence[Point]) -> float:
    rates = [p.counts.uncontradicted for p in points]
    return sum(r.successes for r in rates) / sum(r.n for r in rates)


def _table(series: Sequence[tuple[str, Sequence[Point]]], look: Look) -> pd.DataFrame:
    rows = [
        (
            name,
            look.local(p.at),
            p.counts.uncontradicted.share,
            p.counts.uncontradicted.low,
            p.counts.uncontradicted.high,
            p.counts.item_events,
            p.counts.asked.share,
        )
        for name, points in series
        for p in points
    ]
    columns = ["series", "at", "uncontradicted", "low_95", "high_95", "n", "asked"]
    return pd.DataFrame(rows, columns=columns)
