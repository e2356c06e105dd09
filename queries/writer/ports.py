"""What a writer of rows looks like from outside."""

from __future__ import annotations

from typing import Protocol

import pyarrow as pa


class AppendTicket(Protocol):
    """Rows on their way."""

    def wait(self, timeout_s: float) -> bool:
        """Return True once the rows are durable, False when that is still open after the time-out.

        While it is open the appender sends the rows again by itself after every drop, with the same
        offset, so that they cannot be stored twice.

        Raises:
            AppendRefusedError: the warehouse will never take these rows; none of them was stored.
            AppendUnavailableError: the table cannot be written now (missing, no rights, closed): append
                the rows again later. None of them was stored, except where a connection broke before
                the answer: then they may be, and the deduplicating views count them once.
        """
        ...


class Appender(Protocol):
    """Appends Arrow tables to tables of the warehouse."""

    def append(self, table: str, rows: pa.Table) -> AppendTicket:
        """Send rows in one request: all of them become durable or none. Returns before they are.

        Rows of one table become durable in the order of the calls.

        Raises:
            AppendRefusedError: more bytes than one request may have.
            AppendUnavailableError: the appender is closed.
        """
        ...

    def close(self) -> None:
        """Give connections back; tickets that are open fail."""
        ...
