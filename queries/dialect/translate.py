"""From one GoogleSQL statement to one DuckDB statement."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

import sqlglot
from sqlglot import exp
from sqlglot.errors import UnsupportedError as SqlglotUnsupportedError

from queries.dialect.errors import StatementError, UnsupportedError
from queries.dialect.fields import Field
from queries.dialect.functions import HANDLERS, PASSING
from queries.dialect.partitions import Scan, scans
from queries.dialect.relations import expand_group_aliases, name_results, resolve, unnest
from queries.dialect.rewriting import Describe, Rewriter
from queries.dialect.tables import Lookup, TableInfo

SELECT_KINDS = {None, "", "STRUCT"}


@dataclasses.dataclass(frozen=True, slots=True)
class Translation:
    """A statement ready for DuckDB.

    Attributes:
        sql: DuckDB text; parameters are $name.
        parameters: Names of the parameters it uses.
        tables: Stored tables it reads or writes.
        scans: What it reads, to estimate bytes: table, columns named (None is all), DuckDB condition.
    """

    sql: str
    parameters: tuple[str, ...]
    tables: tuple[TableInfo, ...]
    scans: tuple[tuple[TableInfo, frozenset[str] | None, str], ...]


class Translator:
    """Translates the statements of one request.

    Args:
        lookup: Finds tables.
        describe: Asks DuckDB for the columns and types of a query's result.
        parameters: Named parameters and their types.
    """

    # Attribute demand_filters: refuse a missing partition filter; off where a view is only being defined.

    def __init__(self, lookup: Lookup, describe: Describe, parameters: Mapping[str, Field]) -> None:
        self._lookup = lookup
        self._describe_bound = describe
        self._parameters = {name.lower(): field for name, field in parameters.items()}
        self.demand_filters = True

    def translate(self, tree: exp.Expression) -> Translation:
        """Translate a parsed query or DML statement; the tree is used up.

        Raises:
            StatementError: BigQuery would refuse it too.
            UnsupportedError: Only this emulator refuses it.
        """
        _fence(tree)
        tables = resolve(tree, self._lookup)
        name_results(tree)
        for select in tree.find_all(exp.Select):
            expand_group_aliases(select)
        found = scans(tree, demand=self.demand_filters)
        columns = _columns_read(tree)
        used = self._bind(tree)
        rewriter = self._rewriter(tree, tables)
        holder = exp.Paren(this=tree)
        rewriter.rewrite(tree)
        sql = _text(holder.this)
        return Translation(sql, tuple(used), tuple(tables), tuple(self._scan(s, columns) for s in found))

    def _rewriter(self, tree: exp.Expression, tables: Sequence[TableInfo]) -> Rewriter:
        fields = [f for t in tables for f in t.fields] + list(self._parameters.values())
        text = tree.sql(dialect="bigquery").upper()
        return Rewriter(
            {**HANDLERS, exp.Unnest: unnest},
            PASSING,
            self._describe,
            has_decimals=any(_has(f, "NUMERIC") for f in fields) or "NUMERIC" in text or "DECIMAL" in text,
            has_dates=any(_has(f, "DATE") for f in fields) or re.search(r"DATE\b|DAY\(", text) is not None,
        )

    def _describe(self, text: str) -> list[tuple[str, str]]:
        return self._describe_bound(re.sub(r"\$p_\w+", "(SELECT NULL)", text))

    def _bind(self, tree: exp.Expression) -> list[str]:
        """Give every parameter its type."""
        used: list[str] = []
        position = 0
        for node in list(tree.find_all(exp.Parameter, exp.Placeholder)):
            if isinstance(node, exp.Placeholder):
                name, position = f"{position}", position + 1
            elif isinstance(node.this, exp.Parameter):
                raise UnsupportedError("A system variable (@@)")
            else:
                name = node.name.lower()
            field = self._parameters.get(name)
            if field is None:
                raise StatementError(f"Query parameter '{name}' not found")
            bound = exp.Placeholder(this=f"p_{name}")
            typed = exp.Cast(this=bound, to=exp.DataType.build(field.sql(), dialect="duckdb"))
            typed.meta["bound"] = True
            node.replace(typed)
            if name not in used:
                used.append(name)
        return used

    def _scan(
        self, scan: Scan, columns: frozenset[str] | None
    ) -> tuple[TableInfo, frozenset[str] | None, str]:
        if not scan.filters:
            return scan.info, columns, ""
        condition = exp.and_(*scan.filters)
        select = exp.Select(expressions=[exp.Star()]).where(condition)
        select.set(
            "from_",
            exp.From(
                this=exp.Table(
                    this=exp.to_identifier(scan.info.relation, quoted=True),
                    db=exp.to_identifier(scan.info.schema, quoted=True),
                )
            ),
        )
        self._bind(select)
        self._rewriter(select, [scan.info]).rewrite(select)
        return scan.info, columns, select.args["where"].this.sql(dialect="duckdb")


def _has(field: Field, kind: str) -> bool:
    return field.type == kind or any(_has(f, kind) for f in field.fields)


def _fence(tree: exp.Expression) -> None:
    for select in tree.find_all(exp.Select):
        if select.args.get("kind") not in SELECT_KINDS:
            raise UnsupportedError(f"SELECT AS {select.args['kind']}")
        for key in ("hint", "connect", "match", "sample", "into", "operation_modifiers"):
            if select.args.get(key):
                raise UnsupportedError(f"The clause {key.upper()}")


def _columns_read(tree: exp.Expression) -> frozenset[str] | None:
    top = tree
    while isinstance(top, exp.SetOperation | exp.Subquery):
        top = top.this
    if isinstance(top, exp.Select) and any(item.is_star for item in top.expressions):
        return None
    return frozenset(part.name.lower() for part in tree.find_all(exp.Identifier))


def _text(tree: exp.Expression) -> str:
    try:
        return str(tree.sql(dialect="duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE))
    except SqlglotUnsupportedError as error:
        raise UnsupportedError(str(error).split("\n")[0]) from error
