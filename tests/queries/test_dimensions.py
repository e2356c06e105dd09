"""Stores, items and bins are written whole."""

from __future__ import annotations

from queries.catalogue import Items, SignalBins, Stores
from queries.client import Warehouse
from queries.dimensions import (
    Item,
    SignalBin,
    Store,
    replace_items,
    replace_signal_bins,
    replace_stores,
)


def test_what_is_not_named_is_gone(empty_warehouse: Warehouse) -> None:
    """A second write changes, adds and removes; doing it again changes nothing."""
    one, two = (Store(f"s{n}", f"Store {n}", "Gent", "Europe/Brussels", simulated=n == 1) for n in (1, 2))
    for stores in ([one], [one, two], [two], [two]):
        replace_stores(empty_warehouse, stores)
        found = empty_warehouse.run(Stores()).frame
        assert found["store_id"].to_list() == [store.store_id for store in stores]
    assert found["simulated"].to_list() == [False]


def test_what_is_open_or_unknown_is_null(empty_warehouse: Warehouse) -> None:
    """Open bounds and unknown weights come back as nulls, numbers as numbers."""
    items = [
        Item("apple", "Apple", "fruit", "1", 150.5, None, 0),
        Item("box", "Box", "", "", None, None, None),
    ]
    replace_items(empty_warehouse, items)
    found = empty_warehouse.run(Items()).frame
    assert found["class_index"].isna().to_list() == [False, True]
    assert found["category"].isna().to_list() == [False, True]
    bins = [SignalBin("blur", 0, None, -0.5, "< -0.5", ""), SignalBin("blur", 1, -0.5, None, "more", "")]
    replace_signal_bins(empty_warehouse, bins)
    frame = empty_warehouse.run(SignalBins()).frame
    assert frame["lower"].isna().to_list() == [True, False]
    assert frame["upper"].to_list()[0] == -0.5
    assert frame["unit"].to_list() == ["", ""]
