"""Datasets and tables: what the REST API says of them, kept in the same DuckDB file as the rows."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any

from queries.dialect.fields import Field, quote, schema_from_api
from queries.dialect.tables import TableInfo
from queries.emulator.database import Database, Transaction
from queries.emulator.errors import DuplicateError, InvalidError, NotFoundError
from queries.emulator.evolution import added_fields, check_partitioning, columns_sql, relaxed_fields

PREPARE = """
CREATE SCHEMA IF NOT EXISTS _bq;
CREATE TABLE IF NOT EXISTS _bq.datasets (
  dataset VARCHAR PRIMARY KEY, body VARCHAR, created_ms BIGINT, modified_ms BIGINT);
CREATE TABLE IF NOT EXISTS _bq.tables (
  dataset VARCHAR, name VARCHAR, body VARCHAR, created_ms BIGINT, modified_ms BIGINT,
  PRIMARY KEY (dataset, name));
CREATE TABLE IF NOT EXISTS _bq.streams (name VARCHAR PRIMARY KEY, dataset VARCHAR, tbl VARCHAR, kind VARCHAR,
  next_offset BIGINT, finalized BOOLEAN, committed_ms BIGINT, created_ms BIGINT);
"""
DATASET_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,1023}|[0-9][A-Za-z0-9_]{0,1023}")
TABLE_ID = re.compile(r"[^\x00-\x1f`\"/\\.*]{1,1024}")


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A dataset (`name` is "") or a table.

    Attributes:
        dataset: Dataset.
        name: Table, or "".
        body: The REST resource, less what is computed.
        created_ms: When it was made, epoch ms.
        modified_ms: When it was last changed, epoch ms.
        fields: Columns of a table.
    """

    dataset: str
    name: str
    body: dict[str, Any]
    created_ms: int
    modified_ms: int
    fields: tuple[Field, ...] = ()

    @property
    def schema_name(self) -> str:
        """DuckDB schema of the dataset."""
        return f"d_{self.dataset}"

    @property
    def relation(self) -> str:
        """Quoted DuckDB name of the table."""
        return f"{quote(self.schema_name)}.{quote(self.name)}"

    @property
    def is_view(self) -> bool:
        """True for a view."""
        return "view" in self.body

    @property
    def etag(self) -> str:
        """Changes with every change of the resource."""
        return f"{self.created_ms}-{self.modified_ms}"

    @property
    def partition_column(self) -> str | None:
        """Column that partitions the table."""
        return (self.body.get("timePartitioning") or {}).get("field")

    @property
    def needs_filter(self) -> bool:
        """True if queries must filter on the partition column."""
        inside = (self.body.get("timePartitioning") or {}).get("requirePartitionFilter")
        return bool(self.body.get("requirePartitionFilter") or inside)

    def info(self) -> TableInfo:
        """Give what the translator must know."""
        return TableInfo(
            self.dataset,
            self.name,
            self.schema_name,
            self.name,
            self.fields,
            self.partition_column,
            self.needs_filter,
            (self.body.get("view") or {}).get("query"),
        )


