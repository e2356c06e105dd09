"""What the translator must know of a table or view."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from queries.dialect.fields import Field


@dataclasses.dataclass(frozen=True, slots=True)
class TableInfo:
    """One table or view, as the catalog of the emulator knows it.

    Attributes:
        dataset: Dataset it is in.
        table: Its name.
        schema: DuckDB schema of the stored table.
        relation: DuckDB name of the stored table.
        fields: Its columns.
        partition_column: Column that partitions it, or None.
        needs_filter: Queries must filter on that column.
        view: Text of the query, for a view.
        where_dataset: Rows are those with this `table_schema`: for the tables of INFORMATION_SCHEMA.
    """

    dataset: str
    table: str
    schema: str
    relation: str
    fields: tuple[Field, ...]
    partition_column: str | None = None
    needs_filter: bool = False
    view: str | None = None
    where_dataset: str | None = None


class Lookup(Protocol):
    """Finds a table by its written name."""

    def __call__(self, project: str | None, dataset: str | None, table: str, /) -> TableInfo:
        """Give the table.

        Raises:
            DialectError: or an error of the caller, when there is none.
        """
