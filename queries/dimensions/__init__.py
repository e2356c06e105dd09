"""The small tables that say what the ids in the large ones mean: stores, items, bins of the signals.

Each is written whole, in one statement, so that a page never sees half of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from queries.client import Execution
from queries.question import read_sql


@dataclass(frozen=True, slots=True)
class Store:
    """A store, as in the table `stores`."""

    store_id: str
    name: str
    city: str
    timezone: str
    simulated: bool


@dataclass(frozen=True, slots=True)
class Item:
    """An item the model knows, as in the table `items`; weights in grams."""

    item_id: str
    name: str
    category: str
    barcode: str
    weight_g: float | None
    weight_sd_g: float | None
    class_index: int | None


@dataclass(frozen=True, slots=True)
class SignalBin:
    """A bin of a drift signal, as in the table `signal_bins`; an open bound is None."""

    signal: str
    bin: int
    lower: float | None
    upper: float | None
    label: str
    unit: str


class DimensionTarget(Protocol):
    """What dimensions are written to: `Warehouse`, seen from here."""

    def execute(self, sql: str, parameters: Mapping[str, Any] | None = None, *, name: str) -> Execution:
        """Run a statement."""
        ...


def replace_stores(warehouse: DimensionTarget, rows: Sequence[Store]) -> None:
    """Make these the stores.

    Raises:
        QueryError: the warehouse refused, or did not answer.
    """
    _replace(warehouse, "stores", Store, rows)


def replace_items(warehouse: DimensionTarget, rows: Sequence[Item]) -> None:
    """Make these the items.

    Raises:
        QueryError: the warehouse refused, or did not answer.
    """
    _replace(warehouse, "items", Item, rows)


def replace_signal_bins(warehouse: DimensionTarget, rows: Sequence[SignalBin]) -> None:
    """Make these the bins.

    Raises:
        QueryError: the warehouse refused, or did not answer.
    """
    _replace(warehouse, "signal_bins", SignalBin, rows)


def _replace(warehouse: DimensionTarget, table: str, kind: type, rows: Sequence[Any]) -> None:
    """Send one array of text per column: BigQuery's array parameters hold no nulls, text can say ''."""
    names = [field.name for field in dataclasses.fields(kind)]
    values = {name: [_text(getattr(row, name)) for row in rows] for name in names}
    warehouse.execute(read_sql(__name__, table), values, name=f"replace {table}")


def _text(value: str | float | bool | None) -> str:  # noqa: FBT001
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
