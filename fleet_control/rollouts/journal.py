"""The log of rollouts on its way into the warehouse, so that every chart can draw what happened.

It reads the log after the engine has written it, so it never delays a rollout. How far it is, the warehouse
itself says. Each entry gets there at least once: one that was on its way when this process died goes again,
and the view and the questions count it once.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa

from fleet_control.errors import RowsRefusedError, WarehouseError, WarehouseUnreachableError
from fleet_control.rollouts import events
from fleet_control.rollouts.events import AnyEvent, encode_event
from fleet_control.rollouts.ports import LoggedEvent, RolloutStore
from fleet_control.rollouts.rollout import Rollout
from queries.catalogue import RolloutPosition
from queries.client import QueryResult
from queries.errors import AppendRefusedError, AppendUnavailableError, QueryError, QueryRefusedError
from queries.question import Question
from queries.writer.ports import Appender

TABLE = "rollout_transitions_raw"
# Entries of one request. More, and one may not fit; fewer, and a large rollout takes many.
MAX_ENTRIES = 500
# A longer entry (lists of carts) is kept in the database alone: no chart draws it, and a request has a limit.
MAX_PAYLOAD_BYTES = 4 * 1024
MAX_REASON_CHARS = 1_000
# How long rows may take to become durable before it is tried again.
APPEND_TIMEOUT_S = 30.0
# Before the first rollout ever.
_EVER = datetime(2020, 1, 1, tzinfo=UTC)

_TIME = pa.timestamp("us", tz="UTC")
_COLUMNS: list[tuple[str, Any]] = [
    ("position", pa.int64()),
    ("rollout_id", pa.string()),
    ("number", pa.int64()),
    ("at", _TIME),
    ("kind", pa.string()),
    ("stage", pa.string()),
    ("cart_id", pa.string()),
    ("gate", pa.string()),
    ("verdict", pa.string()),
    ("actor", pa.string()),
    ("reason", pa.string()),
    ("model_digest", pa.string()),
    ("stores", pa.list_(pa.string())),
    ("payload", pa.string()),
    ("received_at", _TIME),
]
_SCHEMA = pa.schema(_COLUMNS)
# Only what charts mark says where it happened.
_MARKED = (
    events.Started,
    events.StageStarted,
    events.StagePassed,
    events.StageHeld,
    events.VerdictGiven,
    events.Paused,
    events.Resumed,
    events.RollbackStarted,
    events.Aborted,
    events.Finished,
)


class Asked(Protocol):
    """What answers: `queries.client.Warehouse`, seen from here."""

    def run(self, question: Question) -> QueryResult:
        """Ask."""


@dataclass(frozen=True, slots=True)
class About:
    """What an entry alone does not say about its rollout."""

    rollout: Rollout
    stores: tuple[str, ...]


class WarehouseJournal:
    """Writes the log of rollouts into the warehouse. One thread calls.

    Args:
        store: The database.
        warehouse: Says how far it is.
        appender: Writes.
        now_ms: The time, epoch milliseconds.
    """

    def __init__(
        self,
        store: RolloutStore,
        warehouse: Asked,
        appender: Appender,
        now_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self._store = store
        self._warehouse = warehouse
        self._appender = appender
        self._now_ms = now_ms
        self._position: int | None = None

    def run_once(self) -> int:
        """Write entries that are not there yet, at most `MAX_ENTRIES`.

        Returns:
            How many; call again at once while it is so many.

        Raises:
            WarehouseError: they could not be written; the next call tries them again.
            RolloutError: the database does not answer.
        """
        if self._position is None:
            self._position = self._stored_position()
        entries = self._store.log_all(after=self._position, limit=MAX_ENTRIES)
        if not entries:
            return 0
        known = {name: self._about(name, entries) for name in {entry.rollout_id for _, entry in entries}}
        now_ms = self._now_ms()
        rows = [row_of(position, entry, known[entry.rollout_id], now_ms) for position, entry in entries]
        self._append(pa.Table.from_pylist(rows, schema=_SCHEMA))
        self._position = entries[-1][0]
        return len(entries)

    def _stored_position(self) -> int:
        question = RolloutPosition(_EVER)
        try:
            found = self._warehouse.run(question).frame["position"].iloc[0]
        except QueryRefusedError as error:
            raise WarehouseError(question.name, error.detail) from error
        except QueryError as error:
            raise WarehouseUnreachableError(question.name, error.detail) from error
        return 0 if pd.isna(found) else int(found)

    def _append(self, rows: pa.Table) -> None:
        try:
            durable = self._appender.append(TABLE, rows).wait(APPEND_TIMEOUT_S)
        except AppendRefusedError as error:
            raise RowsRefusedError(TABLE, error.detail) from error
        except AppendUnavailableError as error:
            raise WarehouseUnreachableError(TABLE, error.detail) from error
        if not durable:
            # The rows may become durable yet, and go again: both are counted once.
            raise WarehouseUnreachableError(TABLE, f"not durable within {APPEND_TIMEOUT_S:g} s")

    def _about(self, rollout_id: str, entries: Iterable[tuple[int, LoggedEvent]]) -> About:
        marked = any(e.rollout_id == rollout_id and isinstance(e.event, _MARKED) for _, e in entries)
        carts = self._store.carts(rollout_id).values() if marked else ()
        return About(self._store.head(rollout_id), tuple(sorted({cart.store for cart in carts})))


def row_of(position: int, entry: LoggedEvent, about: About, now_ms: int) -> dict[str, Any]:
    """Return the row of one entry."""
    event = entry.event
    payload = encode_event(event)
    return {
        "position": position,
        "rollout_id": entry.rollout_id,
        "number": entry.number,
        "at": _utc(event.at_ms),
        "kind": event.__struct_config__.tag,
        "stage": _stage(event, about.rollout),
        "cart_id": getattr(event, "cart", None),
        "gate": getattr(event, "gate", None),
        "verdict": event.verdict.value if isinstance(event, events.VerdictGiven) else None,
        "actor": event.actor,
        "reason": event.reason[:MAX_REASON_CHARS],
        "model_digest": about.rollout.plan.model,
        "stores": list(about.stores) if isinstance(event, _MARKED) else [],
        "payload": payload if len(payload.encode()) <= MAX_PAYLOAD_BYTES else None,
        "received_at": _utc(now_ms),
    }


def _stage(event: AnyEvent, rollout: Rollout) -> str | None:
    index = getattr(event, "stage", None)
    return rollout.stages[index].name if isinstance(index, int) and index < len(rollout.stages) else None


def _utc(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
