"""One table's committed stream: batches at offsets, sent ahead of their answers, sent again after drops.

A worker thread owns the connection. Answers come in the order of the requests, so the first open batch
(the head) is always the one an answer speaks about. The rules, with their reasons:

- A connection that breaks leaves its unanswered batches open: they go out again, same bytes, same offset.
- "Already exists" is a delivery only for a batch that went out before (see `verdicts`).
- A refused batch leaves a hole, so nothing behind it can be stored in this stream any more: what is behind
  goes out in a new one.
- A call that breaks with "invalid argument" blames nobody: batches then go one by one until it is clear.
- A connection that rested is opened anew, because the service drops it after ten minutes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import grpc
import structlog
from google.cloud.bigquery_storage_v1 import types

from queries.errors import AppendError, AppendRefusedError, AppendUnavailableError
from queries.writer.batches import Batch, Ticket
from queries.writer.verdicts import Verdict, code_of, detail_of, storage_code_of, verdict_of

_log = structlog.get_logger(__name__)

# The service closes a connection after 600 s of rest, and the next send on it fails.
IDLE_S = 300.0
# Answers take milliseconds, at worst seconds. Longer than this, and the connection is taken for dead.
STALL_S = 60.0
# How often a resting connection looks whether one of the two has passed.
LOOK_S = 1.0
# Requests sent ahead of their answers; each may be 8 MB.
MAX_AHEAD = 8
CREATE_TIMEOUT_S = 30.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
# gRPC wants a deadline for a call that has none; a day is its own client's.
_CALL_S = 86_400.0
# Verdicts that need to know which batch they are about.
_BLAMES = (Verdict.REFUSED, Verdict.DELIVERED)


class _ReconnectError(Exception):
    """The connection is of no use any more; open batches go out on the next one."""


class TableStream:
    """Appends to one table.

    Args:
        client: Google's `BigQueryWriteClient`.
        table: Name of the table, for errors.
        path: `projects/P/datasets/D/tables/T`.
    """

    def __init__(self, client: Any, table: str, path: str) -> None:
        self._transport = client.transport
        self._table = table
        self._path = path
        self._changed = threading.Condition()
        self._open: deque[Batch] = deque()
        self._sent = 0  # how many at the head of `_open` went out on this connection
        self._heard_at_s = 0.0  # last answer, or the first send after all were answered
        self._next_offset = 0
        self._name = ""
        self._session = 0  # changes when a connection ends, so that its requests end too
        self._one_by_one = False
        self._closed = False
        self._call: Any = None
        self._worker = threading.Thread(target=self._work, name=f"append {table}", daemon=True)
        self._worker.start()

    def append(self, batch: Batch) -> Ticket:
        """Queue a batch; see `Appender.append`."""
        with self._changed:
            if self._closed:
                raise AppendUnavailableError(self._table, "the appender is closed")
            batch.offset = self._next_offset
            self._next_offset += batch.row_count
            self._open.append(batch)
            self._changed.notify_all()
        return batch.ticket

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop; tickets that are open fail."""
        with self._changed:
            self._closed = True
        self._end_session()
        self._worker.join(timeout_s)
        self._fail_all("the appender was closed")

    # What the worker does.

    def _work(self) -> None:
        pause_s = FIRST_PAUSE_S
        while self._wait_for_work():
            before = self._open[0]
            try:
                self._converse()
            except _ReconnectError as reason:
                _log.info("append stream reconnects", table=self._table, why=str(reason))
            except Exception as error:  # noqa: BLE001  # whoever waits for a ticket hears of it
                _log.exception("append stream failed", table=self._table)
                self._fail_all(f"{type(error).__name__}: {error}")
                self._end_session()
            moved = not self._open or self._open[0] is not before
            pause_s = FIRST_PAUSE_S if moved else min(pause_s * 2, LONGEST_PAUSE_S)
            if not moved:
                self._rest(pause_s)

    def _wait_for_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._open)
            return not self._closed

    def _rest(self, pause_s: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed, timeout=pause_s)

    def _converse(self) -> None:
        """Send what is open and what comes, and take answers, until the connection ends.

        Raises:
            _ReconnectError: what is open has to go out on another connection.
        """
        if not self._name and not self._create():
            return
        call = self._connect()
        if call is None:
            return
        try:
            for answer in call:
                self._take(answer)
        except grpc.RpcError as error:
            self._broken(error)
        finally:
            self._end_session()

    def _create(self) -> bool:
        """Make a stream; tell whether there is one."""
        kind = types.WriteStream(type_=types.WriteStream.Type.COMMITTED)
        request = types.CreateWriteStreamRequest(parent=self._path, write_stream=kind)
        header = (("x-goog-request-params", f"parent={self._path}"),)
        try:
            made = self._transport.create_write_stream(request, timeout=CREATE_TIMEOUT_S, metadata=header)
        except grpc.RpcError as error:
            if verdict_of(code_of(error), None, 1) is Verdict.AGAIN:
                raise _ReconnectError(detail_of(error)) from error
            self._fail_all(detail_of(error))
            return False
        self._name = str(made.name)
        return True

    def _connect(self) -> Any:
        with self._changed:
            if self._closed:
                return None
            self._sent = 0
            # The service routes a connection by this header.
            header = (("x-goog-request-params", f"write_stream={self._name}"),)
            requests = self._requests(self._session)
            self._call = self._transport.append_rows(requests, timeout=_CALL_S, metadata=header)
            return self._call

    def _end_session(self) -> None:
        with self._changed:
            self._session += 1
            self._changed.notify_all()
            call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _take(self, answer: types.AppendRowsResponse) -> None:
        """Take the answer for the head.

        Raises:
            _ReconnectError: what is open has to go out on another connection.
        """
        with self._changed:
            if not self._sent:
                raise _ReconnectError("an answer nobody asked for")
            sends = self._open[0].sends
        if answer.row_errors:
            self._act(Verdict.REFUSED, "; ".join(str(row.message) for row in answer.row_errors[:3]))
        elif answer.error.code:
            verdict = verdict_of(int(answer.error.code), storage_code_of(answer), sends)
            self._act(verdict, str(answer.error.message))
        else:
            self._settle_head()

    def _broken(self, error: grpc.RpcError) -> None:
        """Judge a call that ended with an error instead of an answer.

        Raises:
            _ReconnectError: what is open has to go out on another connection.
        """
        with self._changed:
            if self._closed or not self._open:
                return
            in_flight, sends = self._sent, self._open[0].sends
        verdict = verdict_of(code_of(error), None, sends)
        if verdict in _BLAMES and in_flight != 1:
            self._one_by_one, verdict = True, Verdict.AGAIN
        self._act(verdict, detail_of(error))

    def _act(self, verdict: Verdict, why: str) -> None:
        """Carry out a verdict on the head.

        Raises:
            _ReconnectError: what is open has to go out on another connection.
        """
        if verdict is Verdict.DELIVERED:
            self._settle_head()
            return
        if verdict is Verdict.REFUSED:
            self._settle_head(AppendRefusedError(self._table, why))
        if verdict in {Verdict.REFUSED, Verdict.ROTATE}:
            self._start_over()
        elif verdict is Verdict.BLOCKED:
            self._fail_all(why)
        raise _ReconnectError(f"{verdict.value}: {why}")

    # The queue of open batches.

    def _settle_head(self, error: AppendError | None = None) -> None:
        with self._changed:
            head = self._open.popleft()
            self._sent -= 1
            self._heard_at_s = time.monotonic()
            self._one_by_one = self._one_by_one and bool(self._open)
            self._changed.notify_all()
        head.ticket.settle(error)

    def _start_over(self) -> None:
        """Give every open batch its place in a stream that is yet to be made."""
        with self._changed:
            self._name = ""
            self._next_offset = 0
            for batch in self._open:
                batch.offset, batch.sends = self._next_offset, 0
                self._next_offset += batch.row_count

    def _fail_all(self, why: str) -> None:
        with self._changed:
            failed = list(self._open)
            self._open.clear()
            self._start_over()
        for batch in failed:
            batch.ticket.settle(AppendUnavailableError(self._table, why))

    # What gRPC's sending thread does.

    def _requests(self, session: int) -> Iterator[types.AppendRowsRequest]:
        """Yield the requests of one connection; ends with it."""
        schema = b""
        while (batch := self._next_batch(session, schema)) is not None:
            data = types.AppendRowsRequest.ArrowData(rows={"serialized_record_batch": batch.payload})
            if not schema:
                schema = batch.schema
                data.writer_schema = {"serialized_schema": schema}
            yield types.AppendRowsRequest(write_stream=self._name, offset=batch.offset, arrow_rows=data)

    def _next_batch(self, session: int, schema: bytes) -> Batch | None:
        """Wait for a batch to send; None ends the connection."""
        with self._changed:
            rests_since_s = time.monotonic()
            while session == self._session and not self._may_send():
                self._changed.wait(LOOK_S)
                now_s = time.monotonic()
                rests_since_s = now_s if self._open else rests_since_s
                if now_s - rests_since_s > IDLE_S or self._is_stalled(now_s):
                    break
            if session != self._session or not self._may_send():
                return None
            batch = self._open[self._sent]
            if schema and batch.schema != schema:
                return None  # another schema needs a connection of its own
            if not self._sent:
                self._heard_at_s = time.monotonic()
            self._sent += 1
            batch.sends += 1
            return batch

    def _may_send(self) -> bool:
        return self._sent < min(len(self._open), 1 if self._one_by_one else MAX_AHEAD)

    def _is_stalled(self, now_s: float) -> bool:
        if not self._sent or now_s - self._heard_at_s <= STALL_S:
            return False
        if self._call is not None:
            self._call.cancel()
        return True
