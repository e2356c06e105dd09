"""From arrays to rows: the event columns of one hour, and the truth."""

from collections.abc import Iterator

import numpy as np

from demo.history.decisions import Decisions
from demo.world.places import Cart
from demo.world.settings import World
from demo.world.shoppers import AUDIT_PROBABILITY
from demo.world.truth import TruthRow
from fleet_protocol.messages import EventColumns
from training.scenes import CATALOGUE

IDS = tuple(item.item_id for item in CATALOGUE)
# People answer this long after the cart has spoken.
LABEL_AFTER_MS = {"correction": 6_000, "scan": 4_000, "audit": 9_000}


def event_name(world: World, number: int) -> str:
    """Return the id of a cart's n-th event of the past; never that of a live event."""
    return f"h{world.settings.epoch_ms // 1000:x}-{number}"


def trip_name(world: World, trip: int) -> str:
    """Return the id of a cart's n-th shopping trip of the past."""
    return f"h{world.settings.epoch_ms // 1000:x}-t{trip}"


def _direction(adds: bool) -> str:  # noqa: FBT001  # mapped over a column
    return "add" if adds else "remove"


def event_columns(world: World, cart: Cart, d: Decisions, hour: int, t0_ms: int) -> EventColumns:
    """Return the rows of one hour: its item events, then what people said about them."""
    first, last = np.searchsorted(d.hour, [hour, hour + 1]).tolist()
    here = slice(first, last)
    ids = [event_name(world, i) for i in range(first, last)]
    offsets: list[int] = (d.at_ms[here] - t0_ms).tolist()
    labels = _labels(d, first, last)
    about = [i - first for i, _ in labels]
    none: list[None] = [None] * len(labels)
    sessions = [trip_name(world, trip) for trip in d.trip[here].tolist()]
    said_q, q = d.said_quantity[here].tolist(), d.quantity[here].tolist()
    directions = [_direction(adds) for adds in d.adds[here].tolist()]
    true_items = [IDS[i] for i in d.item[here].tolist()]
    return EventColumns(
        id=ids + [f"{ids[i]}{kind[0]}" for i, (_, kind) in zip(about, labels, strict=True)],
        ts=offsets + [offsets[i] + LABEL_AFTER_MS[kind] for i, (_, kind) in zip(about, labels, strict=True)],
        type=["item"] * len(ids) + [kind for _, kind in labels],
        session=sessions + [sessions[i] for i in about],
        item=[IDS[i] for i in d.said[here].tolist()] + [true_items[i] for i in about],
        qty=said_q + [q[i] for i in about],
        dir=directions + [directions[i] for i in about],
        p=d.posterior[here].tolist() + none,
        top=[*_tops(d, here), *none],
        cam=[*_camera_lists(cart, d, here), *none],
        dw=d.change_g[here].tolist() + none,
        res=np.round(d.residual_g[here], 1).tolist() + none,
        outcome=["asked" if asked else "accepted" for asked in d.asked[here].tolist()] + none,
        ref=[None] * len(ids) + [ids[i] for i in about],
        ref_ts=[None] * len(ids) + [offsets[i] + t0_ms for i in about],
        prob=[*[None] * len(ids), *(AUDIT_PROBABILITY if kind == "audit" else None for _, kind in labels)],
        ms=d.decision_ms[here].tolist() + none,
    )


def _tops(d: Decisions, here: slice) -> list[list[tuple[str, float]] | None]:
    pairs = zip(d.top_item[here].tolist(), d.top_p[here].tolist(), strict=True)
    return [[(IDS[i], p) for i, p in zip(items, ps, strict=True)] for items, ps in pairs]


def _camera_lists(cart: Cart, d: Decisions, here: slice) -> list[list[tuple[str, float]] | None]:
    return [list(zip(cart.cameras, ps, strict=True)) for ps in d.camera_p[here].tolist()]


def _labels(d: Decisions, first: int, last: int) -> list[tuple[int, str]]:
    """Return (event, kind) of every label on the events of a range, in the order of events."""
    found = [
        (first + int(i), kind)
        for kind, given in (("correction", d.corrected), ("scan", d.scanned), ("audit", d.audited))
        for i in np.flatnonzero(given[first:last])
    ]
    return sorted(found)


def truth_rows(world: World, cart: Cart, d: Decisions) -> Iterator[TruthRow]:
    """Yield what really happened, beside what the cart said."""
    labels: dict[int, list[str]] = {}
    for i, kind in _labels(d, 0, len(d)):
        labels.setdefault(i, []).append(kind)
    at_ms = d.at_ms.tolist()
    felt = _faults_by_hour(world, cart, d, at_ms)
    columns = zip(
        at_ms,
        d.hour.tolist(),
        d.trip.tolist(),
        d.item.tolist(),
        d.quantity.tolist(),
        d.adds.tolist(),
        d.said.tolist(),
        d.said_quantity.tolist(),
        d.asked.tolist(),
        strict=True,
    )
    for i, (at, hour, trip, item, quantity, adds, said, said_quantity, asked) in enumerate(columns):
        event_id, direction = event_name(world, i), _direction(adds)
        yield TruthRow(
            truth_id=f"{cart.cart_id}/{event_id}",
            store_id=cart.store_id,
            cart_id=cart.cart_id,
            session_id=trip_name(world, trip),
            at_ms=at,
            item_id=IDS[item],
            quantity=quantity,
            direction=direction,
            faults=felt[hour],
            source="history",
            event_id=event_id,
            said_item_id=IDS[said],
            said_quantity=said_quantity,
            said_direction=direction,
            outcome="asked" if asked else "accepted",
            labels=" ".join(labels.get(i, ())),
        )


def _faults_by_hour(world: World, cart: Cart, d: Decisions, at_ms: list[int]) -> dict[int, str]:
    hours, firsts = np.unique(d.hour, return_index=True)
    return {
        hour: " ".join(world.faults.active(cart, at_ms[first]))
        for hour, first in zip(hours.tolist(), firsts.tolist(), strict=True)
    }
