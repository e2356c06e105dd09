"""Columns of tables: how they are stored, partitioned, and how a schema may change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from queries.dialect.fields import Field, quote
from queries.emulator.errors import InvalidError


def columns_sql(fields: tuple[Field, ...]) -> str:
    """Write the columns of a table for DuckDB.

    Raises:
        InvalidError: There are none.
    """
    if not fields:
        raise InvalidError("Schema has no fields")
    return ", ".join(
        f"{quote(f.name)} {f.sql()}" + (" NOT NULL" if f.mode == "REQUIRED" else "") for f in fields
    )


def check_partitioning(body: Mapping[str, Any], fields: Sequence[Field]) -> None:
    """Refuse partitioning and clustering that make no sense.

    Raises:
        InvalidError: They do not.
    """
    partitioning = body.get("timePartitioning")
    column = (partitioning or {}).get("field")
    if body.get("rangePartitioning"):
        raise InvalidError(
            "Integer range partitioning is not supported by the embedded BigQuery endpoint",
            reason="notImplemented",
            status=501,
        )
    if partitioning is not None and column is None:
        raise InvalidError(
            "Ingestion-time partitioning is not supported by the embedded BigQuery endpoint",
            reason="notImplemented",
            status=501,
        )
    if column is not None:
        field = next((f for f in fields if f.name.lower() == column.lower()), None)
        if field is None or field.type not in {"DATE", "TIMESTAMP", "DATETIME"} or field.mode == "REPEATED":
            raise InvalidError(
                f"The field specified for partitioning, {column}, must be a column of type DATE, "
                "TIMESTAMP or DATETIME"
            )
    for name in (body.get("clustering") or {}).get("fields") or ():
        if not any(f.name.lower() == str(name).lower() for f in fields):
            raise InvalidError(f"The field specified for clustering, {name}, is not a column of the table")


def added_fields(old: tuple[Field, ...], new: tuple[Field, ...]) -> list[Field]:
    """Tell which columns a new schema adds.

    Raises:
        InvalidError: It changes or drops others.
    """
    known = {f.name.lower(): f for f in new}
    for field in old:
        now = known.get(field.name.lower())
        same = (
            now is not None
            and now.type == field.type
            and (now.mode == field.mode or (field.mode, now.mode) == ("REQUIRED", "NULLABLE"))
        )
        if (
            not same
            or now is None
            or [f.to_api() | {"description": ""} for f in now.fields]
            != [f.to_api() | {"description": ""} for f in field.fields]
        ):
            raise InvalidError(
                f"Provided Schema does not match Table. Field {field.name} is missing or has "
                "changed in new schema"
            )
    before = {f.name.lower() for f in old}
    fresh = [f for f in new if f.name.lower() not in before]
    for field in fresh:
        if field.mode == "REQUIRED":
            raise InvalidError(
                "Provided Schema does not match Table. Cannot add required fields to an existing "
                f"schema. (field: {field.name})"
            )
    return fresh


def relaxed_fields(old: tuple[Field, ...], new: tuple[Field, ...]) -> list[Field]:
    """Tell which columns are no longer required."""
    required = {f.name.lower() for f in old if f.mode == "REQUIRED"}
    return [f for f in new if f.name.lower() in required and f.mode == "NULLABLE"]
