"""BigQuery column types, and what DuckDB stores for each.

A `Field` is one column, as the REST API's `TableFieldSchema` describes it. Types carry the REST API's
names (INTEGER, FLOAT, BOOLEAN, RECORD), which are what Google's clients send and expect back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from queries.dialect.errors import StatementError, UnsupportedError

NAMES = {
    "INT64": "INTEGER",
    "INTEGER": "INTEGER",
    "INT": "INTEGER",
    "SMALLINT": "INTEGER",
    "BIGINT": "INTEGER",
    "TINYINT": "INTEGER",
    "BYTEINT": "INTEGER",
    "FLOAT64": "FLOAT",
    "FLOAT": "FLOAT",
    "BOOL": "BOOLEAN",
    "BOOLEAN": "BOOLEAN",
    "STRING": "STRING",
    "BYTES": "BYTES",
    "TIMESTAMP": "TIMESTAMP",
    "DATE": "DATE",
    "TIME": "TIME",
    "DATETIME": "DATETIME",
    "NUMERIC": "NUMERIC",
    "DECIMAL": "NUMERIC",
    "JSON": "JSON",
    "RECORD": "RECORD",
    "STRUCT": "RECORD",
    "INTERVAL": "INTERVAL",
}
STORAGE = {
    "INTEGER": "BIGINT",
    "FLOAT": "DOUBLE",
    "BOOLEAN": "BOOLEAN",
    "STRING": "VARCHAR",
    "BYTES": "BLOB",
    "TIMESTAMP": "TIMESTAMPTZ",
    "DATE": "DATE",
    "TIME": "TIME",
    "DATETIME": "TIMESTAMP",
    "NUMERIC": "DECIMAL(38,9)",
    "JSON": "JSON",
    "INTERVAL": "INTERVAL",
}
STANDARD = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}
FROM_DUCKDB = {
    "tinyint": "INTEGER",
    "smallint": "INTEGER",
    "integer": "INTEGER",
    "bigint": "INTEGER",
    "hugeint": "INTEGER",
    "utinyint": "INTEGER",
    "usmallint": "INTEGER",
    "uinteger": "INTEGER",
    "ubigint": "INTEGER",
    "float": "FLOAT",
    "double": "FLOAT",
    "boolean": "BOOLEAN",
    "varchar": "STRING",
    "blob": "BYTES",
    "timestamp with time zone": "TIMESTAMP",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "DATETIME",
    "decimal": "NUMERIC",
    "interval": "INTERVAL",
    "uuid": "STRING",
    "null": "INTEGER",
}
MAX_FIELDS = 10_000  # BigQuery's own limit of columns per table; a request beyond it is a mistake
MAX_DEPTH = 15  # BigQuery's own limit of nested records


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One column.

    Attributes:
        name: Column name, as written when it was created.
        type: REST name of the type (INTEGER, FLOAT, RECORD, ...).
        mode: NULLABLE, REQUIRED or REPEATED.
        fields: Columns of a RECORD.
        description: Text given by the user, or "".
    """

    name: str
    type: str
    mode: str = "NULLABLE"
    fields: tuple[Field, ...] = ()
    description: str = ""

    def to_api(self) -> dict[str, Any]:
        """Give the REST resource of this column."""
        out: dict[str, Any] = {"name": self.name, "type": self.type, "mode": self.mode}
        if self.fields:
            out["fields"] = [f.to_api() for f in self.fields]
        if self.description:
            out["description"] = self.description
        return out

    def element_sql(self) -> str:
        """Give the DuckDB type of one value, arrays aside."""
        if self.type == "RECORD":
            return "STRUCT(" + ", ".join(f"{quote(f.name)} {f.sql()}" for f in self.fields) + ")"
        return STORAGE[self.type]

    def sql(self) -> str:
        """Give the DuckDB type of the column."""
        return self.element_sql() + ("[]" if self.mode == "REPEATED" else "")

    def standard(self) -> str:
        """Give the type as GoogleSQL writes it (INT64, ARRAY<STRUCT<...>>)."""
        one = STANDARD.get(self.type, self.type)
        if self.type == "RECORD":
            one = "STRUCT<" + ", ".join(f"{f.name} {f.standard()}" for f in self.fields) + ">"
        return f"ARRAY<{one}>" if self.mode == "REPEATED" else one


