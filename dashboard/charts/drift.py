"""Drift: a heat map of distances, distributions now over the past, and cameras over days."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.charts.frame import Chart, Look, lay_out
from dashboard.theme import SYMBOLS
from dashboard.view_models.drift import SIGNALS, Bins, Drift, shift_text
from dashboard.view_models.store import CameraTrace

# The darkest colour: distances of real faults are around it; a fixed top keeps colours comparable.
DARK_AT = 0.5
_MAX_HIGHLIGHTS = 3
# Robust standard deviations from the other cameras before a camera is singled out.
_OUTLIER_Z = 6.0
# Spread below this share of the axis is camera tolerance, not news.
_MIN_SPREAD_SHARE = 0.02


def distance_map(
    drifts: Sequence[Drift], row_titles: Mapping[str, str], look: Look, bins: Mapping[str, Bins]
) -> Chart:
    """Draw distances of rows (stores, cameras) by signal; rows with the largest distance on top."""
    signals = [s for s in SIGNALS if any(d.signal == s for d in drifts)]
    found = {(d.key, d.signal): d for d in drifts}
    keys = sorted(
        row_titles,
        key=lambda k: -max((found[k, s].distance or 0.0 for s in signals if (k, s) in found), default=0.0),
    )
    z = [[found[k, s].distance if (k, s) in found else None for s in signals] for k in keys]
    figure = go.Figure(
        go.Heatmap(
            z=z,
            x=[SIGNALS[s].title.replace(" ", "<br>") for s in signals],
            y=[row_titles[k] for k in keys],
            text=[[_cell(found.get((k, s))) for s in signals] for k in keys],
            texttemplate="%{text}",
            customdata=[[_hover(found.get((k, s))) for s in signals] for k in keys],
            hovertemplate="%{y}, %{x}: %{customdata}<extra></extra>",
            hoverongaps=False,
            zmin=0,
            zmax=DARK_AT,
            colorscale=list(look.colours.sequential),
            xgap=3,
            ygap=3,
            showscale=False,
        )
    )
    lay_out(figure, look, 64 + 36 * max(1, len(keys)), legend=False)
    figure.update_xaxes(side="top", showgrid=False, showline=False, ticks="")
    figure.update_yaxes(autorange="reversed", showgrid=False, showline=False, ticks="")
    worst = max(drifts, key=lambda d: d.distance or 0.0, default=None)
    if worst is None or worst.distance is None:
        return Chart(figure, "", "No distances are known.", drift_table(drifts, row_titles, bins))
    title = row_titles.get(worst.key, worst.key)
    largest = f"Largest: {SIGNALS[worst.signal].title.lower()} of {title}, {worst.distance:.2f} of 1."
    caption = f"{largest} Stronger colour: more different."
    return Chart(figure, caption, caption, drift_table(drifts, row_titles, bins))


def _cell(drift: Drift | None) -> str:
    if drift is None or drift.distance is None:
        return formats.UNKNOWN
    return f"{drift.distance:.2f}{'*' if drift.few else ''}"


def _hover(drift: Drift | None) -> str:
    if drift is None or drift.distance is None:
        return "no counts on one side"
    sides = f"n = {formats.count(drift.n_now)} now, {formats.count(drift.n_reference)} before"
    return f"distance {drift.distance:.3f}, by chance {drift.chance or 0:.3f}, {sides}"


def drift_table(drifts: Sequence[Drift], titles: Mapping[str, str], bins: Mapping[str, Bins]) -> pd.DataFrame:
    """Return the drifts as a table."""
    rows = [
        (
            titles.get(d.key, d.key),
            SIGNALS[d.signal].title if d.signal in SIGNALS else d.signal,
            d.distance,
            d.chance,
            shift_text(d, bins.get(d.signal)),
            d.n_now,
            d.n_reference,
        )
        for d in drifts
    ]
    return pd.DataFrame(
        rows, columns=["who", "signal", "distance", "by_chance", "mean", "n_now", "n_reference"]
    )


def distribution(drift: Drift, bins: Bins, look: Look) -> Chart:
    """Draw the share per bin now over the share per bin in the past."""
    first, last = _extent(drift)
    labels = list(bins.labels[first : last + 1])
    numbers = [bins.centres[i] for i in range(first, last + 1)] if bins.centres else labels
    past, now = _shares(drift.reference)[first : last + 1], _shares(drift.now)[first : last + 1]
    figure = go.Figure()
    figure.add_trace(
        go.Bar(
            x=numbers,
            y=past,
            name="before",
            marker_color=look.colours.muted,
            opacity=0.55,
            customdata=labels,
            hovertemplate="%{customdata}: before %{y:.1%}<extra></extra>",
        )
    )
    line = {"color": look.colours.series[0], "width": 2, "shape": "hvh"}
    figure.add_trace(
        go.Scatter(
            x=numbers,
            y=now,
            name="now",
            mode="lines+markers",
            line=line,
            marker={"size": 4},
            customdata=labels,
            hovertemplate="%{customdata}: now %{y:.1%}<extra></extra>",
        )
    )
    lay_out(figure, look, 220)
    figure.update_layout(bargap=0.08, hovermode="closest")
    figure.update_yaxes(tickformat=".0%", nticks=4, rangemode="tozero")
    figure.update_xaxes(nticks=6, showgrid=False, ticksuffix=f" {bins.unit}" if bins.unit == "g" else "")
    if not bins.centres:
        figure.update_xaxes(type="category", tickangle=-40, nticks=len(labels), tickfont_size=10)
    title = SIGNALS[drift.signal].title if drift.signal in SIGNALS else drift.signal
    alt = f"{title}: distance {drift.distance or 0:.2f} from its past; mean {shift_text(drift, bins)}."
    table = pd.DataFrame({"bin": labels, "before": past, "now": now})
    return Chart(figure, f"Distance {drift.distance or 0:.2f}", alt, table)


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [n / total if total else 0.0 for n in counts]


def _extent(drift: Drift) -> tuple[int, int]:
    """Return the bins worth drawing: those that hold a thousandth of either side, and one beside."""
    heights = np.maximum(_shares(drift.now), _shares(drift.reference))
    some = np.flatnonzero(heights >= 0.001)
    if some.size == 0:
        return 0, len(heights) - 1
    return max(0, int(some[0]) - 1), min(len(heights) - 1, int(some[-1]) + 1)


def outliers(traces: Sequence[CameraTrace]) -> list[CameraTrace]:
    """Return the cameras whose last day is far from the other cameras', farthest first."""
    lasts = np.array([t.means[-1] for t in traces])
    if lasts.size < 4:
        return []
    middle = float(np.median(lasts))
    floor = _MIN_SPREAD_SHARE * max(1.0, abs(middle))
    spread = max(1.4826 * float(np.median(np.abs(lasts - middle))), floor)
    far = [(abs(t.means[-1] - middle) / spread, t) for t in traces]
    return [t for z, t in sorted(far, key=lambda f: -f[0]) if z >= _OUTLIER_Z][:_MAX_HIGHLIGHTS]


