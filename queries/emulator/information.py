"""INFORMATION_SCHEMA.TABLES, COLUMNS and SCHEMATA, rebuilt from the catalog when it has changed."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa

from queries.dialect.errors import UnsupportedError
from queries.dialect.fields import Field
from queries.dialect.tables import TableInfo
from queries.emulator.catalog import Catalog
from queries.emulator.decoding import arrow_schema

SHAPES: dict[str, tuple[tuple[str, str], ...]] = {
    "TABLES": (
        ("table_catalog", "STRING"),
        ("table_schema", "STRING"),
        ("table_name", "STRING"),
        ("table_type", "STRING"),
        ("is_insertable_into", "STRING"),
        ("creation_time", "TIMESTAMP"),
    ),
    "COLUMNS": (
        ("table_catalog", "STRING"),
        ("table_schema", "STRING"),
        ("table_name", "STRING"),
        ("column_name", "STRING"),
        ("ordinal_position", "INTEGER"),
        ("is_nullable", "STRING"),
        ("data_type", "STRING"),
        ("is_partitioning_column", "STRING"),
        ("clustering_ordinal_position", "INTEGER"),
    ),
}
_built: dict[int, int] = {}


def information_table(catalog: Catalog, dataset: str, name: str) -> TableInfo:
    """Give one of the tables, with fresh rows.

    Raises:
        UnsupportedError: It is another one.
    """
    if name not in SHAPES:
        raise UnsupportedError(f"INFORMATION_SCHEMA.{name}")
    _refresh(catalog)
    fields = tuple(Field(n, t) for n, t in SHAPES[name])
    return TableInfo(
        dataset,
        f"INFORMATION_SCHEMA.{name}",
        "_bq",
        f"information_{name.lower()}",
        fields,
        where_dataset=dataset,
    )


def _refresh(catalog: Catalog) -> None:
    if _built.get(id(catalog)) == catalog.version:
        return
    rows: dict[str, list[list[Any]]] = {"TABLES": [], "COLUMNS": []}
    for dataset in catalog.datasets():
        for entry in catalog.tables(dataset.dataset):
            kind = "VIEW" if entry.is_view else "BASE TABLE"
            head = [catalog.project, entry.dataset, entry.name]
            rows["TABLES"].append(
                [
                    *head,
                    kind,
                    "NO" if entry.is_view else "YES",
                    dt.datetime.fromtimestamp(entry.created_ms / 1000, dt.UTC),
                ]
            )
            clustered = [str(c).lower() for c in (entry.body.get("clustering") or {}).get("fields") or []]
            for position, field in enumerate(entry.fields, 1):
                order = clustered.index(field.name.lower()) + 1 if field.name.lower() in clustered else None
                part = "YES" if field.name == entry.partition_column else "NO"
                null = "NO" if field.mode == "REQUIRED" else "YES"
                rows["COLUMNS"].append([*head, field.name, position, null, field.standard(), part, order])
    with catalog.database.write_lock, catalog.database.transaction() as session:
        for name, shape in SHAPES.items():
            fields = [Field(column, kind) for column, kind in shape]
            columns = ", ".join(f"{f.name} {f.sql()}" for f in fields)
            values = [dict(zip([f.name for f in fields], row, strict=True)) for row in rows[name]]
            session.execute(f"CREATE OR REPLACE TABLE _bq.information_{name.lower()} ({columns})")
            incoming = pa.Table.from_pylist(values, schema=arrow_schema(fields))
            session.insert(f"INSERT INTO _bq.information_{name.lower()} SELECT * FROM _incoming", incoming)  # noqa: S608
    _built[id(catalog)] = catalog.version
