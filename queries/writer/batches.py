"""One append on its way: the bytes, the place in the stream, and the ticket its caller holds."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pyarrow as pa

from queries.errors import AppendError, AppendRefusedError

# The service takes 10 MB a request; schema, names and framing need some of it.
MAX_REQUEST_BYTES = 8 * 1024 * 1024


class Ticket:
    """Tells the caller how an append went."""

    def __init__(self) -> None:
        self._settled = threading.Event()
        self._error: AppendError | None = None

    def wait(self, timeout_s: float) -> bool:
        """See `AppendTicket`."""
        if not self._settled.wait(timeout_s):
            return False
        if self._error is not None:
            raise self._error
        return True

    def settle(self, error: AppendError | None = None) -> None:
        """Wake the caller."""
        self._error = error
        self._settled.set()


@dataclass(slots=True)
class Batch:
    """Rows of one request.

    Attributes:
        row_count: How many rows.
        schema: Arrow IPC message of the schema.
        payload: Arrow IPC message of the record batch.
        ticket: What its caller holds.
        offset: Place of its first row in the stream.
        sends: How often it went out at this offset; above one, an earlier try may have been stored.
    """

    row_count: int
    schema: bytes
    payload: bytes
    ticket: Ticket = field(default_factory=Ticket)
    offset: int = 0
    sends: int = 0


def encode(table: str, rows: pa.Table) -> Batch:
    """Return rows as one request.

    Raises:
        AppendRefusedError: they do not fit into one.
    """
    merged = rows.combine_chunks().to_batches()
    if len(merged) > 1:
        raise AppendRefusedError(table, f"{rows.num_rows} rows do not fit into one record batch")
    record_batch = merged[0] if merged else pa.RecordBatch.from_pylist([], schema=rows.schema)
    payload = record_batch.serialize().to_pybytes()
    if len(payload) > MAX_REQUEST_BYTES:
        raise AppendRefusedError(
            table, f"{len(payload)} bytes are more than the {MAX_REQUEST_BYTES} of a request"
        )
    return Batch(rows.num_rows, rows.schema.serialize().to_pybytes(), payload)
