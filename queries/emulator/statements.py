"""Runs one statement: queries, DML and DDL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import sqlglot
from sqlglot import exp

from queries.dialect.errors import UnsupportedError
from queries.dialect.fields import Field, check_names, field_from_duckdb, quote
from queries.dialect.parsing import parse_statement
from queries.dialect.tables import TableInfo
from queries.dialect.translate import Translation, Translator
from queries.emulator import ddl
from queries.emulator.catalog import Catalog, Entry
from queries.emulator.database import Database, Transaction
from queries.emulator.errors import DuplicateError, InvalidError, NotFoundError, as_api_error
from queries.emulator.information import information_table
from queries.emulator.outcome import Outcome, Request, billed
from queries.emulator.sizes import Sizes

MAX_CACHED = 2_000  # translations kept; they are small, but texts with literals in them never repeat


class Statements:
    """Runs statements against one catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.database: Database = catalog.database
        self.sizes = Sizes(catalog.database)
        self._cache: dict[Any, tuple[str, Translation]] = {}

    def run(self, request: Request) -> Outcome:
        """Run one statement.

        Raises:
            ApiError: It is refused or fails.
        """
        try:
            return self._run(request)
        except Exception as error:
            raise as_api_error(error, request.text) from error

    def _run(self, request: Request) -> Outcome:
        kind, known = self._cache.get(self._key(request), ("", None))
        if known is not None:
            return self._select(request, known) if kind == "SELECT" else self._change(request, kind, known)
        tree = parse_statement(request.text)
        if isinstance(tree, exp.Query):
            translation = self.translator(request).translate(tree)
            self.fields(translation, self.values(request, translation))
            self._keep(request, ("SELECT", translation))
            return self._select(request, translation)
        if request.destination is not None:
            raise InvalidError("Cannot set destination table in jobs with DML or DDL statements")
        if isinstance(tree, exp.Insert | exp.Update | exp.Delete | exp.Merge | exp.TruncateTable):
            return self._modify(request, tree)
        if isinstance(tree, exp.Create | exp.Drop | exp.Alter):
            return ddl.run(self, request, tree)
        raise UnsupportedError(f"The statement {type(tree).__name__.upper()}")

    def _keep(self, request: Request, translation: tuple[str, Translation]) -> None:
        if len(self._cache) > MAX_CACHED:
            self._cache.clear()
        self._cache[self._key(request)] = translation

    def _key(self, request: Request) -> tuple[Any, ...]:
        kinds = tuple(sorted((name, field.sql()) for name, (field, _) in request.parameters.items()))
        return (request.text, request.default_dataset, kinds, self.catalog.version)

    def translator(self, request: Request) -> Translator:
        """Give the translator of one request."""
        fields = {name: field for name, (field, _) in request.parameters.items()}
        return Translator(self.lookup(request.default_dataset), self.database.describe, fields)

    def lookup(self, default_dataset: str | None) -> Callable[[str | None, str | None, str], TableInfo]:
        """Give the function that finds tables by written name."""

        def find(project: str | None, dataset: str | None, table: str) -> TableInfo:
            self.check_project(project)
            if table.upper().startswith("INFORMATION_SCHEMA."):
                name = dataset or default_dataset
                if name is None:
                    raise InvalidError(
                        "INFORMATION_SCHEMA must be qualified with a dataset", reason="invalidQuery"
                    )
                self.catalog.dataset(name)
                return information_table(self.catalog, name, table.split(".", 1)[1].upper())
            if dataset is None and default_dataset is None:
                raise InvalidError(
                    f'Table "{table}" must be qualified with a dataset (e.g. dataset.table).',
                    location="query",
                )
            return self.catalog.table(str(dataset or default_dataset), table).info()

        return find

    def check_project(self, project: str | None) -> None:
        """Refuse a project other than the one this endpoint plays.

        Raises:
            NotFoundError: It is another one.
        """
        if project is not None and project != self.catalog.project:
            raise NotFoundError(f"Not found: Project {project} (this endpoint serves {self.catalog.project})")

    def fields(self, translation: Translation, values: Mapping[str, Any] | None = None) -> tuple[Field, ...]:
        """Tell the columns of a translated query."""
        types = self.database.result_types(
            translation.sql, values or {f"p_{n}": None for n in translation.parameters}
        )
        return _fields_of(types)

    def values(self, request: Request, translation: Translation) -> dict[str, Any]:
        """Give the parameters a translated statement uses, as DuckDB names them."""
        given = {name.lower(): value for name, (_, value) in request.parameters.items()}
        return {f"p_{name}": given[name] for name in translation.parameters}

    def estimate(self, request: Request, translation: Translation) -> int:
        """Estimate the bytes a statement reads, and hold it against the limit.

        Raises:
            InvalidError: It is above `max_bytes_billed`.
        """
        values = self.values(request, translation)
        total = sum(
            self.sizes.of_scan(info, columns, test, values) for info, columns, test in translation.scans
        )
        if request.max_bytes_billed is not None and billed(total) > request.max_bytes_billed:
            raise InvalidError(
                f"Query exceeded limit for bytes billed: {request.max_bytes_billed}. "
                f"{billed(total)} or higher required.",
                reason="bytesBilledLimitExceeded",
            )
        return total

    def _select(self, request: Request, translation: Translation) -> Outcome:
        total = self.estimate(request, translation)
        named = tuple((t.dataset, t.table) for t in translation.tables)
        values = self.values(request, translation)
        if request.dry_run:
            fields = self.fields(translation, values)
            return Outcome("SELECT", fields, None, total, referenced=named, target=request.destination)
        if request.destination is not None:
            return self._into(request, translation, total, named)
        rows, types = self.database.query(translation.sql, values)
        return Outcome("SELECT", _fields_of(types), rows, total, referenced=named)

    def _into(
        self, request: Request, translation: Translation, total: int, named: tuple[tuple[str, str], ...]
    ) -> Outcome:
        """Write the result of a query to its destination table."""
        dataset, name = request.destination or ("", "")
        values = self.values(request, translation)
        rows, types = self.database.query(translation.sql, values)
        fields = _fields_of(types)
        with self.database.write_lock:
            entry = self.destination(dataset, name, fields, request)
            self.append(entry, rows)
        return Outcome("SELECT", fields, rows, total, referenced=named, target=(dataset, name))

    def destination(self, dataset: str, name: str, fields: tuple[Field, ...], request: Request) -> Entry:
        """Find or make the table that a job writes to, and empty it if the job says so.

        Raises:
            ApiError: It is missing and may not be made, or holds rows and may not.
        """
        catalog = self.catalog
        if not catalog.has(dataset, name):
            if request.create_disposition == "CREATE_NEVER":
                return catalog.table(dataset, name)
            body = {"schema": {"fields": [f.to_api() for f in fields]}, **request.table_options}
            return catalog.create_table(dataset, name, body)
        entry = catalog.table(dataset, name)
        if entry.is_view:
            raise InvalidError(f"{catalog.project}:{dataset}.{name} is a view and cannot be written")
        if request.write_disposition == "WRITE_TRUNCATE":
            kept = {k: v for k, v in entry.body.items() if k != "schema"}
            body = {**kept, **request.table_options, "schema": {"fields": [f.to_api() for f in fields]}}
            return catalog.create_table(dataset, name, body, replace=True)
        count = f"SELECT count(*) FROM {entry.relation}"  # noqa: S608
        if request.write_disposition == "WRITE_EMPTY" and self.database.scalar(count):
            raise DuplicateError(f"Already Exists: Table {catalog.project}:{dataset}.{name}")
        return entry

    def append(self, entry: Entry, rows: pa.Table, session: Transaction | None = None) -> None:
        """Append rows whose columns are a subset of the table's, by name."""
        known = {f.name.lower(): f for f in entry.fields}
        targets = []
        for column in rows.column_names:
            if column.lower() not in known:
                raise InvalidError(f"no such field: {column}.")
            targets.append(known[column.lower()])
        values = ", ".join(
            f"coalesce({quote(c)}, [])" if f.mode == "REPEATED" else quote(c)
            for c, f in zip(rows.column_names, targets, strict=True)
        )
        names = ", ".join(quote(f.name) for f in targets)
        sql = f"INSERT INTO {entry.relation} ({names}) SELECT {values} FROM _incoming"  # noqa: S608
        (session or self.database).insert(sql, rows)

    def _modify(self, request: Request, tree: exp.Expression) -> Outcome:
        kind = {exp.Insert: "INSERT", exp.Update: "UPDATE", exp.Delete: "DELETE", exp.Merge: "MERGE"}.get(
            type(tree), "TRUNCATE_TABLE"
        )
        ddl.check_dml(tree)
        if kind == "TRUNCATE_TABLE":
            return ddl.truncate(self, request, tree)
        translation = self.translator(request).translate(tree)
        self._keep(request, (kind, translation))
        return self._change(request, kind, translation)

    def _change(self, request: Request, kind: str, translation: Translation) -> Outcome:
        total = self.estimate(request, translation)
        target = (translation.tables[0].dataset, translation.tables[0].table)
        named = tuple((t.dataset, t.table) for t in translation.tables)
        if request.dry_run:
            return Outcome(kind, (), None, total, 0, target=target, referenced=named)
        values = self.values(request, translation)
        with self.database.write_lock, self.database.transaction() as session:
            if kind == "UPDATE":
                _check_one_match(session, translation.sql, values)
            counts = _run_dml(session, kind, translation.sql, values)
        return Outcome(kind, (), None, total, sum(counts), *counts, target=target, referenced=named)


