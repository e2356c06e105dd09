"""The DuckDB file: one process owns it, every thread has its own session with the same settings."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import duckdb
import pyarrow as pa

from queries.emulator.errors import TooLargeError, as_api_error, bind_error

MACROS = Path(__file__).parent.parent / "dialect" / "macros.sql"
SESSION = "SET TimeZone = 'UTC'; SET ieee_floating_point_ops = false;"
MAX_RESULT_BYTES = 512 * 1024 * 1024  # higher: one query can take the machine's memory; lower: exports fail
BATCH_ROWS = 50_000  # rows between two looks at the size of a result


class DataDirectoryError(Exception):
    """The data directory cannot be used; the message is for the person who started it."""


class Transaction:
    """What runs within one transaction; every statement is read to its end, so that the next may run."""

    def __init__(self, session: duckdb.DuckDBPyConnection) -> None:
        self._session = session

    def execute(
        self, sql: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """Run a statement; give its rows."""
        values = dict(parameters) if isinstance(parameters, Mapping) else list(parameters or [])
        return list(self._session.execute(sql, values).fetchall())

    def insert(self, sql: str, incoming: pa.Table) -> None:
        """Run a statement that reads the Arrow table as `_incoming`."""
        self._session.register("_incoming", incoming)
        try:
            self._session.execute(sql).fetchall()
        finally:
            self._session.unregister("_incoming")


class Database:
    """The warehouse file of one data directory.

    Args:
        directory: Folder of the file; made if missing.
        memory_limit: DuckDB's own limit, e.g. "2GB".
        threads: DuckDB's worker threads, or None for its own choice.
    """

    def __init__(self, directory: Path, memory_limit: str | None = None, threads: int | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._lock_file = _lock(directory)
        config: dict[str, Any] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
        if memory_limit:
            config["memory_limit"] = memory_limit
        if threads:
            config["threads"] = threads
        try:
            self._root = duckdb.connect(str(directory / "warehouse.duckdb"), config=config)
        except duckdb.Error as error:
            raise DataDirectoryError(
                f"The warehouse in {directory} cannot be opened: {str(error).splitlines()[0]}"
            ) from error
        self._root.execute(SESSION)
        self._root.execute(MACROS.read_text())
        self._root.execute("SET enable_external_access = false; SET lock_configuration = false;")
        self._local = threading.local()
        self.write_lock = threading.RLock()

    def session(self) -> duckdb.DuckDBPyConnection:
        """Give this thread's session."""
        found: duckdb.DuckDBPyConnection | None = getattr(self._local, "session", None)
        if found is None:
            found = self._root.cursor()
            found.execute(SESSION)
            self._local.session = found
        return found

    def describe(self, text: str) -> list[tuple[str, str]]:
        """Tell the columns and DuckDB types of a query's result.

        Raises:
            DialectError: It does not bind.
        """
        try:
            return [(row[0], row[1]) for row in self.session().execute("DESCRIBE " + text).fetchall()]
        except duckdb.Error as error:
            if "Interrupted" in str(error):
                raise as_api_error(error) from error
            raise bind_error(error) from error

    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> tuple[pa.Table, list[tuple[str, Any]]]:
        """Run a query.

        Returns:
            The rows, and name and DuckDB type of each column.

        Raises:
            TooLargeError: The result is beyond the cap.
        """
        session = self.session()
        try:
            session.execute(sql, dict(parameters or {}))
            types = [(str(d[0]), d[1]) for d in session.description]
            return _drain(session), types
        except BaseException:
            self._renew()
            raise

    def rows(
        self, sql: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """Run a statement and give all its rows, so that the session is free again."""
        return Transaction(self.session()).execute(sql, parameters)

    def insert(self, sql: str, incoming: pa.Table) -> None:
        """Run a statement that reads the Arrow table as `_incoming`, as a transaction of its own."""
        Transaction(self.session()).insert(sql, incoming)

    def scalar(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Give the first value of the first row."""
        rows = self.rows(sql, parameters)
        return rows[0][0] if rows else None

    def result_types(self, sql: str, parameters: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """Tell name and DuckDB type of each column of a query, without running it over rows."""
        relation = self.session().sql(sql, params=dict(parameters))
        return [(str(name), kind) for name, kind in zip(relation.columns, relation.types, strict=True)]

    def _renew(self) -> None:
        """Drop this thread's session: a result that was not read to its end would block it."""
        old = getattr(self._local, "session", None)
        self._local.session = None
        if old is not None:
            with contextlib.suppress(duckdb.Error):
                old.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open a transaction on this thread's session; commit at the end, roll back on any error."""
        session = self.session()
        session.execute("BEGIN")
        try:
            yield Transaction(session)
        except BaseException:
            with contextlib.suppress(duckdb.Error):
                session.execute("ROLLBACK")
            self._renew()
            raise
        try:
            session.execute("COMMIT")
        except duckdb.Error:
            self._renew()
            raise

    def close(self) -> None:
        """Write everything to the file and let go of the directory."""
        with contextlib.suppress(duckdb.Error):
            self._root.execute("CHECKPOINT")
        self._root.close()
        self._lock_file.close()


def _drain(session: duckdb.DuckDBPyConnection) -> pa.Table:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader = session.to_arrow_reader(BATCH_ROWS)
    batches, size = [], 0
    for batch in reader:
        size += batch.nbytes
        if size > MAX_RESULT_BYTES:
            raise TooLargeError(f"Response too large to return: more than {MAX_RESULT_BYTES} bytes")
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema)


def _lock(directory: Path) -> IO[str]:
    handle = (directory / "lock").open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        raise DataDirectoryError(f"The data directory {directory} is in use by another process") from error
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle
