"""`python -m demo.prepare`: tables and views, and the rows that describe the simulated stores.

Run at every start and safe to repeat. Stores, items and the bins of drift signals are small tables that
are replaced as a whole by one load job each, which BigQuery does atomically.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from google.api_core.exceptions import GoogleAPIError
from google.cloud import bigquery

from demo.errors import DemoError
from demo.logs import log_to_stderr
from demo.world.record import require_record
from demo.world.settings import World
from fleet_control.dimensions import signal_bin_rows
from queries.client import Warehouse, open_warehouse
from queries.errors import QueriesError
from queries.schema import apply_schema
from training.scenes import CATALOGUE

LOAD_TIMEOUT_S = 60.0

Rows = Sequence[Mapping[str, Any]]


def store_rows(world: World) -> Rows:
    """Return the rows of `stores`."""
    return [
        {
            "store_id": store.store_id,
            "name": store.name,
            "city": store.town.city,
            "timezone": store.town.timezone,
            "simulated": True,
        }
        for store in world.stores
    ]


def item_rows() -> Rows:
    """Return the rows of `items`: the renderer's catalogue in the order of the model's classes."""
    return [
        {
            "item_id": item.item_id,
            "name": item.name,
            "category": item.category,
            "barcode": item.barcode,
            "weight_g": item.weight_g,
            "weight_sd_g": item.weight_sd_g,
            "class_index": index,
        }
        for index, item in enumerate(CATALOGUE)
    ]


def replace_rows(warehouse: Warehouse, table: str, rows: Rows) -> None:
    """Replace all rows of a small table.

    Raises:
        GoogleAPIError: the warehouse refused, or did not answer.
    """
    path = f"{warehouse.target.project}.{warehouse.target.dataset}.{table}"
    config = bigquery.LoadJobConfig(
        schema=warehouse.client.get_table(path).schema,
        write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
    )
    job = warehouse.client.load_table_from_json(list(rows), path, job_config=config)
    job.result(timeout=LOAD_TIMEOUT_S)


def prepare(world: World, warehouse: Warehouse) -> int:
    """Bring schema and descriptions up to date; returns how many rows describe the world.

    Raises:
        QueriesError: the schema could not be applied.
        GoogleAPIError: a table could not be filled.
    """
    apply_schema(warehouse)
    tables = {"stores": store_rows(world), "items": item_rows(), "signal_bins": signal_bin_rows()}
    for table, rows in tables.items():
        replace_rows(warehouse, table, rows)
    return sum(len(rows) for rows in tables.values())


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
            rows = prepare(world, warehouse)
    except (DemoError, QueriesError, GoogleAPIError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"DONE schema up to date, {rows} rows describe stores, items and signals\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
