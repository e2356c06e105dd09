"""The Fleet page: key figures, and the stores, worst first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from dashboard.histograms import Percentiles, percentiles
from dashboard.view_models import cells
from dashboard.view_models.counts import Counts, Point, course, relative_change, sum_counts

CAMERA_TO_DECISION = "camera_to_decision"
# Sparklines of fewer points than this say nothing.
_FEWEST_SPARK_POINTS = 2
# A step with fewer events would make the sparkline jump between 0 and 100 %.
_SPARK_MIN_EVENTS = 8


@dataclass(frozen=True, slots=True)
class Connected:
    """How many carts are online.

    Attributes:
        online: Carts whose last birth or will says online.
        total: Carts ever seen.
        models: Digests of the models they run, most carts first.
        last_seen_at: Newest sign of life, or None.
    """

    online: int
    total: int
    models: tuple[str, ...]
    last_seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class KeyFigures:
    """The row of figures above a page, with the same of the period before.

    Attributes:
        now: Counts of the window.
        before: Counts of the period before.
        latency: Camera to decision in the window.
        latency_before: The same, of the period before.
        carts: How many are online.
        course: Counts over time.
        latency_course_ms: The p95 over time.
        hours: Hours that `now` counts.
        hours_before: Hours that `before` counts; more than `hours` while the present hour is not over.
    """

    now: Counts
    before: Counts
    latency: Percentiles
    latency_before: Percentiles
    carts: Connected
    course: tuple[Point, ...]
    latency_course_ms: tuple[float | None, ...] = ()
    hours: float = 1.0
    hours_before: float = 1.0

    @property
    def events_change(self) -> float | None:
        """Relative change of item events per hour; None without any before."""
        return relative_change(self.now.item_events / self.hours, self.before.item_events / self.hours_before)


@dataclass(frozen=True, slots=True)
class StoreRow:
    """One line of the table of stores."""

    store_id: str
    name: str
    city: str
    counts: Counts
    latency: Percentiles
    carts: Connected
    trend: tuple[float, ...]


def connected(carts: pd.DataFrame) -> Connected:
    """Sum up a frame of carts."""
    if carts.empty:
        return Connected(0, 0, (), None)
    digests = carts["model_digest"].dropna()
    models = tuple(str(m) for m in digests[digests != ""].value_counts().index)
    newest = pd.to_datetime(carts["last_seen_at"], utc=True).max()
    return Connected(int(carts["online"].sum()), len(carts), models, newest.to_pydatetime())


def trend_of(points: Sequence[Point]) -> tuple[float, ...]:
    """Return the percentages of the steps that have enough events, for a sparkline."""
    shares = [
        100 * p.counts.uncontradicted.share
        for p in points
        if p.counts.uncontradicted.share is not None and p.counts.item_events >= _SPARK_MIN_EVENTS
    ]
    return tuple(shares) if len(shares) >= _FEWEST_SPARK_POINTS else ()


def build_key_figures(
    *,
    now: pd.DataFrame,
    before: pd.DataFrame,
    latency: pd.DataFrame,
    latency_before: pd.DataFrame,
    carts: pd.DataFrame,
    steps: Sequence[datetime],
) -> KeyFigures:
    """Build the key figures from event series, merged histograms and carts."""
    return KeyFigures(
        now=sum_counts(now),
        before=sum_counts(before),
        latency=percentiles(_decisions(latency)),
        latency_before=percentiles(_decisions(latency_before)),
        carts=connected(carts),
        course=course(now, steps),
    )


def _decisions(latency: pd.DataFrame) -> pd.DataFrame:
    return latency[latency["stage"] == CAMERA_TO_DECISION]


def build_store_rows(
    stores: pd.DataFrame,
    events: pd.DataFrame,
    latency: pd.DataFrame,
    carts: pd.DataFrame,
    steps: Sequence[datetime],
) -> tuple[StoreRow, ...]:
    """Build the table: lowest uncontradicted share first; stores with too few events last."""
    decisions = _decisions(latency)
    rows = []
    for store in stores.to_dict("records"):
        store_id = str(store["store_id"])
        own = [frame[frame["store_id"] == store_id] for frame in (events, decisions, carts)]
        rows.append(
            StoreRow(
                store_id=store_id,
                name=cells.text(store["name"]) or store_id,
                city=cells.text(store["city"]),
                counts=sum_counts(own[0]),
                latency=percentiles(own[1]),
                carts=connected(own[2]),
                trend=trend_of(course(own[0], steps)),
            )
        )
    return tuple(sorted(rows, key=_worst_first))


def _worst_first(row: StoreRow) -> tuple[bool, float, str]:
    share = row.counts.shown_share
    return share is None, 1.0 if share is None else share, row.name