def quote(name: str) -> str:
    """Quote an identifier for DuckDB."""
    return '"' + name.replace('"', '""') + '"'


def type_name(name: str) -> str:
    """Give the REST name of a type.

    Raises:
        UnsupportedError: BigQuery knows the type, we do not.
        StatementError: Nobody knows it.
    """
    upper = name.strip().upper()
    if upper in NAMES:
        return NAMES[upper]
    if upper in {"BIGNUMERIC", "BIGDECIMAL", "GEOGRAPHY", "RANGE", "FOREIGN"}:
        raise UnsupportedError(f"The type {upper}")
    raise StatementError(f"Invalid value for type: {name} is not a valid value")


def field_from_api(resource: Any, depth: int = 0) -> Field:
    """Read one `TableFieldSchema`.

    Raises:
        StatementError: The resource is malformed.
        UnsupportedError: It uses a type that is not supported.
    """
    if not isinstance(resource, dict) or not isinstance(resource.get("name"), str) or not resource["name"]:
        raise StatementError("Schema field has no name")
    if depth > MAX_DEPTH:
        raise StatementError(f"Schema field {resource['name']} is nested deeper than {MAX_DEPTH} levels")
    kind = type_name(str(resource.get("type", "")))
    mode = str(resource.get("mode") or "NULLABLE").upper()
    if mode not in {"NULLABLE", "REQUIRED", "REPEATED"}:
        raise StatementError(f"Invalid mode {mode} of field {resource['name']}")
    if resource.get("defaultValueExpression"):
        raise UnsupportedError("A default value of a column")
    nested = tuple(field_from_api(f, depth + 1) for f in resource.get("fields") or ())
    if (kind == "RECORD") != bool(nested):
        raise StatementError(f"Field {resource['name']} is type {kind} but has {len(nested)} sub-fields")
    return Field(resource["name"], kind, mode, nested, str(resource.get("description") or ""))


def schema_from_api(schema: Any) -> tuple[Field, ...]:
    """Read a `TableSchema` ({"fields": [...]}).

    Raises:
        StatementError: It is malformed or names a column twice.
        UnsupportedError: It uses a type that is not supported.
    """
    fields = tuple(field_from_api(f) for f in (schema or {}).get("fields") or ())
    check_names(fields)
    return fields


def check_names(fields: Sequence[Field]) -> None:
    """Refuse two columns of one name (case does not matter).

    Raises:
        StatementError: A name appears twice, or there are too many columns.
    """
    if len(fields) > MAX_FIELDS:
        raise StatementError(
            f"Too many total leaf fields: {len(fields)}, max allowed field count: {MAX_FIELDS}"
        )
    seen: set[str] = set()
    for field in fields:
        if field.name.lower() in seen:
            raise StatementError(
                f"Duplicate column names in the result are not supported. Found duplicate(s): {field.name}"
            )
        seen.add(field.name.lower())
        check_names(field.fields)


def field_from_duckdb(name: str, kind: Any, mode: str = "NULLABLE") -> Field:
    """Read the type of one column of a DuckDB result.

    Args:
        name: Name of the column.
        kind: The `DuckDBPyType`.
        mode: NULLABLE, or REPEATED for the element of an array.

    Raises:
        UnsupportedError: No BigQuery type is the same.
    """
    ident = str(kind.id)
    if ident in {"list", "array"}:
        if mode == "REPEATED":
            raise StatementError(
                "Cannot construct array with element type ARRAY because nested arrays are not supported"
            )
        return field_from_duckdb(name, dict(kind.children)["child"], "REPEATED")
    if ident == "struct":
        nested = tuple(field_from_duckdb(n, k) for n, k in kind.children)
        return Field(name, "RECORD", mode, nested)
    if str(kind) == "JSON":
        return Field(name, "JSON", mode)
    if ident not in FROM_DUCKDB:
        raise UnsupportedError(f"A result of type {kind}")
    return Field(name, FROM_DUCKDB[ident], mode)
