"""The catalogue: every question that may be put to the warehouse, one class per file in `queries/sql`.

result = warehouse.run(EventSeries(start, end, step_s=3600, stores=("s001",)))
result.frame  # the columns that EventSeries.columns describes
"""

from __future__ import annotations

from queries.catalogue.drift import CameraDays, CartSignals, Signals
from queries.catalogue.fleet import (
    DataSpan,
    DeadLettersSummary,
    EventSeries,
    EventSeriesRecent,
    FleetTotals,
    Freshness,
    Items,
    Models,
    SignalBins,
    Simulation,
    SourceFreshness,
    StoreOverview,
    Stores,
    Versions,
)
from queries.catalogue.ingest import (
    GapRanges,
    LastStates,
    LedgerHorizon,
    LedgerRanges,
    MessagesWithoutEntry,
    RecentLetters,
)
from queries.catalogue.latency import (
    Latency,
    LatencyQuantiles,
    LatencyRecent,
    LatencySeries,
    LatencySeriesRecent,
)
from queries.catalogue.store import (
    CartActivity,
    CartActivityRecent,
    CartEngines,
    CartEvents,
    CartEventsRecent,
    Carts,
    CartVitals,
    RecentEvents,
    StoreCarts,
    StoreItems,
)
from queries.question import Question

CATALOGUE: dict[str, type[Question]] = {
    entry.name: entry
    for entry in (
        CameraDays,
        CartActivity,
        CartActivityRecent,
        CartEngines,
        CartEvents,
        CartEventsRecent,
        CartVitals,
        CartSignals,
        Carts,
        DataSpan,
        DeadLettersSummary,
        EventSeries,
        EventSeriesRecent,
        FleetTotals,
        Freshness,
        GapRanges,
        Items,
        LastStates,
        Latency,
        LatencyQuantiles,
        LatencyRecent,
        LatencySeries,
        LatencySeriesRecent,
        LedgerHorizon,
        LedgerRanges,
        MessagesWithoutEntry,
        Models,
        RecentEvents,
        RecentLetters,
        SignalBins,
        Signals,
        Simulation,
        SourceFreshness,
        StoreCarts,
        StoreItems,
        StoreOverview,
        Stores,
        Versions,
    )
}

__all__ = [
    "CATALOGUE",
    "CameraDays",
    "CartActivity",
    "CartActivityRecent",
    "CartEngines",
    "CartEvents",
    "CartEventsRecent",
    "CartSignals",
    "CartVitals",
    "Carts",
    "DataSpan",
    "DeadLettersSummary",
    "EventSeries",
    "EventSeriesRecent",
    "FleetTotals",
    "Freshness",
    "GapRanges",
    "Items",
    "LastStates",
    "Latency",
    "LatencyQuantiles",
    "LatencyRecent",
    "LatencySeries",
    "LatencySeriesRecent",
    "LedgerHorizon",
    "LedgerRanges",
    "MessagesWithoutEntry",
    "Models",
    "RecentEvents",
    "RecentLetters",
    "SignalBins",
    "Signals",
    "Simulation",
    "SourceFreshness",
    "StoreCarts",
    "StoreItems",
    "StoreOverview",
    "Stores",
    "Versions",
]
