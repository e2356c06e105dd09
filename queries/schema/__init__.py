"""The warehouse's tables and views: one file each, applied in order."""

from __future__ import annotations

from importlib import resources
from typing import Protocol

import structlog

from queries.client import Execution
from queries.question import read_sql

_log = structlog.get_logger(__name__)

# Columns that tables of an earlier version lack. Adding a column is all that a table may go through:
# rows written before have null in it.
ADDED_COLUMNS = ("cart_states_engine", "cart_states_labels", "updates_rollout")

# Views read tables, so they come last; their files begin with CREATE OR REPLACE VIEW.
VIEWS = ("telemetry", "events", "rollout_transitions")


class SchemaTarget(Protocol):
    """What the schema is applied to: `Warehouse`, seen from here."""

    def create_dataset(self) -> None:
        """Create the dataset where it is missing."""
        ...

    def execute(self, sql: str, *, name: str) -> Execution:
        """Run one statement."""
        ...


def statements() -> list[tuple[str, str]]:
    """Return (name, DDL) of every table, then of columns added later, then of every view."""
    files = (f.name for f in resources.files(__name__).iterdir())
    names = sorted(name.removesuffix(".sql") for name in files if name.endswith(".sql"))
    tables = [name for name in names if name not in (*ADDED_COLUMNS, *VIEWS)]
    return [(name, read_sql(__name__, name)) for name in (*tables, *ADDED_COLUMNS, *VIEWS)]


def apply_schema(warehouse: SchemaTarget) -> None:
    """Create the dataset, the tables and the views that are missing; views are renewed.

    Doing it again changes nothing. Tables that exist get the columns they lack and keep their rows.

    Raises:
        QueryError: the warehouse refused, or did not answer.
    """
    warehouse.create_dataset()
    for name, ddl in statements():
        warehouse.execute(ddl, name=f"schema {name}")
    _log.info("schema applied", statements=len(statements()))
