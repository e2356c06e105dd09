"""Write streams: offsets live in the warehouse file and move in the same transaction as the rows."""

from __future__ import annotations

import dataclasses
import threading
import time
import uuid

import duckdb
import pyarrow as pa

from queries.dialect.fields import quote
from queries.emulator.catalog import Entry
from queries.emulator.database import Transaction
from queries.emulator.errors import ApiError, InvalidError, NotFoundError
from queries.emulator.loading import fit
from queries.emulator.statements import Statements

TRIES = 5  # an append that met a schema change is tried again this often


class OffsetExistsError(ApiError):
    """The rows at this offset are stored already."""

    status, reason = 409, "alreadyExists"


class OffsetAheadError(ApiError):
    """The offset is beyond the end of the stream."""

    status, reason = 400, "outOfRange"


class StreamFinalizedError(ApiError):
    """The stream takes no more rows."""

    status, reason = 400, "streamFinalized"


@dataclasses.dataclass(frozen=True, slots=True)
class Stream:
    """One write stream.

    Attributes:
        name: projects/P/datasets/D/tables/T/streams/S.
        dataset: Dataset of its table.
        table: Its table.
        kind: COMMITTED, PENDING or DEFAULT.
        next_offset: Rows taken so far.
        finalized: Takes no more rows.
        committed_ms: When a pending stream was committed, or 0.
    """

    name: str
    dataset: str
    table: str
    kind: str
    next_offset: int = 0
    finalized: bool = False
    committed_ms: int = 0


