"""A small seeded past of two stores, as Arrow tables of the raw tables. Some rows are there twice."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

START = datetime(2026, 3, 1, 22, tzinfo=UTC)
HOURS = 5
END = START + timedelta(hours=HOURS)
STORES = ("s001", "s002")
CARTS = 2
OLD_MODEL, NEW_MODEL = "a" * 12, "b" * 12
STAGES = ("infer", "camera_to_decision")
WINDOW = timedelta(minutes=10)

_TIME = pa.timestamp("us", tz="UTC")
_IDENTITY: list[tuple[str, Any]] = [
    ("store_id", pa.string()),
    ("cart_id", pa.string()),
    ("boot_id", pa.string()),
    ("channel", pa.string()),
    ("seq", pa.int64()),
    ("row_ix", pa.int64()),
]
_PROVENANCE: list[tuple[str, Any]] = [
    ("received_at", _TIME),
    ("agent_version", pa.string()),
    ("model_digest", pa.string()),
    ("simulated", pa.bool_()),
    ("extra", pa.string()),
]


def _structs(**fields: Any) -> Any:
    return pa.list_(pa.struct(list(fields.items())))


TELEMETRY = pa.schema(
    [
        *_IDENTITY,
        ("window_start", _TIME),
        ("window_end", _TIME),
        ("windows_merged", pa.int64()),
        ("histograms", _structs(stage=pa.string(), bucket=pa.int64(), n=pa.int64())),
        ("signals", _structs(signal=pa.string(), camera=pa.string(), bin=pa.int64(), n=pa.int64())),
        ("counters", _structs(name=pa.string(), camera=pa.string(), n=pa.int64())),
        ("gauges", _structs(name=pa.string(), value=pa.float64())),
        *_PROVENANCE,
    ]
)
EVENTS = pa.schema(
    [
        *_IDENTITY,
        ("event_at", _TIME),
        ("event_id", pa.string()),
        ("event_type", pa.string()),
        ("session_id", pa.string()),
        ("item_id", pa.string()),
        ("quantity", pa.int64()),
        ("direction", pa.string()),
        ("posterior", pa.float64()),
        ("top5", _structs(item_id=pa.string(), probability=pa.float64())),
        ("camera_confidence", _structs(camera=pa.string(), confidence=pa.float64())),
        ("weight_change_g", pa.float64()),
        ("weight_residual_g", pa.float64()),
        ("outcome", pa.string()),
        ("ref_event_id", pa.string()),
        ("ref_event_at", _TIME),
        ("sampling_probability", pa.float64()),
        ("decision_ms", pa.float64()),
        *_PROVENANCE,
    ]
)
_STATES: list[tuple[str, Any]] = [
    ("store_id", pa.string()),
    ("cart_id", pa.string()),
    ("boot_id", pa.string()),
    ("session", pa.int64()),
    ("online", pa.bool_()),
    ("agent_version", pa.string()),
    ("model_digest", pa.string()),
    ("cameras", pa.list_(pa.string())),
    ("hardware", pa.string()),
    ("engine", pa.string()),
    ("reason", pa.string()),
    ("simulated", pa.bool_()),
    ("cart_clock", _TIME),
    ("received_at", _TIME),
]
_LEDGER: list[tuple[str, Any]] = [
    ("received_at", _TIME),
    ("cart_id", pa.string()),
    ("boot_id", pa.string()),
    ("channel", pa.string()),
    ("seq", pa.int64()),
    ("row_count", pa.int64()),
    ("disposition", pa.string()),
]

STATES, LEDGER = pa.schema(_STATES), pa.schema(_LEDGER)
Row = dict[str, Any]


def table(schema: pa.Schema, rows: list[Row]) -> pa.Table:
    """Return rows as a table; what a row lacks is null."""
    return pa.Table.from_pylist(rows, schema=schema)


def bucket_of(value_ms: float) -> int:
    """Return the bucket of a duration, by the definition."""
    return math.ceil(math.log2(value_ms) * 32) - 1


def carts() -> list[tuple[str, str]]:
    """Return (store, cart) of all carts."""
    return [(store, f"{store}-c{n:02}") for store in STORES for n in range(1, CARTS + 1)]


def provenance(store: str, cart: str, channel: str, seq: int, at: datetime) -> Row:
    """Return the columns that all raw rows share."""
    model: str | None = NEW_MODEL if at >= START + timedelta(hours=3) else OLD_MODEL
    if channel == "tel" and seq == 0:
        model = None
    return {
        "store_id": store,
        "cart_id": cart,
        "boot_id": "0" * 16,
        "channel": channel,
        "seq": seq,
        "row_ix": 0,
        "received_at": at + timedelta(seconds=20),
        "agent_version": "0.1.0",
        "model_digest": model,
        "simulated": True,
    }


def windows(rng: np.random.Generator) -> tuple[list[Row], list[tuple[Row, str, float]]]:
    """Return telemetry rows and every latency that is in them, as (row, stage, ms)."""
    rows, latencies = [], []
    for store, cart in carts():
        for seq in range(int(timedelta(hours=HOURS) / WINDOW)):
            at = START + seq * WINDOW
            values = {stage: rng.lognormal(4.0, 0.4, 8) for stage in STAGES}
            row = {
                **provenance(store, cart, "tel", seq, at),
                "window_start": at,
                "window_end": at + WINDOW,
                "windows_merged": 1,
                "histograms": [
                    {"stage": stage, "bucket": bucket_of(float(ms)), "n": 1}
                    for stage in STAGES
                    for ms in values[stage]
                ],
                "signals": [
                    {
                        "signal": "blur",
                        "camera": camera,
                        "bin": int(rng.integers(0, 4)),
                        "n": int(rng.integers(1, 9)),
                    }
                    for camera in ("front", "left")
                ],
                "counters": [
                    {"name": "frames", "camera": "front", "n": 100},
                    {"name": "frames", "camera": "left", "n": 90},
                    {"name": "drop_stale", "camera": "left", "n": 3},
                    {"name": "drop_full", "camera": "", "n": 2},
                    {"name": "asked", "camera": "", "n": 1},
                ],
                "gauges": [{"name": "temp_c", "value": 40.0 + seq}, {"name": "fps/front", "value": 15.0}],
            }
            rows.append(row)
            latencies += [(row, stage, float(ms)) for stage in STAGES for ms in values[stage]]
    return rows, latencies


def events(rng: np.random.Generator) -> list[Row]:
    """Return item events and labels, in the order in which they were sent."""
    rows: list[Row] = []
    for store, cart in carts():
        seq = 0
        for n in range(60):
            at = START + timedelta(minutes=5 * n, seconds=int(rng.integers(0, 240)))
            answer = {"item_id": f"item-{rng.integers(0, 5)}", "quantity": 1, "direction": "add"}
            event = {
                **provenance(store, cart, "evt", seq, at),
                **answer,
                "event_at": at,
                "event_id": f"e{n}",
                "event_type": "item",
                "session_id": "t1",
                "posterior": round(float(rng.random()), 3),
                "outcome": "asked" if rng.random() < 0.2 else "accepted",
                "top5": [{"item_id": answer["item_id"], "probability": 0.9}],
                "decision_ms": 80.0,
            }
            rows.append(event)
            seq += 1
            if rng.random() < 0.4:
                rows.append(_label(rng, event, seq, answer))
                seq += 1
    return rows


def _label(rng: np.random.Generator, event: Row, seq: int, answer: Row) -> Row:
    """Return a label: right, silent about the quantity, wrong in one of three, or "nothing was moved"."""
    wrongs: list[Row] = [
        {},
        {"quantity": None, "direction": None},
        {"item_id": "item-9"},
        {"quantity": 2},
        {"direction": "remove"},
        {"item_id": None, "quantity": None, "direction": None},
    ]
    at = event["event_at"] + timedelta(minutes=int(rng.choice([0, 1, 70])), seconds=1)
    return {
        **provenance(event["store_id"], event["cart_id"], "evt", seq, at),
        **answer,
        **wrongs[int(rng.integers(0, len(wrongs)))],
        "event_at": at,
        "event_id": f"l{seq}",
        "event_type": str(rng.choice(["correction", "scan", "audit"])),
        "ref_event_id": event["event_id"],
        "ref_event_at": event["event_at"] if rng.random() < 0.9 else None,
    }


def state(store: str, cart: str, session: int, at: datetime, *, online: bool) -> Row:
    """Return a birth or a will."""
    return {
        "store_id": store,
        "cart_id": cart,
        "boot_id": "0" * 16,
        "session": session,
        "online": online,
        "agent_version": "0.1.0",
        "model_digest": NEW_MODEL,
        "cameras": ["front"],
        "hardware": "simulated",
        "engine": f"onnxruntime {session}" if online else "",
        "simulated": True,
        "received_at": at,
    }


def again(rows: list[Row], later: timedelta = timedelta(seconds=30)) -> list[Row]:
    """Return every third row as it is after a redelivery: the same, received later."""
    return [{**row, "received_at": row["received_at"] + later} for row in rows[::3]]
