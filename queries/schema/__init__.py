"""The tables and views of the warehouse: one statement per file, in BigQuery's dialect."""

from __future__ import annotations

from importlib.resources import files

from queries.client import BigQueryWarehouse, Statement

# Views come after the tables they read.
VIEWS = ("events", "telemetry")


def statements() -> dict[str, str]:
    """Give the text of every table and view by name, in an order in which they can be made."""
    texts = {entry.name.removesuffix(".sql"): entry.read_text("utf-8") for entry in files(__name__).iterdir() if entry.name.endswith(".sql")}
    tables = sorted(name for name in texts if name not in VIEWS)
    return {name: texts[name] for name in (*tables, *VIEWS)}


def apply_schema(warehouse: BigQueryWarehouse, *, timeout_s: float = 60.0) -> None:
    """Make the dataset and all its tables and views; what exists is left as it is.

    Args:
        warehouse: Where.
        timeout_s: The longest one statement may take.

    Raises:
        QueryError: The warehouse refused or did not answer.
    """
    warehouse.ensure_dataset()
    for name, sql in statements().items():
        warehouse.run(Statement(f"schema.{name}", sql), timeout_s=timeout_s)
