"""The evidence of gates: e-values against their threshold, and the difference against its margin."""

import math
from datetime import timedelta
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.frame import Chart, Look, lay_out
from dashboard.sources.control import GateEvidence
from dashboard.view_models.gates import GateCard, crossing, evidence_text

_COURSE_PX, _INTERVAL_PX = 190, 116
# Evidence against harm shrinks without end; what is below says no more than this.
_LEAST = 0.05


def evidence_course(card: GateCard, look: Look) -> Chart:
    """Draw an e-value over time on a logarithmic axis, with its threshold and the moment it was reached."""
    gate, colours = card.evidence, look.colours
    times = [look.local(at) for at, _ in gate.history]
    values = [max(_LEAST, value) for _, value in gate.history]
    figure = go.Figure(
        go.Scatter(
            x=times,
            y=values,
            mode="lines",
            name=card.title,
            line={"color": colours.series[0], "width": 2},
            hovertemplate="%{y:.3g}<extra></extra>",
        )
    )
    lay_out(figure, look, _COURSE_PX, legend=False)
    threshold = gate.threshold or 1.0
    top = max([threshold, *values]) * 2.2
    exponents = range(-1, 9)
    figure.update_yaxes(
        type="log",
        range=[math.log10(min([0.5, *values])), math.log10(top)],
        tickvals=[10.0**e for e in exponents],
        ticktext=[f"{10.0**e:g}" if e < 4 else f"10^{e}" for e in exponents],
    )
    ticks = _ticks(times[-1] - times[0] if times else timedelta())
    figure.update_xaxes(**ticks, hoverformat="%a %d %b %H:%M")
    if times:
        figure.update_xaxes(range=[times[0], times[-1] + (times[-1] - times[0] or timedelta(minutes=1)) / 40])
    if gate.threshold is not None:
        figure.add_hline(y=gate.threshold, line={"color": colours.alarm, "width": 1.5, "dash": "longdash"})
        figure.add_annotation(
            x=0, xref="paper", xanchor="left", y=math.log10(gate.threshold), yanchor="bottom",
            showarrow=False,
            text=f"{'would stop' if card.watches else 'stops'} at {gate.threshold:,.0f}",
            font={"color": colours.alarm, "size": 11},
        )  # fmt: skip
    _mark_crossing(figure, card, look)
    text = evidence_text(gate)
    rows = [(look.local(at), value) for at, value in gate.history]
    return Chart(figure, text, f"{card.title}: {text}", pd.DataFrame(rows, columns=["at", "e_value"]))


def _ticks(span: timedelta) -> dict[str, Any]:
    """Return few ticks that differ, whether the evidence is of minutes or of weeks."""
    if span < timedelta(minutes=5):
        return {"nticks": 3, "tickformat": "%H:%M:%S"}
    if span < timedelta(days=2):
        return {"nticks": 5, "tickformat": "%H:%M"}
    return {"nticks": 5, "tickformat": "%d %b"}


def _mark_crossing(figure: go.Figure, card: GateCard, look: Look) -> None:
    at = crossing(card.evidence)
    if at is None or card.evidence.threshold is None:
        return
    value = next(v for t, v in card.evidence.history if t == at)
    figure.add_trace(
        go.Scatter(
            x=[look.local(at)],
            y=[value],
            mode="markers",
            marker={
                "symbol": "triangle-up",
                "size": 11,
                "color": look.colours.alarm,
                "line": {"width": 1.5, "color": look.colours.surface},
            },
            hovertemplate="reached %{x|%H:%M}<extra></extra>",
        )
    )


def interval_bar(gate: GateEvidence, margin: float, look: Look) -> Chart | None:
    """Draw where the difference is, at all times together, against zero and the margin; None if unknown."""
    if gate.interval is None:
        return None
    colours, (low, high) = look.colours, (100 * bound for bound in gate.interval)
    limit = -100 * margin
    # The margin is a loss: a bar wholly to its right has passed, wholly to its left has failed.
    colour = colours.series[2] if low > limit else colours.alarm if high < limit else colours.series[0]
    figure = go.Figure(
        go.Scatter(
            x=[low, high],
            y=[0, 0],
            mode="lines+markers",
            line={"color": colour, "width": 5},
            marker={"symbol": "line-ns", "size": 16, "line": {"width": 3, "color": colour}},
            hovertemplate="%{x:+.1f} points<extra></extra>",
        )
    )
    lay_out(figure, look, _INTERVAL_PX, legend=False)
    figure.update_layout(margin_t=26)
    reach = max(abs(low), abs(high), abs(limit)) * 1.15
    figure.update_xaxes(range=[-reach, reach], ticksuffix=" pp", nticks=7, tickformat="~g")
    figure.update_yaxes(visible=False, range=[-1, 1])
    figure.add_vline(x=0, line={"color": colours.muted, "width": 1})
    if margin:
        figure.add_vline(x=limit, line={"color": colours.alarm, "width": 1.5, "dash": "longdash"})
        figure.add_annotation(
            x=limit, y=1, yref="paper", yanchor="bottom", showarrow=False,
            text=f"margin \N{MINUS SIGN}{-limit:g}",
            font={"color": colours.alarm, "size": 11},
        )  # fmt: skip
    finding = f"Difference of new model to without: {low:+.1f} to {high:+.1f} points."
    return Chart(figure, finding, finding, pd.DataFrame({"low": [low], "high": [high], "margin": [limit]}))