def _together(traces: Sequence[CameraTrace], unit: str) -> str:
    if not traces:
        return ""
    first, last = (float(np.median([t.means[i] for t in traces])) for i in (0, -1))
    return f"All {len(traces)} cameras move together, from {first:.3g} to {last:.3g} {unit}."


def camera_days(traces: Sequence[CameraTrace], title: str, unit: str, look: Look) -> Chart:
    """Draw one line per camera, thin and grey, and name those that left the others."""
    figure, apart = go.Figure(), outliers(traces)
    ordered = [t for t in traces if t not in apart] + apart
    for trace in ordered:
        singled = trace in apart
        name = f"{trace.cart_id} {trace.camera}"
        colour = look.colours.series[1 + apart.index(trace)] if singled else look.colours.muted
        figure.add_trace(
            go.Scatter(
                x=[look.local(d) for d in trace.days],
                y=trace.means,
                name=name,
                showlegend=singled,
                mode="lines+markers" if singled else "lines",
                opacity=1.0 if singled else 0.55,
                marker={"size": 6, "symbol": SYMBOLS[1 + apart.index(trace)] if singled else "circle"},
                line={"color": colour, "width": 2.5 if singled else 1},
                customdata=[formats.count(n) for n in trace.counts],
                hovertemplate=f"{name}: %{{y:.3~r}} {unit} (n = %{{customdata}})<extra></extra>",
            )
        )
    lay_out(figure, look, 250 if apart else 220, legend=bool(apart))
    figure.update_yaxes(title=unit or None, nticks=5)
    figure.update_xaxes(type="date", nticks=6, tickformat="%d %b", hoverformat="%a %d %b")
    figure.update_layout(hovermode="closest")
    names = formats.join_words([f"{t.cart_id} {t.camera}" for t in apart])
    caption = f"{names}: far from the other cameras." if apart else _together(traces, unit)
    rows = [
        (t.cart_id, t.camera, day, mean, n)
        for t in traces
        for day, mean, n in zip(t.days, t.means, t.counts, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["cart", "camera", "day", f"mean {unit}".strip(), "n"])
    return Chart(figure, caption, f"{title}: {caption}", table)
