"""The Store page: its carts and its newest events."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from dashboard.view_models import cells
from dashboard.view_models.counts import Counts, sum_counts

NO_LABEL = "no label"
# By the contract, an item event without an item is something unknown; a label without one, nothing.
UNKNOWN_ITEM = "Unknown item"
NOTHING_MOVED = "Nothing moved"
_TIMES, _MINUS = "\N{MULTIPLICATION SIGN}", "\N{MINUS SIGN}"


@dataclass(frozen=True, slots=True)
class CartRow:
    """One cart.

    Attributes:
        cart_id: Its id; carts have no other name.
        online: By its last birth or will.
        model_digest: Model of its last birth, or "".
        agent_version: Agent of its last birth, or "".
        last_seen_at: Last message of any kind.
        counts: Its item events in the window.
        frames: Frames in the window, all cameras, those that could not be decoded included.
        dropped: Of those, dropped for any cause.
    """

    cart_id: str
    online: bool
    model_digest: str
    agent_version: str
    last_seen_at: datetime | None
    counts: Counts
    frames: int
    dropped: int

    @property
    def dropped_share(self) -> float | None:
        """Dropped frames over all frames; undecodable ones count on both sides."""
        return self.dropped / self.frames if self.frames else None


@dataclass(frozen=True, slots=True)
class EventRow:
    """One item event and what people said about it."""

    at: datetime
    cart_id: str
    action: str
    posterior: float | None
    outcome: str
    verdict: str
    decision_ms: float | None
    weight_residual_g: float | None


@dataclass(frozen=True, slots=True)
class CameraTrace:
    """One signal of one camera by day: the mean bin centre, in the signal's unit."""

    cart_id: str
    camera: str
    days: tuple[datetime, ...]
    means: tuple[float, ...]
    counts: tuple[int, ...]


def build_cart_rows(carts: pd.DataFrame, events: pd.DataFrame, activity: pd.DataFrame) -> tuple[CartRow, ...]:
    """Build the table of carts: offline first, then the lowest uncontradicted share."""
    rows = []
    for cart in carts.to_dict("records"):
        cart_id = str(cart["cart_id"])
        work = activity[activity["cart_id"] == cart_id]
        rows.append(
            CartRow(
                cart_id=cart_id,
                online=bool(cart["online"]),
                model_digest=cells.text(cart["model_digest"]),
                agent_version=cells.text(cart["agent_version"]),
                last_seen_at=cells.time(cart["last_seen_at"]),
                counts=sum_counts(events[events["cart_id"] == cart_id]),
                frames=int(work["frames"].sum()),
                dropped=int(work["dropped"].sum()),
            )
        )
    return tuple(sorted(rows, key=_trouble_first))


def _trouble_first(row: CartRow) -> tuple[bool, float, str]:
    share = row.counts.shown_share
    return row.online, 1.0 if share is None else share, row.cart_id


def build_event_rows(events: pd.DataFrame, item_names: dict[str, str]) -> tuple[EventRow, ...]:
    """Build the list of newest events, in the order given."""
    return tuple(
        EventRow(
            at=pd.Timestamp(row["event_at"]).to_pydatetime(),
            cart_id=str(row["cart_id"]),
            action=_action(row["item_id"], row["quantity"], row["direction"], item_names, UNKNOWN_ITEM),
            posterior=cells.number(row["posterior"]),
            outcome={"accepted": "Accepted", "asked": "Asked for barcode"}.get(
                cells.text(row["outcome"]), "Unknown"
            ),
            verdict=_verdict(row, item_names),
            decision_ms=cells.number(row["decision_ms"]),
            weight_residual_g=cells.number(row["weight_residual_g"]),
        )
        for row in events.to_dict("records")
    )


def _action(item: object, quantity: object, direction: object, names: dict[str, str], without: str) -> str:
    """Put a movement into words; `without` stands for one that names no item."""
    if cells.missing(item) or not cells.text(item):
        return without
    name = names.get(cells.text(item), cells.text(item))
    pieces = cells.number(quantity)
    times = f" {_TIMES} {pieces:.0f}" if pieces is not None and pieces != 1 else ""
    return f"{_MINUS if direction == 'remove' else '+'} {name}{times}"


def _verdict(row: dict[object, object], names: dict[str, str]) -> str:
    kind = cells.text(row["label_type"])
    if not kind:
        return NO_LABEL
    if _agrees(row):
        return f"confirmed by {kind}"
    truth = _action(row["label_item_id"], row["label_quantity"], row["label_direction"], names, NOTHING_MOVED)
    return f"contradicted by {kind}: {truth}"


def _agrees(row: dict[object, object]) -> bool:
    """Tell whether a label says the same: the item must be equal, the rest only where the label says it."""
    said = {part: cells.text(row[f"label_{part}"]) for part in ("quantity", "direction")}
    rest = all(not text or text == cells.text(row[part]) for part, text in said.items())
    # A label without an item says that nothing was moved: no item event agrees with that.
    item = cells.text(row["label_item_id"])
    return rest and bool(item) and item == cells.text(row["item_id"])


def build_camera_traces(rows: pd.DataFrame, centres: dict[int, float]) -> tuple[CameraTrace, ...]:
    """Return one trace per cart and camera, in their order, from counts per day and bin."""
    if rows.empty:
        return ()
    known = rows[rows["bin"].isin(list(centres))].assign(
        day=lambda f: pd.to_datetime(f["day"].astype(str), utc=True),
        weighted=lambda f: f["n"] * f["bin"].map(centres),
    )
    days = known.groupby(["cart_id", "camera", "day"], as_index=False)[["n", "weighted"]].sum()
    return tuple(
        CameraTrace(
            cart_id=str(cart_id),
            camera=str(camera),
            days=tuple(d.to_pydatetime() for d in group["day"]),
            means=tuple(float(m) for m in np.asarray(group["weighted"] / group["n"])),
            counts=tuple(int(n) for n in group["n"]),
        )
        for (cart_id, camera), group in days[days["n"] > 0].groupby(["cart_id", "camera"])
    )
