"""Questions about latency, from merged histograms. Windows and filters as in `fleet`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from queries.catalogue import columns as c
from queries.question import Column, Question


@dataclass(frozen=True, slots=True)
class Latency(Question):
    """Histograms merged per store, model and stage, from the hourly rollups."""

    start: datetime
    end: datetime
    stores: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    name: ClassVar[str] = "latency"
    columns = (c.STORE, c.MODEL, c.STAGE, c.BUCKET, c.OBSERVATIONS)


@dataclass(frozen=True, slots=True)
class LatencyRecent(Latency):
    """The same from the raw windows, for windows of a few hours."""

    name: ClassVar[str] = "latency_recent"


@dataclass(frozen=True, slots=True)
class LatencySeries(Question):
    """One stage's merged histograms over time, from the hourly rollups.

    Attributes:
        start: Start of the window.
        end: End of the window.
        step_s: Width of a step in seconds, a multiple of 3600.
        stage: The stage.
        stores: Only these; empty for all.
        models: Only these; empty for all.
    """

    start: datetime
    end: datetime
    step_s: int
    stage: str
    stores: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    name: ClassVar[str] = "latency_series"
    columns = (c.AT, c.BUCKET, c.OBSERVATIONS)


@dataclass(frozen=True, slots=True)
class LatencySeriesRecent(LatencySeries):
    """The same from the raw windows: any step, for windows of a few hours."""

    name: ClassVar[str] = "latency_series_recent"


@dataclass(frozen=True, slots=True)
class LatencyQuantiles(Question):
    """Quantiles per stage, and per store, model and time where asked for.

    Attributes:
        start: Start of the window.
        end: End of the window.
        by_store: One row per store; else all together, with an empty store_id.
        by_model: One row per model; else all together, with an empty model_digest.
        step_s: Width of a step in seconds, a multiple of 3600; 0 for the whole window, with a null `at`.
        stores: Only these; empty for all.
        models: Only these; empty for all.
        stages: Only these; empty for all.
    """

    start: datetime
    end: datetime
    by_store: bool = False
    by_model: bool = False
    step_s: int = 0
    stores: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    name = "latency_quantiles"
    columns = (
        c.STORE,
        c.MODEL,
        c.STAGE,
        c.AT,
        Column("p50_ms", "FLOAT64", "median, ms; geometric midpoint of its bucket, at most 1.1 % off"),
        Column("p95_ms", "FLOAT64", "95th percentile, ms; likewise"),
        Column("p99_ms", "FLOAT64", "99th percentile, ms; likewise"),
        c.OBSERVATIONS,
    )
