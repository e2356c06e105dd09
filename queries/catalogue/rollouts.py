"""Questions of staged rollouts: evidence for gates, and proof of what carts run.

`canary` and `control` are ids of carts. A canary's rows count with the digest `model`, a control's with
`baseline`: what a cart did before it changed its model is of neither side.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from queries.catalogue import columns as c
from queries.question import Column, Question

_AT = Column("at", "TIMESTAMP", "begin of the block")
_SIDE = Column("side", "STRING", "canary or control")


@dataclass(frozen=True, slots=True)
class RolloutEvents(Question):
    """Outcomes in blocks of event time; each is fixed `label_lag_s` after its event."""

    start: datetime
    end: datetime
    block_s: int
    label_lag_s: int
    model: str
    baseline: str
    threshold_ms: float
    canary: tuple[str, ...]
    control: tuple[str, ...]
    name: ClassVar[str] = "rollout_events"
    columns = (
        _AT,
        _SIDE,
        Column("item_events", "INT64", "item events"),
        Column("contradicted", "INT64", "of them, that a label within the lag contradicts"),
        Column("timed", "INT64", "of them, with a decision time"),
        Column("slow", "INT64", "of those, slower than the threshold"),
    )


@dataclass(frozen=True, slots=True)
class RolloutErrors(Question):
    """Errors and inferences in blocks of time; a telemetry window counts where it ends."""

    start: datetime
    end: datetime
    block_s: int
    model: str
    baseline: str
    canary: tuple[str, ...]
    control: tuple[str, ...]
    name: ClassVar[str] = "rollout_errors"
    columns = (
        _AT,
        _SIDE,
        Column("errors", "INT64", "failed or worthless inferences, and failures around them"),
        Column("inferences", "INT64", "calls of the engine"),
    )


@dataclass(frozen=True, slots=True)
class RolloutCarts(Question):
    """Item events of single carts with one model."""

    start: datetime
    end: datetime
    label_lag_s: int
    model: str
    carts: tuple[str, ...]
    name: ClassVar[str] = "rollout_carts"
    columns = (
        c.CART,
        Column("item_events", "INT64", "item events"),
        Column("contradicted", "INT64", "of them, that a label within the lag contradicts"),
    )


@dataclass(frozen=True, slots=True)
class RolloutLatency(Question):
    """Decision times of some carts with one model, as a histogram."""

    start: datetime
    end: datetime
    model: str
    carts: tuple[str, ...]
    name: ClassVar[str] = "rollout_latency"
    columns = (
        Column("bucket", "INT64", "bucket i covers (2^(i/32), 2^((i+1)/32)] ms"),
        Column("n", "INT64", "item events"),
    )


@dataclass(frozen=True, slots=True)
class RolloutRunning(Question):
    """What carts run, as their telemetry since a time shows."""

    start: datetime
    carts: tuple[str, ...]
    name: ClassVar[str] = "rollout_running"
    columns = (
        c.CART,
        Column("model_digest", "STRING", "of the newest window; empty: none"),
        Column("windows", "INT64", "telemetry windows in a row that carry it"),
        Column("inferences", "INT64", "calls of the engine in them"),
        Column("last_at", "TIMESTAMP", "end of the newest of them, cart clock"),
    )


@dataclass(frozen=True, slots=True)
class RolloutFreshness(Question):
    """When ingest last heard of some carts."""

    start: datetime
    carts: tuple[str, ...]
    name: ClassVar[str] = "rollout_freshness"
    columns = (Column("received_at", "TIMESTAMP", "null: never since the start"),)