class Catalog:
    """All datasets and tables of one project.

    Args:
        database: The warehouse file.
        project: Project the endpoint plays.
        clock_ms: Tells the time, epoch ms.
    """

    def __init__(self, database: Database, project: str, clock_ms: Callable[[], int] | None = None) -> None:
        self.database = database
        self.project = project
        self._clock_ms = clock_ms or (lambda: int(time.time() * 1000))
        self._lock = threading.RLock()
        database.rows(PREPARE)
        rows = database.rows("SELECT dataset, '', body, created_ms, modified_ms FROM _bq.datasets")
        rows += database.rows("SELECT dataset, name, body, created_ms, modified_ms FROM _bq.tables")
        self._entries: dict[tuple[str, str], Entry] = {}
        for dataset, name, body, created, modified in rows:
            self._put(dataset, name, json.loads(body), created, modified)
        self.version = 0

    def _put(self, dataset: str, name: str, body: dict[str, Any], created: int, modified: int) -> Entry:
        fields = schema_from_api(body.get("schema")) if name else ()
        entry = Entry(dataset, name, body, created, modified, fields)
        self._entries[dataset, name] = entry
        return entry

    def dataset(self, dataset: str) -> Entry:
        """Find a dataset.

        Raises:
            NotFoundError: There is none.
        """
        found = self._entries.get((dataset, ""))
        if found is None:
            raise NotFoundError(f"Not found: Dataset {self.project}:{dataset}")
        return found

    def datasets(self) -> list[Entry]:
        """List the datasets by name."""
        return sorted((e for (_, n), e in list(self._entries.items()) if not n), key=lambda e: e.dataset)

    def table(self, dataset: str, name: str) -> Entry:
        """Find a table or view.

        Raises:
            NotFoundError: There is none, or no such dataset.
        """
        found = self._entries.get((dataset, name))
        if found is None or not name:
            self.dataset(dataset)
            raise NotFoundError(f"Not found: Table {self.project}:{dataset}.{name}")
        return found

    def tables(self, dataset: str) -> list[Entry]:
        """List the tables of a dataset by name."""
        self.dataset(dataset)
        return sorted(
            (e for (d, n), e in list(self._entries.items()) if n and d == dataset), key=lambda e: e.name
        )

    def has(self, dataset: str, name: str = "") -> bool:
        """Tell whether a dataset or table exists."""
        return (dataset, name) in self._entries

    def create_dataset(self, dataset: str, body: dict[str, Any]) -> Entry:
        """Make a dataset.

        Raises:
            DuplicateError: It exists, also if only the case of letters differs.
            InvalidError: The name is not allowed.
        """
        if not DATASET_ID.fullmatch(dataset):
            raise InvalidError(
                f'Invalid dataset ID "{dataset}". Dataset IDs must be alphanumeric (plus underscores).'
            )
        with self._lock, self.database.write_lock:
            if any(e.dataset.lower() == dataset.lower() for e in self.datasets()):
                raise DuplicateError(f"Already Exists: Dataset {self.project}:{dataset}")
            now = self._clock_ms()
            with self.database.transaction() as session:
                session.execute(f"CREATE SCHEMA {quote('d_' + dataset)}")
                session.execute(
                    "INSERT INTO _bq.datasets VALUES (?, ?, ?, ?)", [dataset, json.dumps(body), now, now]
                )
            self.version += 1
            return self._put(dataset, "", body, now, now)

    def delete_dataset(self, dataset: str, *, contents: bool) -> None:
        """Remove a dataset.

        Raises:
            NotFoundError: There is none.
            InvalidError: It holds tables and `contents` is false.
        """
        with self._lock, self.database.write_lock:
            self.dataset(dataset)
            tables = self.tables(dataset)
            if tables and not contents:
                raise InvalidError(
                    f"Dataset {self.project}:{dataset} is still in use", reason="resourceInUse"
                )
            with self.database.transaction() as session:
                session.execute(f"DROP SCHEMA {quote('d_' + dataset)} CASCADE")
                session.execute("DELETE FROM _bq.tables WHERE dataset = ?", [dataset])
                session.execute("DELETE FROM _bq.streams WHERE dataset = ?", [dataset])
                session.execute("DELETE FROM _bq.datasets WHERE dataset = ?", [dataset])
            for entry in tables:
                self._entries.pop((dataset, entry.name), None)
            self._entries.pop((dataset, ""), None)
            self.version += 1

    def create_table(self, dataset: str, name: str, body: dict[str, Any], *, replace: bool = False) -> Entry:
        """Make a table or view; `body` holds schema, view, timePartitioning and so on.

        Raises:
            NotFoundError: No such dataset.
            DuplicateError: It exists, also if only the case of letters differs.
            InvalidError: Name, schema or partitioning make no sense.
        """
        if not TABLE_ID.fullmatch(name):
            raise InvalidError(f'Invalid table ID "{name}".')
        with self._lock, self.database.write_lock:
            self.dataset(dataset)
            old = next((e for e in self.tables(dataset) if e.name.lower() == name.lower()), None)
            if old is not None and not (replace and old.name == name):
                raise DuplicateError(f"Already Exists: Table {self.project}:{dataset}.{name}")
            now = self._clock_ms()
            entry = Entry(dataset, name, body, now, now, schema_from_api(body.get("schema")))
            check_partitioning(entry.body, entry.fields)
            with self.database.transaction() as session:
                if old is not None:
                    _drop(session, old)
                if not entry.is_view:
                    session.execute(f"CREATE TABLE {entry.relation} ({columns_sql(entry.fields)})")
                session.execute(
                    "INSERT INTO _bq.tables VALUES (?, ?, ?, ?, ?)",
                    [dataset, name, json.dumps(body), now, now],
                )
            self.version += 1
            self._entries[dataset, name] = entry
            return entry

    def delete_table(self, dataset: str, name: str) -> None:
        """Remove a table or view.

        Raises:
            NotFoundError: There is none.
        """
        with self._lock, self.database.write_lock:
            entry = self.table(dataset, name)
            with self.database.transaction() as session:
                _drop(session, entry)
            self._entries.pop((dataset, name), None)
            self.version += 1

    def update(self, entry: Entry, body: dict[str, Any]) -> Entry:
        """Replace the resource of a dataset or table; new columns are added to the stored table.

        Raises:
            InvalidError: The schema change is not allowed.
        """
        with self._lock, self.database.write_lock:
            now = max(self._clock_ms(), entry.modified_ms + 1)
            fields = schema_from_api(body.get("schema")) if entry.name else ()
            added = [] if entry.is_view or not entry.name else added_fields(entry.fields, fields)
            with self.database.transaction() as session:
                for field in added:
                    session.execute(
                        f"ALTER TABLE {entry.relation} ADD COLUMN {quote(field.name)} {field.sql()}"
                    )
                for field in relaxed_fields(entry.fields, fields) if entry.name and not entry.is_view else ():
                    session.execute(
                        f"ALTER TABLE {entry.relation} ALTER COLUMN {quote(field.name)} DROP NOT NULL"
                    )
                where, values = (
                    ("tables", [entry.dataset, entry.name]) if entry.name else ("datasets", [entry.dataset])
                )
                test = "dataset = ? AND name = ?" if entry.name else "dataset = ?"
                session.execute(
                    f"UPDATE _bq.{where} SET body = ?, modified_ms = ? WHERE {test}",  # noqa: S608
                    [json.dumps(body), now, *values],
                )
            self.version += 1
            return self._put(entry.dataset, entry.name, body, entry.created_ms, now)


def _drop(session: Transaction, entry: Entry) -> None:
    if not entry.is_view:
        session.execute(f"DROP TABLE {entry.relation}")
    session.execute("DELETE FROM _bq.tables WHERE dataset = ? AND name = ?", [entry.dataset, entry.name])
    session.execute("DELETE FROM _bq.streams WHERE dataset = ? AND tbl = ?", [entry.dataset, entry.name])
