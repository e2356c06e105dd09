"""What all charts share: layout, time axis, gaps, and what comes with a figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd
import plotly.graph_objects as go

from dashboard.theme import Palette
from dashboard.timeframe import Window

# The same for ever: Plotly keeps zoom and hidden series as long as it does not change.
UI_REVISION = "cartwright"
# A shaded gap narrower than this share of the window has no room for its label.
_LABEL_SHARE = 0.09


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure and what belongs to it.

    Attributes:
        figure: For Plotly.
        caption: One sentence: what it shows.
        alt: For those who do not see it: the finding, not the kind of chart.
        table: The same numbers.
    """

    figure: go.Figure
    caption: str
    alt: str
    table: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Look:
    """How to draw.

    Attributes:
        colours: Of the theme.
        zone: The viewer's time zone.
    """

    colours: Palette
    zone: ZoneInfo

    def local(self, at: datetime) -> datetime:
        """Return the viewer's wall clock: Plotly draws times as they are written."""
        return at.astimezone(self.zone).replace(tzinfo=None)


def lay_out(figure: go.Figure, look: Look, height: int, *, legend: bool = True) -> go.Figure:
    """Give a figure the common layout."""
    colours = look.colours
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 12, "t": 46 if legend else 12, "b": 8},
        uirevision=UI_REVISION,
        showlegend=legend,
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.0,
            "yref": "container",
            "yanchor": "top",
            "font": {"size": 12},
        },
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": colours.text, "size": 12},
        hoverlabel={"font": {"size": 12}},
        dragmode=False,
    )
    figure.update_xaxes(gridcolor=colours.grid, linecolor=colours.grid, zeroline=False, automargin=True)
    figure.update_yaxes(
        gridcolor=colours.grid, linecolor=colours.grid, zeroline=False, automargin=True, title_standoff=8
    )
    return figure


def fix_time_axis(figure: go.Figure, window: Window, look: Look) -> None:
    """Show the window that was asked for, whatever data came."""
    start, end = look.local(window.floor(window.start)), look.local(window.end)
    figure.update_xaxes(range=[start, end], type="date", title=None, hoverformat="%a %d %b %H:%M", nticks=9)
    # Days of the week matter to shops; the second line appears only where the day changes.
    day = window.length >= timedelta(days=2)
    figure.update_xaxes(tickformat="%d %b" if day else "%H:%M\n%a %d %b")
    figure.update_layout(hovermode="x unified")


def gaps_of(
    times: Sequence[datetime], counts: Sequence[int], step: timedelta
) -> list[tuple[datetime, datetime]]:
    """Return the stretches of time whose steps counted nothing."""
    gaps: list[tuple[datetime, datetime]] = []
    for at, n in zip(times, counts, strict=True):
        if n > 0:
            continue
        if gaps and gaps[-1][1] == at:
            gaps[-1] = (gaps[-1][0], at + step)
        else:
            gaps.append((at, at + step))
    return gaps


def shade_gaps(
    figure: go.Figure, gaps: Sequence[tuple[datetime, datetime]], window: Window, look: Look
) -> None:
    """Shade the stretches without data and say so: a missing line alone is easily overlooked."""
    for start, end in gaps:
        figure.add_vrect(
            x0=look.local(start),
            x1=look.local(min(end, window.end)),
            fillcolor=look.colours.gap,
            line_width=0,
            layer="below",
        )
        if (end - start) / window.length >= _LABEL_SHARE:
            figure.add_annotation(
                x=look.local(start + (end - start) / 2),
                y=0.99,
                yanchor="top",
                yref="paper",
                text="no data",
                showarrow=False,
                font={"size": 11, "color": look.colours.text},
            )


def line_mode(points: int) -> str:
    """Return Plotly's mode: markers only where they stay apart."""
    return "lines+markers" if points <= 40 else "lines"
