"""Counts of item events summed up: rates with intervals, and their course over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from dashboard.wilson import Rate, rate

# A share of fewer events is hidden and only its n is shown.
MIN_EVENTS = 30


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of item events.

    Attributes:
        uncontradicted: Item events that no correction, barcode or audit contradicted, of all.
        asked: Item events for which the cart asked for a barcode, of all.
        item_events: All.
        labelled: Item events with any label.
    """

    uncontradicted: Rate
    asked: Rate
    item_events: int
    labelled: int

    @property
    def enough(self) -> bool:
        """Whether there are enough events for a share to be shown."""
        return self.item_events >= MIN_EVENTS

    @property
    def shown_share(self) -> float | None:
        """The uncontradicted share, or None where n is too small to show one."""
        return self.uncontradicted.share if self.enough else None


@dataclass(frozen=True, slots=True)
class Point:
    """Counts of one step of time."""

    at: datetime
    counts: Counts


def sum_counts(frame: pd.DataFrame) -> Counts:
    """Sum a frame with item_events, contradicted, labelled and asked."""
    events, contradicted, labelled, asked = (
        int(frame[column].sum()) for column in ("item_events", "contradicted", "labelled", "asked")
    )
    return Counts(
        rate(max(0, events - contradicted), events), rate(min(asked, events), events), events, labelled
    )


def course(frame: pd.DataFrame, steps: Sequence[datetime]) -> tuple[Point, ...]:
    """Return the counts of each step, also of those without rows: a gap is a point with n = 0."""
    times = pd.to_datetime(frame["at"], utc=True) if len(frame) else frame["at"]
    groups = {at.to_pydatetime(): rows for at, rows in frame.groupby(times)} if len(frame) else {}
    nothing = frame.iloc[0:0]
    return tuple(Point(at, sum_counts(groups.get(at, nothing))) for at in steps)


def pooled(points: Sequence[Point], width: int) -> tuple[Point, ...]:
    """Return each point with its neighbours' counts added: `width` steps together, fewer at the ends.

    A step without events stays without: a gap is not filled from beside it.
    """
    half = width // 2
    return tuple(
        Point(point.at, add_counts([p.counts for p in points[max(0, i - half) : i + half + 1]]))
        if point.counts.item_events
        else point
        for i, point in enumerate(points)
    )


def add_counts(parts: Sequence[Counts]) -> Counts:
    """Add counts."""
    events = sum(c.item_events for c in parts)
    return Counts(
        rate(sum(c.uncontradicted.successes for c in parts), events),
        rate(sum(c.asked.successes for c in parts), events),
        events,
        sum(c.labelled for c in parts),
    )


def change(now: float | None, before: float | None) -> float | None:
    """Return now - before, or None when either is unknown."""
    return None if now is None or before is None else now - before


def relative_change(now: float | None, before: float | None) -> float | None:
    """Return the relative change, or None when unknown or from zero."""
    return None if now is None or not before else now / before - 1
