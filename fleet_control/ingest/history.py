"""What the warehouse already holds, asked through its own client."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pandas as pd

from fleet_control.ingest.ledger import MessageKey
from fleet_control.ingest.presence import Presence
from fleet_control.ingest.rows import STORED, LedgerEntry
from queries.catalogue import (
    GapRanges,
    LastStates,
    LedgerHorizon,
    LedgerRanges,
    MessagesWithoutEntry,
    RecentLetters,
)
from queries.client import QueryResult
from queries.question import Question

# How far back the ledger is read at start: as long as a cart's clock may be behind, so that every
# message that passes the clock check meets its own entry.
HORIZON = timedelta(days=46)
# Rows without an entry are looked for this long before the newest entry: batches become durable in
# order, so nothing older can be open. Higher only reads more.
MARGIN = timedelta(hours=6)
# How far back dead letters are remembered, for those that were in flight at a crash.
LETTERS = timedelta(days=2)


class Asked(Protocol):
    """What answers: `queries.client.Warehouse`, seen from here."""

    def run(self, question: Question) -> QueryResult:
        """Ask."""


class WarehouseHistory:
    """Implements `ports.History` on a warehouse."""

    def __init__(self, warehouse: Asked, clock_s: Callable[[], float] = time.time) -> None:
        self._warehouse = warehouse
        self._clock_s = clock_s

    def settled_ranges(self, boots: Sequence[str] | None = None) -> Iterator[tuple[MessageKey, int]]:
        """See `ports.History`."""
        since, only = self._ago(HORIZON), tuple(boots or ())
        for row in self._rows(LedgerRanges(since, only)):
            yield _key(row, row["low"]), int(row["high"])
        for row in self._rows(GapRanges(since, only)):
            yield _key(row, row["seq_from"]), int(row["seq_to"])

    def rows_without_entry(self) -> Iterator[LedgerEntry]:
        """See `ports.History`."""
        newest = (row["newest"] for row in self._rows(LedgerHorizon(self._ago(HORIZON))))
        # After a long pause the open rows are as old as the last life's last entry.
        since = min(
            (t.to_pydatetime() - MARGIN for t in newest if not pd.isna(t)), default=self._ago(HORIZON)
        )
        # A row's own time may be behind its receipt by the whole horizon.
        for row in self._rows(MessagesWithoutEntry(oldest=since - HORIZON, since=since)):
            received_ms = round(row["received_at"].timestamp() * 1000)
            yield LedgerEntry(received_ms, _key(row, row["seq"]), int(row["row_count"]), STORED)

    def presences(self) -> dict[tuple[str, str], Presence]:
        """See `ports.History`."""
        rows = self._rows(LastStates(self._ago(HORIZON)))
        return {(str(row["store_id"]), str(row["cart_id"])): _presence(row) for row in rows}

    def recent_letters(self) -> Iterator[tuple[str, str]]:
        """See `ports.History`."""
        rows = self._rows(RecentLetters(self._ago(LETTERS)))
        return ((str(row["topic"]), str(row["payload_sha256"])) for row in reversed(rows))

    def _ago(self, age: timedelta) -> datetime:
        return datetime.fromtimestamp(self._clock_s(), UTC) - age

    def _rows(self, question: Question) -> list[dict[str, Any]]:
        frame = self._warehouse.run(question).frame
        return [{str(name): value for name, value in row.items()} for row in frame.to_dict(orient="records")]


def _key(row: dict[str, Any], seq: Any) -> MessageKey:
    return MessageKey(str(row["cart_id"]), str(row["boot_id"]), str(row["channel"]), int(seq))


def _presence(row: dict[str, Any]) -> Presence:
    model, agent = row["model_digest"], row["agent_version"]
    return Presence(
        boot=str(row["boot_id"]),
        session=int(row["session"]),
        online=bool(row["online"]),
        agent_version="" if pd.isna(agent) else str(agent),
        model_digest=None if pd.isna(model) else str(model),
        simulated=bool(row["simulated"]),
    )