def _fields_of(types: Sequence[tuple[str, Any]]) -> tuple[Field, ...]:
    fields = tuple(field_from_duckdb(name, kind) for name, kind in types)
    check_names(fields)
    return fields


def _run_dml(session: Transaction, kind: str, sql: str, values: Mapping[str, Any]) -> tuple[int, int, int]:
    """Run DML; give rows inserted, updated, deleted."""
    if kind != "MERGE":
        rows = session.execute(sql, values)
        n = int(rows[0][0]) if rows else 0
        return (n * (kind == "INSERT"), n * (kind == "UPDATE"), n * (kind == "DELETE"))
    rows = session.execute(f"{sql} RETURNING merge_action", values)
    actions = [str(r[0]).upper() for r in rows]
    return actions.count("INSERT"), actions.count("UPDATE"), actions.count("DELETE")


def _check_one_match(session: Transaction, sql: str, values: Mapping[str, Any]) -> None:
    """Refuse UPDATE ... FROM where a row meets several source rows; DuckDB would pick one of them."""
    tree = sqlglot.parse_one(sql, read="duckdb")
    source = tree.args.get("from_") or tree.args.get("from")
    if source is None or not isinstance(tree, exp.Update):
        return
    name = tree.this.alias_or_name
    rowid = exp.column("rowid", table=exp.to_identifier(name, quoted=True))
    several = exp.GT(this=exp.Count(this=exp.Star()), expression=exp.Literal.number(1))
    select = (
        exp.Select(expressions=[exp.Literal.number(1)])
        .from_(tree.this.copy())
        .group_by(rowid)
        .having(several)
        .limit(1)
    )
    select.append("joins", exp.Join(this=source.this.copy(), kind="CROSS"))
    for join in source.args.get("joins") or source.this.args.get("joins") or ():
        select.append("joins", join.copy())
    select.set("where", tree.args["where"].copy())
    text = select.sql(dialect="duckdb")
    if session.execute(text, {k: v for k, v in values.items() if f"${k}" in text}):
        raise InvalidError(
            "UPDATE/MERGE must match at most one source row for each target row",
            reason="invalidQuery",
            location="query",
        )
