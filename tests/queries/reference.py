"""The same numbers by pandas, from the rows themselves."""

from __future__ import annotations

import pandas as pd

from tests.queries.seed import Row


def judged_events(rows: list[Row]) -> pd.DataFrame:
    """Return one row per item event with `labelled` and `contradicted`, by the definition in the protocol."""
    labels: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row["event_type"] != "item":
            labels.setdefault((row["store_id"], row["cart_id"], row["ref_event_id"]), []).append(row)
    judged = []
    for row in rows:
        if row["event_type"] == "item":
            mine = labels.get((row["store_id"], row["cart_id"], row["event_id"]), [])
            wrong = any(_contradicts(label, row) for label in mine)
            judged.append(
                {**row, "labelled": bool(mine), "contradicted": wrong, "asked": row["outcome"] == "asked"}
            )
    frame = pd.DataFrame(judged)
    frame["hour"] = frame["event_at"].dt.floor("h")
    return frame


def _contradicts(label: Row, event: Row) -> bool:
    if label["item_id"] is None or label["item_id"] != event["item_id"]:
        return True
    return any(label[name] is not None and label[name] != event[name] for name in ("quantity", "direction"))


def counts(judged: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return item_events, contradicted, labelled and asked per key, in the order of the keys."""
    grouped = judged.groupby(keys).agg(
        item_events=("event_id", "count"),
        contradicted=("contradicted", "sum"),
        labelled=("labelled", "sum"),
        asked=("asked", "sum"),
    )
    return grouped.astype("int64").reset_index()


def nearest_rank(values: pd.Series[float], q: float) -> float:
    """Return the value below or at which a share q of the values lies."""
    ordered = values.sort_values().to_list()
    rank = max(1, -(-round(q * len(ordered) * 1e6) // 1_000_000))
    return float(ordered[rank - 1])
