"""Rows of the warehouse for stories of rollouts: what a fleet did, as ingest would have written it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from queries.client import Warehouse
from queries.writer import open_appender
from tests.queries import seed

MINUTE_MS = 60_000
# Rows of one request.
PART = 2_000


def utc(at_ms: int) -> datetime:
    """Return a time."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def minute(
    rng: np.random.Generator,
    cart: tuple[str, str],
    at_ms: int,
    model: str,
    *,
    events: int,
    accuracy: float = 0.95,
    windows: int = 1,
) -> tuple[list[seed.Row], list[seed.Row]]:
    """Return rows of events, and of telemetry, of one minute of one cart."""
    told, seen = [], []
    for n in range(int(rng.poisson(events))):
        event_ms = at_ms + int(rng.integers(0, MINUTE_MS - 2_000))
        event = {
            **_identity(cart, "evt", event_ms, model, n),
            "event_at": utc(event_ms),
            "event_id": f"e{event_ms}-{n}",
            "event_type": "item",
            "item_id": "apple",
            "quantity": 1,
            "direction": "add",
            "decision_ms": float(rng.lognormal(4.6, 0.3)),
        }
        told.append(event)
        if rng.random() > accuracy:
            said = {"event_type": "correction", "item_id": None, "quantity": None, "direction": None}
            at = {"event_at": utc(event_ms + 1_000), "event_id": f"l{event_ms}-{n}", "seq": 10_000 + n}
            of = {"ref_event_id": event["event_id"], "decision_ms": None}
            told.append(event | said | at | of)
    for n in range(windows):
        begin_ms = at_ms + n * MINUTE_MS // windows
        counters = [{"name": "engine_errors", "camera": "", "n": 1}] if rng.random() < 0.02 else []
        seen.append(
            {
                **_identity(cart, "tel", begin_ms, model, n),
                "window_start": utc(begin_ms),
                # Within its minute: a window counts where it ends.
                "window_end": utc(begin_ms + MINUTE_MS // windows - 1),
                "windows_merged": 1,
                "histograms": [{"stage": "infer", "bucket": 90, "n": 20}],
                "signals": [],
                "counters": counters,
                "gauges": [],
            }
        )
    return told, seen


def _identity(cart: tuple[str, str], channel: str, at_ms: int, model: str, row_ix: int) -> seed.Row:
    return {
        "store_id": cart[0],
        "cart_id": cart[1],
        "boot_id": "0" * 16,
        "channel": channel,
        "seq": at_ms // 1_000 % 100_000_000,
        "row_ix": row_ix,
        "received_at": utc(at_ms + 15_000),
        "agent_version": "0.1.0",
        "model_digest": model,
        "simulated": True,
        "extra": None,
    }


def put(warehouse: Warehouse, tables: Mapping[str, tuple[Any, list[seed.Row]]]) -> None:
    """Make rows durable, by table: its schema and the rows."""
    appender = open_appender(warehouse.target)
    tickets = [
        appender.append(name, seed.table(schema, rows[first : first + PART]))
        for name, (schema, rows) in tables.items()
        for first in range(0, len(rows), PART)
    ]
    assert all(ticket.wait(60) for ticket in tickets)
    appender.close()


def settle(warehouse: Warehouse, received_ms: int) -> None:
    """Enter a message into the ledger: all that was received before is there."""
    entry = {
        "received_at": utc(received_ms),
        "cart_id": "c",
        "boot_id": "0" * 16,
        "channel": "tel",
        "seq": received_ms,
        "row_count": 1,
        "disposition": "stored",
    }
    put(warehouse, {"ingest_ledger": (seed.LEDGER, [entry])})
