"""The writer in memory, for tests and for trying things out."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pyarrow as pa

from queries.errors import AppendRefusedError, AppendUnavailableError
from queries.writer.batches import Ticket, encode
from queries.writer.ports import AppendTicket


class MemoryAppender:
    """An `Appender` that keeps the rows.

    Attributes:
        tables: Durable rows by table, in order.
        refuses: Returns why rows are refused for good, or None.
        away: While set, tickets stay open until it is cleared and `deliver` is called.
    """

    def __init__(self) -> None:
        self.tables: dict[str, list[pa.Table]] = {}
        self.refuses: Callable[[str, pa.Table], str | None] = lambda _table, _rows: None
        self.away = threading.Event()
        self._waiting: list[tuple[str, pa.Table, Ticket]] = []
        self._lock = threading.Lock()
        self._closed = False

    def append(self, table: str, rows: pa.Table) -> AppendTicket:
        """See `Appender`."""
        encode(table, rows)
        ticket = Ticket()
        with self._lock:
            if self._closed:
                raise AppendUnavailableError(table, "the appender is closed")
            self._waiting.append((table, rows, ticket))
        self.deliver()
        return ticket

    def deliver(self) -> None:
        """Make durable what waits, unless it is away."""
        with self._lock:
            while self._waiting and not self.away.is_set():
                table, rows, ticket = self._waiting.pop(0)
                ticket.settle(self._take(table, rows))

    def rows(self, table: str) -> list[dict[str, object]]:
        """Return the durable rows of a table."""
        with self._lock:
            return [row for part in self.tables.get(table, []) for row in part.to_pylist()]

    def close(self) -> None:
        """See `Appender`."""
        with self._lock:
            self._closed = True
            for table, _, ticket in self._waiting:
                ticket.settle(AppendUnavailableError(table, "the appender was closed"))
            self._waiting.clear()

    def _take(self, table: str, rows: pa.Table) -> AppendRefusedError | None:
        why = self.refuses(table, rows)
        if why is not None:
            return AppendRefusedError(table, why)
        self.tables.setdefault(table, []).append(rows)
        return None