class Streams:
    """All write streams of the warehouse."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements
        self._database = statements.database
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def table(self, parent: str) -> Entry:
        """Find the table of projects/P/datasets/D/tables/T.

        Raises:
            ApiError: There is none, or it is a view.
        """
        parts = parent.split("/")
        if len(parts) < 6 or parts[0] != "projects" or parts[2] != "datasets" or parts[4] != "tables":
            raise InvalidError(f"Invalid table name: {parent}")
        self._statements.check_project(parts[1])
        entry = self._statements.catalog.table(parts[3], parts[5])
        if entry.is_view:
            raise InvalidError("Cannot write to a view")
        return entry

    def create(self, parent: str, kind: str) -> Stream:
        """Make a stream of kind COMMITTED or PENDING."""
        entry = self.table(parent)
        name = f"{'/'.join(parent.split('/')[:6])}/streams/{uuid.uuid4().hex}"
        with self._database.transaction() as session:
            values = [name, entry.dataset, entry.name, kind, 0, False, 0, int(time.time() * 1000)]
            session.execute("INSERT INTO _bq.streams VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
            if kind == "PENDING":
                session.execute(f"CREATE TABLE {_holding(name)} AS SELECT * FROM {entry.relation} LIMIT 0")  # noqa: S608
        return Stream(name, entry.dataset, entry.name, kind)

    def get(self, name: str) -> Stream:
        """Find a stream; every table has one called _default.

        Raises:
            NotFoundError: There is none.
        """
        if name.endswith(("/_default", "/streams/_default")):
            entry = self.table(name)
            return Stream(name, entry.dataset, entry.name, "DEFAULT")
        query = (
            "SELECT dataset, tbl, kind, next_offset, finalized, committed_ms FROM _bq.streams WHERE name = ?"
        )
        rows = self._database.rows(query, [name])
        if not rows:
            raise NotFoundError(f"Requested entity was not found. Entity: {name}")
        row = rows[0]
        return Stream(name, row[0], row[1], row[2], int(row[3]), bool(row[4]), int(row[5]))

    def lock(self, name: str) -> threading.Lock:
        """Give the lock of one stream: its appends come one after the other."""
        with self._guard:
            return self._locks.setdefault(name, threading.Lock())

    def append(self, name: str, rows: pa.Table, offset: int | None) -> int | None:
        """Store rows; when this returns they are on the disk.

        Args:
            name: The stream.
            rows: The rows, columns by name.
            offset: Where the caller believes the stream to be, or None.

        Returns:
            Offset of the first row, or None for the default stream.

        Raises:
            ApiError: Refused; nothing was stored.
        """
        if name.endswith("/_default"):
            if offset is not None:
                raise InvalidError("Offset must not be set on the default stream")
            self._store(self.get(name), rows, None)
            return None
        with self.lock(name):
            stream = self.get(name)
            if stream.finalized:
                raise StreamFinalizedError(f"Stream has been finalized. Entity: {name}")
            if offset is not None and offset < stream.next_offset:
                raise OffsetExistsError(
                    f"The offset is within stream, expected offset {stream.next_offset}, received "
                    f"{offset} Entity: {name}"
                )
            if offset is not None and offset > stream.next_offset:
                raise OffsetAheadError(
                    f"The offset is beyond stream, expected offset {stream.next_offset}, received "
                    f"{offset} Entity: {name}"
                )
            self._store(stream, rows, stream.next_offset + rows.num_rows)
            return stream.next_offset

    def _store(self, stream: Stream, rows: pa.Table, next_offset: int | None) -> None:
        for attempt in range(TRIES):
            entry = self._statements.catalog.table(stream.dataset, stream.table)
            fitted = self._fitted(entry, rows)
            try:
                with self._database.transaction() as session:
                    if next_offset is not None:
                        session.execute(
                            "UPDATE _bq.streams SET next_offset = ? WHERE name = ?",
                            [next_offset, stream.name],
                        )
                    self._insert(session, stream, entry, fitted)
            except duckdb.TransactionException:
                if attempt == TRIES - 1:
                    raise
            else:
                return

    def _insert(self, session: Transaction, stream: Stream, entry: Entry, rows: pa.Table) -> None:
        if stream.kind != "PENDING":
            self._statements.append(entry, rows, session)
            return
        names = ", ".join(quote(c) for c in rows.column_names)
        session.insert(f"INSERT INTO {_holding(stream.name)} ({names}) SELECT {names} FROM _incoming", rows)  # noqa: S608

    @staticmethod
    def _fitted(entry: Entry, rows: pa.Table) -> pa.Table:
        known = {f.name.lower(): f for f in entry.fields}
        unknown = [c for c in rows.column_names if c.lower() not in known]
        if unknown:
            raise InvalidError(
                f"Input schema has more fields than BigQuery schema, extra fields: '{','.join(unknown)}'"
            )
        fields = [known[c.lower()] for c in rows.column_names]
        missing = [f.name for f in entry.fields if f.mode == "REQUIRED" and f not in fields]
        if missing:
            raise InvalidError(f"Required fields are missing in the input schema: '{','.join(missing)}'")
        for column, field in zip(rows.columns, fields, strict=True):
            if field.mode == "REQUIRED" and column.null_count:
                raise InvalidError(f"Required field {field.name} cannot be null")
        return fit(rows, fields)

    def finalize(self, name: str) -> int:
        """Close a stream; give its number of rows."""
        if name.endswith("/_default"):
            raise InvalidError("The default stream cannot be finalized")
        with self.lock(name):
            stream = self.get(name)
            self._database.rows("UPDATE _bq.streams SET finalized = true WHERE name = ?", [name])
            return stream.next_offset

    def commit(self, parent: str, names: list[str]) -> int:
        """Make the rows of finalized pending streams visible, all at once; give the time, epoch ms.

        Raises:
            ApiError: A stream is not finalized, not pending, or of another table.
        """
        entry = self.table(parent)
        streams = [self.get(name) for name in names]
        now = int(time.time() * 1000)
        for stream in streams:
            if (stream.dataset, stream.table) != (entry.dataset, entry.name) or stream.kind != "PENDING":
                raise InvalidError(f"Not a pending stream of this table: {stream.name}")
            if not stream.finalized or stream.committed_ms:
                raise InvalidError(f"Stream is not finalized, or committed already: {stream.name}")
        with self._database.transaction() as session:
            for stream in streams:
                columns = session.execute(f"DESCRIBE {_holding(stream.name)}")
                names_sql = ", ".join(quote(c[0]) for c in columns)
                held = _holding(stream.name)
                session.execute(f"INSERT INTO {entry.relation} ({names_sql}) SELECT {names_sql} FROM {held}")  # noqa: S608
                session.execute(f"DROP TABLE {_holding(stream.name)}")
                session.execute("UPDATE _bq.streams SET committed_ms = ? WHERE name = ?", [now, stream.name])
        return now


def _holding(name: str) -> str:
    """Name the table that holds the rows of a pending stream."""
    return f"_bq.{quote('pending_' + name.rsplit('/', 1)[-1])}"
