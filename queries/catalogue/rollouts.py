"""Questions of the gates of rollouts, and marks for charts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from queries.catalogue import columns as c
from queries.question import Column, Question

BLOCK = Column("block", "INT64", "block of @block_s seconds since the start, from 0")


@dataclass(frozen=True, slots=True)
class RolloutOutcomes(Question):
    """Item events per cart and block, as they were known at a fixed lag.

    Attributes:
        start: Start of the first block.
        end: End of the last block.
        block_s: Length of a block.
        label_lag_s: A label counts if it came so long after its event at most.
        close_s: Rows count if ingest received them so long after the end of their block at most.
        slow_ms: Decisions slower than that are slow.
        models: Only these.
        stores: Only these; empty for all.
    """

    start: datetime
    end: datetime
    block_s: int
    label_lag_s: int
    close_s: int
    slow_ms: float
    models: tuple[str, ...]
    stores: tuple[str, ...] = ()
    name = "rollout_outcomes"
    # Raw rows of a day of a large fleet, for the replay before the start.
    maximum_bytes_billed: ClassVar[int] = 64 * 1024**3
    timeout_s: ClassVar[float] = 120.0
    columns = (
        BLOCK,
        c.STORE,
        c.CART,
        c.MODEL,
        *c.EVENTS[:2],
        Column("timed", "INT64", "of those, with a decision time"),
        Column("slow", "INT64", "of those, slower than the threshold"),
    )


@dataclass(frozen=True, slots=True)
class RolloutErrors(Question):
    """Errors and inferences per cart and block, from telemetry.

    Attributes:
        start: Start of the first block.
        end: End of the last block.
        block_s: Length of a block.
        close_s: Windows count if ingest received them so long after the end of their block at most.
        models: Only these.
        stores: Only these; empty for all.
    """

    start: datetime
    end: datetime
    block_s: int
    close_s: int
    models: tuple[str, ...]
    stores: tuple[str, ...] = ()
    name = "rollout_errors"
    maximum_bytes_billed: ClassVar[int] = 64 * 1024**3
    timeout_s: ClassVar[float] = 120.0
    columns = (
        BLOCK,
        c.STORE,
        c.CART,
        c.MODEL,
        Column("errors", "INT64", "looks or decisions that failed"),
        Column("inferences", "INT64", "how often it was tried"),
    )


@dataclass(frozen=True, slots=True)
class RolloutThreshold(Question):
    """A quantile of camera to decision, frozen before a rollout."""

    start: datetime
    end: datetime
    quantile: float
    models: tuple[str, ...]
    stores: tuple[str, ...] = ()
    name = "rollout_threshold"
    maximum_bytes_billed: ClassVar[int] = 64 * 1024**3
    timeout_s: ClassVar[float] = 120.0
    columns = (
        Column("threshold_ms", "FLOAT64", "the quantile; null without decisions"),
        Column("n", "INT64", "decisions"),
    )


@dataclass(frozen=True, slots=True)
class RolloutRunning(Question):
    """What carts run by their newest telemetry.

    Attributes:
        since: Start of the oldest window that is looked at.
        stores: Only these; empty for all.
        carts: Only these; empty for all.
    """

    since: datetime
    stores: tuple[str, ...] = ()
    carts: tuple[str, ...] = ()
    name = "rollout_running"
    maximum_bytes_billed: ClassVar[int] = 64 * 1024**3
    columns = (
        c.STORE,
        c.CART,
        c.MODEL,
        Column("windows", "INT64", "telemetry windows in a row with this digest, up to the newest"),
        Column("last_at", "TIMESTAMP", "end of the newest one, cart clock"),
        Column("inferences", "INT64", "in those windows"),
    )


@dataclass(frozen=True, slots=True)
class RolloutPosition(Question):
    """How far the log of rollouts is in the warehouse."""

    since: datetime
    name = "rollout_position"
    columns = (Column("position", "INT64", "of the newest entry; null before the first"),)


@dataclass(frozen=True, slots=True)
class RolloutMarks(Question):
    """What happened to rollouts, for time charts."""

    start: datetime
    end: datetime
    stores: tuple[str, ...] = ()
    name = "rollout_marks"
    columns = (
        Column("at", "TIMESTAMP", "when, server clock"),
        Column("rollout_id", "STRING", "rollout"),
        Column("number", "INT64", "of the entry in the log of the rollout"),
        Column("kind", "STRING", "started, stage_started, paused, verdict_given, and so on"),
        Column("stage", "STRING", "name of the stage; null if it is about none"),
        Column("gate", "STRING", "the gate that failed; null for all else"),
        Column("verdict", "STRING", "fail; null for all else"),
        Column("model_digest", "STRING", "the model that is rolled out"),
        Column("actor", "STRING", "who did it"),
        Column("reason", "STRING", "why, in the words of the actor"),
        Column("stores", "ARRAY<STRING>", "stores of the rollout"),
    )
