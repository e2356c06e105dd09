"""The Latency page: percentiles per stage, store and model, and over time, from merged histograms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from dashboard.histograms import Percentiles, percentiles, share_within

# On screen, in the order in which a frame passes them.
STAGE_TITLES: dict[str, str] = {
    "camera_to_decision": "Camera to decision",
    "capture": "Capture",
    "queue": "Queue",
    "preprocess": "Preprocess",
    "infer": "Inference",
    "decode": "Decode",
    "fuse": "Fuse",
}


@dataclass(frozen=True, slots=True)
class LatencyRow:
    """Percentiles of one stage, store or model."""

    key: str
    title: str
    latency: Percentiles
    within_budget: float | None


@dataclass(frozen=True, slots=True)
class LatencyPoint:
    """Percentiles of one step of time."""

    at: datetime
    latency: Percentiles


def build_rows(
    frame: pd.DataFrame, column: str, titles: Mapping[str, str], budget_ms: float
) -> tuple[LatencyRow, ...]:
    """Return one row per value of a column that has observations: in the order of the titles."""
    order = {key: place for place, key in enumerate(titles)}
    groups = sorted(frame.groupby(column), key=lambda g: (order.get(str(g[0]), len(order)), str(g[0])))
    return tuple(
        LatencyRow(str(key), titles.get(str(key), str(key)), percentiles(rows), share_within(rows, budget_ms))
        for key, rows in groups
        if int(rows["n"].sum()) > 0
    )


def slowest_first(rows: Sequence[LatencyRow]) -> tuple[LatencyRow, ...]:
    """Sort by p95, highest first."""
    return tuple(sorted(rows, key=lambda r: -(r.latency.p95_ms or 0.0)))


def build_course(frame: pd.DataFrame, steps: Sequence[datetime]) -> tuple[LatencyPoint, ...]:
    """Return the percentiles of each step, also of those without rows."""
    if frame.empty:
        groups = {}
    else:
        groups = {
            at.to_pydatetime(): rows for at, rows in frame.groupby(pd.to_datetime(frame["at"], utc=True))
        }
    nothing = frame.iloc[0:0]
    return tuple(LatencyPoint(at, percentiles(groups.get(at, nothing))) for at in steps)


def stage_titles() -> Mapping[str, str]:
    """Return the titles of the stages."""
    return STAGE_TITLES
