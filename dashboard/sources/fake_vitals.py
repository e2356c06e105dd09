"""Health of the in-memory warehouse's carts: SIMULATED. Store 3's second cart has a frozen left camera."""

from datetime import datetime

import pandas as pd

from dashboard.sources import fake_world as world

_COLUMNS = ["store_id", "cart_id", "kind", "name", "camera", "value", "last_at"]


def vital_rows(at: datetime) -> pd.DataFrame:
    """Return gauges and counters of all carts."""
    rows = []
    for store_ix, store in enumerate(world.STORES):
        for n, cart_id in enumerate(world.cart_ids(store_ix)):
            said = [
                ("gauge", f"fps/{camera}", "", 14.9 - 0.1 * ix) for ix, camera in enumerate(world.CAMERAS)
            ]
            said += [("gauge", "temp_c", "", 46.0 + 3 * n), ("gauge", "rss_bytes", "", 171e6 + 1e6 * n)]
            said += [("gauge", "degrade_level", "", float(n == 5))]
            if (store_ix, n) == (2, 1):
                said += [
                    ("gauge", "camera_bad/left", "", 1.0),
                    ("counter", "frozen", "left", 2.0),
                    ("counter", "scale_garbage", "", 1.0),
                ]
            rows += [(store[0], cart_id, *one, at) for one in said]
    return pd.DataFrame(rows, columns=_COLUMNS)


def engine_rows(at: datetime) -> pd.DataFrame:
    """Return what runs the model on each cart."""
    rows = [
        (store[0], cart_id, "tensorrt 10.3.0 fp16 on Orin plan 5f2c9a1b07de", "simulated", at)
        for store_ix, store in enumerate(world.STORES)
        for cart_id in world.cart_ids(store_ix)
    ]
    return pd.DataFrame(rows, columns=["store_id", "cart_id", "engine", "hardware", "born_at"])
