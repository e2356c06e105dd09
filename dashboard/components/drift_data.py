"""What the Drift page loads: drifts of stores, of carts and of cameras, and the bins to draw them in."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from dashboard.components.context import PageContext
from dashboard.components.loading import heard_until, names_of_stores, newest_sign, unheard_stores
from dashboard.components.panel import outcome_of
from dashboard.sources.protocol import Scope
from dashboard.state import Outcome
from dashboard.timeframe import comparison_of
from dashboard.view_models import cells
from dashboard.view_models.drift import Bins, Drift, build_bins, build_drifts

# Carts of more stores than this are not compared at once: choose a store.
MOST_STORES_AT_ONCE = 50
# Rows of a heat map that fit on a screen.
MOST_ROWS = 12
# Of one store, while all stores are shown: a store in the dark must not push a smeared camera elsewhere out.
MOST_ROWS_OF_ONE_STORE = 4


@dataclass(frozen=True, slots=True)
class DriftTable:
    """Drifts with what is needed to draw them.

    Attributes:
        drifts: Largest distance first.
        titles: Of their keys.
        bins: Of their signals.
    """

    drifts: tuple[Drift, ...]
    titles: Mapping[str, str]
    bins: Mapping[str, Bins]


def load_stores(context: PageContext) -> Outcome[DriftTable]:
    """Load every store's signals against its own past, whatever store is chosen."""
    comparison = comparison_of(context.window)
    reading = context.source.signals(comparison, replace(context.scope, store_id=None))
    bins, names = load_bins(context), names_of_stores(context)
    drifts = build_drifts(reading.frame, ["store_id"], bins)
    heard = {d.key for d in drifts if d.n_now}
    silent = {key: name for key, name in names.items() if key not in heard}
    known = sum(d.distance is not None for d in drifts)
    titles = {key: name for key, name in names.items() if key in heard}
    return outcome_of(
        DriftTable(drifts, titles, bins),
        (reading,),
        rows=known,
        data_until=newest_sign(context.source.carts().frame),
        missing=tuple({**silent, **unheard_stores(context, Scope())}.values()),
    )


def load_parts(context: PageContext, *, cameras: bool) -> Outcome[DriftTable]:
    """Load carts, or cameras, of the chosen store or of all; the most changed ones."""
    comparison = comparison_of(context.window)
    if context.scope.store_id is None and len(context.source.stores().frame) > MOST_STORES_AT_ONCE:
        return Outcome(None)
    reading = context.source.cart_signals(
        comparison, Scope(context.scope.store_id, context.scope.model_digest)
    )
    has_camera = reading.frame["camera"].fillna("") != ""
    rows = reading.frame[has_camera if cameras else ~has_camera]
    bins = load_bins(context)
    drifts = build_drifts(rows, ["cart_id", "camera"] if cameras else ["cart_id"], bins)
    store_of = dict(zip(reading.frame["cart_id"], reading.frame["store_id"], strict=True))
    keys = most_changed([(d.key, store_of[d.key.split()[0]]) for d in drifts])
    known = tuple(d for d in drifts if d.key in keys)
    return outcome_of(
        DriftTable(known, {k: k for k in keys}, bins),
        (reading,),
        rows=sum(d.distance is not None for d in known),
        data_until=heard_until(context),
        missing=tuple(unheard_stores(context, context.scope).values()),
    )


def most_changed(ranked: Sequence[tuple[str, str]]) -> list[str]:
    """Return the first keys of (key, store) pairs, not too many of one store among several."""
    keys = dict(ranked)
    several = len(set(keys.values())) > 1
    chosen: list[str] = []
    taken: Counter[str] = Counter()
    for key, store in keys.items():
        if len(chosen) < MOST_ROWS and not (several and taken[store] >= MOST_ROWS_OF_ONE_STORE):
            chosen.append(key)
            taken[store] += 1
    return chosen


def load_bins(context: PageContext) -> dict[str, Bins]:
    """Load the bins of the signals, classes by the names of the items."""
    bins, items = context.source.signal_bins(), context.source.items()
    classes = items.frame[items.frame["class_index"].notna()]
    return build_bins(bins.frame, class_names(classes))


def class_names(items: pd.DataFrame) -> dict[int, str]:
    """Return the item's name of each class."""
    return {
        int(i["class_index"]): cells.text(i["name"]) or str(i["item_id"]) for i in items.to_dict("records")
    }
