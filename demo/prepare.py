"""`python -m demo.prepare`: tables and views, and the rows that describe the simulated stores.

Run at every start and safe to repeat.
"""

import argparse
import sys
from pathlib import Path

from demo.errors import DemoError, SettingsError
from demo.logs import log_to_stderr
from demo.world.record import require_record
from demo.world.settings import World
from fleet_control.dimensions import signal_bins
from queries.catalogue import Stores
from queries.client import Warehouse, open_warehouse
from queries.dimensions import Item, Store, replace_items, replace_signal_bins, replace_stores
from queries.errors import QueriesError
from queries.schema import apply_schema
from training.scenes import CATALOGUE


def store_rows(world: World) -> list[Store]:
    """Return the rows of `stores`."""
    return [
        Store(store.store_id, store.name, store.town.city, store.town.timezone, simulated=True)
        for store in world.stores
    ]


def item_rows() -> list[Item]:
    """Return the rows of `items`: the renderer's catalogue in the order of the model's classes."""
    return [
        Item(item.item_id, item.name, item.category, item.barcode, item.weight_g, item.weight_sd_g, index)
        for index, item in enumerate(CATALOGUE)
    ]


def prepare(world: World, warehouse: Warehouse) -> str:
    """Bring schema and descriptions up to date; returns what was done, in a few words.

    Raises:
        QueriesError: the warehouse refused, or did not answer.
        SettingsError: real stores live in this dataset: their descriptions would be lost.
    """
    apply_schema(warehouse)
    known = warehouse.run(Stores()).frame
    if len(known) and not known["simulated"].all():
        target = f"{warehouse.target.project}.{warehouse.target.dataset}"
        raise SettingsError(
            f"{target} describes real stores: simulated ones need a dataset of their own, "
            "named with --warehouse PROJECT.DATASET."
        )
    stores, items, bins = store_rows(world), item_rows(), signal_bins()
    replace_stores(warehouse, stores)
    replace_items(warehouse, items)
    replace_signal_bins(warehouse, bins)
    return f"schema, {len(stores)} stores, {len(items)} items"


def main() -> int:
    """Prepare the warehouse of a data directory's world."""
    parser = argparse.ArgumentParser(prog="python -m demo.prepare", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--warehouse", required=True)
    options = parser.parse_args()
    log_to_stderr()
    try:
        world = World(require_record(options.data_dir).settings)
        with open_warehouse(options.warehouse) as warehouse:
            done = prepare(world, warehouse)
    except (DemoError, QueriesError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"DONE {done}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
