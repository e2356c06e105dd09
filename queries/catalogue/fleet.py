"""Questions about the whole fleet.

In all windows the start is inclusive and the end exclusive. On hourly rollups an hour belongs to the
window that holds its start, so that neighbouring windows never count an hour twice. An empty tuple of
stores or models means all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from queries.catalogue import columns as c
from queries.question import Column, Question


@dataclass(frozen=True, slots=True)
class Stores(Question):
    """The stores."""

    name = "stores"
    columns = (
        c.STORE,
        Column("name", "STRING", "name on screen"),
        Column("city", "STRING", "city"),
        Column("timezone", "STRING", "IANA name"),
        c.SIMULATED,
    )


@dataclass(frozen=True, slots=True)
class Items(Question):
    """The items the model knows."""

    name = "items"
    columns = (
        Column("item_id", "STRING", "item"),
        Column("name", "STRING", "name on screen"),
        Column("category", "STRING", "shelf category"),
        Column("class_index", "INT64", "class of the model: bin of the signal `class`"),
    )


@dataclass(frozen=True, slots=True)
class SignalBins(Question):
    """The fixed bins of the drift signals."""

    name = "signal_bins"
    columns = (
        c.SIGNAL,
        c.BIN,
        Column("lower", "FLOAT64", "lower bound, null if open"),
        Column("upper", "FLOAT64", "upper bound, null if open"),
        Column("label", "STRING", "label on screen"),
        Column("unit", "STRING", "unit of the bounds"),
    )


@dataclass(frozen=True, slots=True)
class Freshness(Question):
    """How fresh the rollups and the carts are: one row, nulls where there is nothing yet."""

    name = "freshness"
    columns = (
        Column("counted_until", "TIMESTAMP", "rows received up to here are in the rollups"),
        Column("finished_at", "TIMESTAMP", "when the rollups last changed"),
        Column("last_seen_at", "TIMESTAMP", "newest message of any cart, server clock"),
    )


@dataclass(frozen=True, slots=True)
class SourceFreshness(Question):
    """The newest row of each kind.

    Attributes:
        since: Rows older than this are not looked at.
    """

    since: datetime
    name = "source_freshness"
    columns = (
        Column("source", "STRING", "telemetry, events, cart states or dead letters"),
        Column("received_at", "TIMESTAMP", "newest row, server clock; null if there is none"),
        Column("row_count", "INT64", "rows, duplicates included"),
    )


@dataclass(frozen=True, slots=True)
class Simulation(Question):
    """How much of what is there is simulated: one row."""

    name = "simulation"
    columns = (
        Column("stores", "INT64", "stores"),
        Column("simulated_stores", "INT64", "of those, simulated"),
        Column("carts", "INT64", "carts"),
        Column("simulated_carts", "INT64", "of those, simulated"),
    )


@dataclass(frozen=True, slots=True)
class DataSpan(Question):
    """From when until when there are item events: one row.

    Attributes:
        oldest: Nothing before this is looked at.
    """

    oldest: datetime
    name = "data_span"
    columns = (
        Column("first_at", "TIMESTAMP", "first hour with a row, null if there is none"),
        Column("last_at", "TIMESTAMP", "last hour with a row, null if there is none"),
        Column("stores", "INT64", "stores with a row"),
        Column("item_events", "INT64", "item events"),
    )


@dataclass(frozen=True, slots=True)
class Models(Question):
    """The models that were at work."""

    start: datetime
    end: datetime
    name = "models"
    columns = (
        c.MODEL,
        Column("item_events", "INT64", "item events it decided"),
        Column("first_at", "TIMESTAMP", "first hour in the window"),
        Column("last_at", "TIMESTAMP", "last hour in the window"),
    )


@dataclass(frozen=True, slots=True)
class Versions(Question):
    """The models and agents that carts ran."""

    start: datetime
    end: datetime
    stores: tuple[str, ...] = ()
    name = "versions"
    columns = (
        c.MODEL,
        c.AGENT,
        Column("carts", "INT64", "carts that ran the two together"),
        Column("first_at", "TIMESTAMP", "first hour in the window"),
        Column("last_at", "TIMESTAMP", "end of the last telemetry window, cart clock"),
    )


@dataclass(frozen=True, slots=True)
class StoreOverview(Question):
    """One row per store: what its carts did, how fast, and how many are there."""

    start: datetime
    end: datetime
    stores: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    name = "store_overview"
    columns = (
        c.STORE,
        Column("name", "STRING", "name on screen, null if unknown"),
        Column("city", "STRING", "city, null if unknown"),
        *c.EVENTS,
        Column("p95_ms", "FLOAT64", "95th percentile of camera to decision, ms; null without decisions"),
        Column("decisions", "INT64", "decisions that percentile is over"),
        Column("carts", "INT64", "carts known"),
        Column("carts_online", "INT64", "of those, online now"),
        Column("models", "ARRAY<STRING>", "models of the carts' last births"),
        c.SEEN,
        c.SIMULATED,
    )


@dataclass(frozen=True, slots=True)
class FleetTotals(Question):
    """The fleet's numbers for a period and for the one before it: two rows.

    Attributes:
        previous_start: Start of the period before; it ends where the other starts.
        start: Start of the period.
        end: End of the period.
        stores: Only these; empty for all.
        models: Only these; empty for all.
    """

    previous_start: datetime
    start: datetime
    end: datetime
    stores: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    name = "fleet_totals"
    columns = (
        Column("period", "STRING", "current or previous"),
        *c.EVENTS,
        Column("carts", "INT64", "carts with an event"),
        Column("p50_ms", "FLOAT64", "median of camera to decision, ms"),
        Column("p95_ms", "FLOAT64", "95th percentile of camera to decision, ms"),
        Column("decisions", "INT64", "decisions those percentiles are over"),
    )


@dataclass(frozen=True, slots=True)
class EventSeries(Question):
    """Item events over time and per store, from the hourly rollups.

    Attributes:
        start: Start of the window.
        end: End of the window.
        step_s: Width of a step in seconds, a multiple of 3600.
        stores: Only these; empty for all.
        models: Only these; empty for all.
    """

    start: datetime
    end: datetime
    step_s: int
    stores: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    name: ClassVar[str] = "event_series"
    columns = (
        c.STORE,
        c.AT,
        *c.EVENTS,
        Column(
            "posterior_sum", "FLOAT64", "sum of the posteriors of the item events; over item_events: the mean"
        ),
    )


@dataclass(frozen=True, slots=True)
class EventSeriesRecent(EventSeries):
    """The same from the raw rows: any step, for windows of a few hours."""

    name: ClassVar[str] = "event_series_recent"


@dataclass(frozen=True, slots=True)
class DeadLettersSummary(Question):
    """Messages put aside, by reason."""

    start: datetime
    end: datetime
    name = "dead_letters_summary"
    columns = (
        Column("reason", "STRING", "short code"),
        Column("messages", "INT64", "messages"),
        Column("payload_bytes", "INT64", "bytes of their payloads"),
        Column("carts", "INT64", "carts they came from, where the topic says so"),
        Column("newest_at", "TIMESTAMP", "newest of them, server clock"),
        Column("topic", "STRING", "topic of the newest"),
        Column("detail", "STRING", "sentence about the newest"),
    )
