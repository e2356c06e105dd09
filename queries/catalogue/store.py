"""Questions about carts and their events. Windows and filters as in `fleet`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from queries.catalogue import columns as c
from queries.question import Column, Question


@dataclass(frozen=True, slots=True)
class Carts(Question):
    """The last known state of each cart."""

    stores: tuple[str, ...] = ()
    name = "carts"
    columns = (c.STORE, c.CART, c.ONLINE, c.MODEL, c.AGENT, c.SEEN, c.CHANGED, c.SIMULATED)


@dataclass(frozen=True, slots=True)
class StoreCarts(Question):
    """Carts with their state and what they did in a window."""

    start: datetime
    end: datetime
    stores: tuple[str, ...] = ()
    name = "store_carts"
    columns = (*Carts.columns, *c.EVENTS, *c.ACTIVITY)


@dataclass(frozen=True, slots=True)
class CartEvents(Question):
    """Item events per cart, from the hourly rollups."""

    start: datetime
    end: datetime
    stores: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    name: ClassVar[str] = "cart_events"
    columns = (c.STORE, c.CART, *c.EVENTS)


@dataclass(frozen=True, slots=True)
class CartEventsRecent(CartEvents):
    """The same from the raw rows, to the microsecond, for windows of a few hours."""

    name: ClassVar[str] = "cart_events_recent"


@dataclass(frozen=True, slots=True)
class CartActivity(Question):
    """Frames and drops per cart, from the hourly rollups."""

    start: datetime
    end: datetime
    stores: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    name: ClassVar[str] = "cart_activity"
    columns = (
        c.STORE,
        c.CART,
        *c.ACTIVITY,
        Column("last_window_end", "TIMESTAMP", "end of the last telemetry window, cart clock"),
    )


@dataclass(frozen=True, slots=True)
class CartActivityRecent(CartActivity):
    """The same from the raw windows, for windows of a few hours."""

    name: ClassVar[str] = "cart_activity_recent"


@dataclass(frozen=True, slots=True)
class CartVitals(Question):
    """What the carts said about their own health, from the raw windows, for windows of a few hours."""

    start: datetime
    end: datetime
    stores: tuple[str, ...] = ()
    name = "cart_vitals"
    columns = (
        c.STORE,
        c.CART,
        Column("kind", "STRING", "gauge: the newest value; counter: the sum over the window"),
        Column("name", "STRING", "of the gauge or counter, as on the wire"),
        Column("camera", "STRING", "camera of a counter; empty where it has none"),
        Column("value", "FLOAT64", "in the unit its name says"),
        Column("last_at", "TIMESTAMP", "end of the newest telemetry window that says so, cart clock"),
    )


@dataclass(frozen=True, slots=True)
class CartEngines(Question):
    """What runs the model on each cart, by the newest birth of a window."""

    start: datetime
    end: datetime
    stores: tuple[str, ...] = ()
    name = "cart_engines"
    columns = (
        c.STORE,
        c.CART,
        Column("engine", "STRING", "runtime, version, precision and device; empty or null if not told"),
        Column("hardware", "STRING", "what the cart is made of, by its own account"),
        Column("born_at", "TIMESTAMP", "when ingest received the birth, server clock"),
    )


@dataclass(frozen=True, slots=True)
class RecentEvents(Question):
    """The newest item events, each with its newest label if it has one.

    Attributes:
        start: Start of the window.
        end: End of the window.
        max_events: How many at most.
        stores: Only these; empty for all.
        models: Only these; empty for all.
    """

    start: datetime
    end: datetime
    max_events: int
    stores: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    name = "recent_events"
    columns = (
        Column("event_at", "TIMESTAMP", "when it happened, cart clock"),
        c.STORE,
        c.CART,
        Column("event_id", "STRING", "unique per cart"),
        Column("session_id", "STRING", "shopping session"),
        Column("item_id", "STRING", "item the cart answered"),
        Column("quantity", "INT64", "pieces moved"),
        Column("direction", "STRING", "add or remove"),
        Column("posterior", "FLOAT64", "probability the cart gave to its answer, 0 to 1"),
        Column("outcome", "STRING", "accepted or asked"),
        Column("weight_change_g", "FLOAT64", "settled change of weight, grams"),
        Column("weight_residual_g", "FLOAT64", "weight change minus what the answer would weigh, grams"),
        Column("decision_ms", "FLOAT64", "camera to decision, milliseconds"),
        c.MODEL,
        c.SIMULATED,
        Column("label_type", "STRING", "correction, scan or audit; null without a label"),
        Column("label_item_id", "STRING", "item by the label; null: nothing was moved"),
        Column("label_quantity", "INT64", "pieces by the label; null: not said"),
        Column("label_direction", "STRING", "direction by the label; null: not said"),
    )


@dataclass(frozen=True, slots=True)
class StoreItems(Question):
    """How often each item was answered, and how often a label said otherwise."""

    start: datetime
    end: datetime
    stores: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    name = "store_items"
    columns = (
        Column("item_id", "STRING", "item the cart answered; empty for none"),
        Column("name", "STRING", "name on screen, null if unknown"),
        Column("category", "STRING", "shelf category, null if unknown"),
        *c.EVENTS[:2],
    )
