"""How many bytes BigQuery would read: rows that pass the partition filter, times the columns named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from queries.dialect.fields import Field, quote
from queries.dialect.tables import TableInfo
from queries.emulator.database import Database

FIXED = {
    "INTEGER": 8,
    "FLOAT": 8,
    "BOOLEAN": 1,
    "TIMESTAMP": 8,
    "DATE": 8,
    "TIME": 8,
    "DATETIME": 8,
    "NUMERIC": 16,
    "INTERVAL": 16,
}
SAMPLE_ROWS = 200  # rows whose widths stand for all; more costs time on every growth of a table


class Sizes:
    """Estimates scans, remembering the width of each column until the table has doubled."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._widths: dict[tuple[str, str, int, int], dict[str, float]] = {}

    def of_scan(
        self, info: TableInfo, columns: frozenset[str] | None, test: str, values: Mapping[str, Any]
    ) -> int:
        """Estimate one scan.

        Args:
            info: The table.
            columns: Lower-case names the statement mentions; None means all.
            test: DuckDB condition on the partition column, or "".
            values: Parameters the condition may use.
        """
        if info.where_dataset is not None:
            return 0
        relation = f"{quote(info.schema)}.{quote(info.relation)}"
        where = f" WHERE {test}" if test else ""
        used = {k: v for k, v in values.items() if f"${k}" in test}
        rows = int(self._database.scalar(f"SELECT count(*) FROM {relation}{where}", used) or 0)  # noqa: S608
        if rows == 0:
            return 0
        widths = self._of_columns(info, relation, rows)
        return round(rows * sum(w for name, w in widths.items() if columns is None or name in columns))

    def _of_columns(self, info: TableInfo, relation: str, rows: int) -> dict[str, float]:
        key = (info.schema, info.relation, len(info.fields), rows.bit_length())
        if key not in self._widths:
            sample = self._database.rows(f"SELECT * FROM {relation} LIMIT {SAMPLE_ROWS}")  # noqa: S608
            names = [f.name.lower() for f in info.fields]
            totals = [sum(_width(row[i], f) for row in sample) for i, f in enumerate(info.fields)]
            self._widths[key] = {n: t / max(len(sample), 1) for n, t in zip(names, totals, strict=True)}
        return self._widths[key]

    def of_table(self, info: TableInfo) -> tuple[int, int]:
        """Give rows and logical bytes of a whole table."""
        relation = f"{quote(info.schema)}.{quote(info.relation)}"
        rows = int(self._database.scalar(f"SELECT count(*) FROM {relation}") or 0)  # noqa: S608
        return rows, self.of_scan(info, None, "", {})


def _width(value: Any, field: Field) -> int:
    if value is None:
        return 0
    if field.mode == "REPEATED":
        one = Field(field.name, field.type, "NULLABLE", field.fields)
        return sum(_width(v, one) for v in value)
    if field.type == "RECORD":
        return sum(_width(value.get(f.name), f) for f in field.fields)
    if field.type in FIXED:
        return FIXED[field.type]
    return 2 + len(value if isinstance(value, bytes) else str(value).encode())
