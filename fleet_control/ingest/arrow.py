"""From decoded messages to Arrow tables, one builder per table of the warehouse.

Lists of a whole batch are laid end to end in flat arrays and cut by offsets, so that the cost per
value is that of C loops; there are no dictionaries per row.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, repeat
from operator import itemgetter
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec import UNSET

from fleet_control.ingest.dead_letters import DeadLetter
from fleet_control.ingest.decoding import MAX_TIMESTAMP_MS, Accepted
from fleet_control.ingest.rows import LedgerEntry, StateRow
from fleet_protocol.messages import Events, Gap, Update, Window

_Ints = npt.NDArray[np.int64]
# pyarrow ships no types of its own.
_Array = Any
_STRUCTS: Any = pa.StructArray
_LISTS: Any = pa.ListArray
_TIMESTAMP = pa.timestamp("us", tz="UTC")
_Kind = TypeVar("_Kind", Window, Events, Gap, Update)


def telemetry_table(items: Sequence[Accepted]) -> pa.Table:
    """Return rows of `telemetry_raw`: one per window."""
    windows = [_of(item, Window) for item in items]
    owned_hists = [(ix, name, b) for ix, w in enumerate(windows) for name, b in w.hist.items()]
    owned_signals = [(ix, name, n) for ix, w in enumerate(windows) for name, n in w.sig.items()]
    columns = {
        **_identity(items),
        "window_start": _timestamps(w.t0 for w in windows),
        "window_end": _timestamps(w.t1 for w in windows),
        "windows_merged": _array((w.merged for w in windows), pa.int64()),
        "histograms": _dense_histograms(owned_hists, len(windows)),
        "signals": _dense_signals(owned_signals, len(windows)),
        "counters": _counters(windows),
        "gauges": _gauges(windows),
        **_provenance(items),
    }
    return pa.table(columns)


def events_table(items: Sequence[Accepted]) -> pa.Table:
    """Return rows of `events_raw`: one per row of every events message."""
    events = [_of(item, Events) for item in items]
    counts = np.fromiter((item.rows for item in items), np.int64, len(items))
    owner = np.repeat(np.arange(len(items)), counts)
    cols = [e.cols for e in events]

    def flat(name: str) -> Iterator[Any]:
        lists = (getattr(c, name) for c in cols)
        return chain.from_iterable(
            repeat(None, n) if column is UNSET else column for column, n in zip(lists, counts, strict=True)
        )

    def column(name: str, kind: Any) -> _Array:
        if all(getattr(c, name) is UNSET for c in cols):
            return pa.nulls(len(owner), kind)
        return _array(flat(name), kind)

    starts_ms = np.fromiter((e.t0 for e in events), np.int64, len(events))
    event_ms = starts_ms[owner] + np.fromiter(flat("ts"), np.int64, len(owner))
    columns = {
        **_identity(items, counts),
        "event_at": _as_timestamps(event_ms),
        "event_id": _array(flat("id"), pa.string()),
        "event_type": _array(flat("type"), pa.string()),
        "session_id": column("session", pa.string()),
        "item_id": column("item", pa.string()),
        "quantity": column("qty", pa.int64()),
        "direction": column("dir", pa.string()),
        "posterior": column("p", pa.float64()),
        "top5": _pairs(flat("top"), "item_id", "probability"),
        "camera_confidence": _pairs(flat("cam"), "camera", "confidence"),
        "weight_change_g": column("dw", pa.float64()),
        "weight_residual_g": column("res", pa.float64()),
        "outcome": column("outcome", pa.string()),
        "ref_event_id": column("ref", pa.string()),
        "ref_event_at": column("ref_ts", pa.timestamp("ms", tz="UTC")).cast(_TIMESTAMP),
        "sampling_probability": column("prob", pa.float64()),
        "decision_ms": column("ms", pa.float64()),
        **_provenance(items, owner),
    }
    return pa.table(columns)


def gaps_table(items: Sequence[Accepted]) -> pa.Table:
    """Return rows of `gaps_raw`: one per declared gap."""
    gaps = [_of(item, Gap) for item in items]
    columns = {
        **_identity(items),
        "seq_from": _array((g.first for g in gaps), pa.int64()),
        "seq_to": _array((g.last for g in gaps), pa.int64()),
        "messages": _array((g.n for g in gaps), pa.int64()),
        "reason": _array((g.why for g in gaps), pa.string()),
        **_provenance(items),
    }
    return pa.table(columns)


def updates_table(items: Sequence[Accepted]) -> pa.Table:
    """Return rows of `updates_raw`: one per step of a model update."""
    updates = [_of(item, Update) for item in items]
    columns = {
        **_identity(items),
        "updated_at": _timestamps(u.t0 for u in updates),
        "state": _array((u.state for u in updates), pa.string()),
        "target_digest": _array((u.target for u in updates), pa.string()),
        "reason": _array((u.reason for u in updates), pa.string()),
        "rollout_id": _array((u.rollout for u in updates), pa.string()),
        "attempt": _array((u.attempt for u in updates), pa.int64()),
        "step": _array((u.step for u in updates), pa.int64()),
        **_provenance(items),
    }
    return pa.table(columns)


def states_table(rows: Sequence[StateRow]) -> pa.Table:
    """Return rows of `cart_states_raw`: one per birth or will that counts."""
    states = [row.state for row in rows]
    clocks = [s.t if s.t is not None and s.t <= MAX_TIMESTAMP_MS else None for s in states]
    columns = {
        "store_id": _array((s.store for s in states), pa.string()),
        "cart_id": _array((s.cart for s in states), pa.string()),
        "boot_id": _array((s.boot for s in states), pa.string()),
        "session": _array((s.session for s in states), pa.int64()),
        "online": _array((s.online for s in states), pa.bool_()),
        "agent_version": _array((row.after.agent_version for row in rows), pa.string()),
        "model_digest": _array((row.after.model_digest for row in rows), pa.string()),
        "cameras": _array((s.cameras for s in states), pa.list_(pa.string())),
        "hardware": _array((s.hw for s in states), pa.string()),
        "engine": _array((s.engine for s in states), pa.string()),
        "labels": _labels([s.labels for s in states]),
        "reason": _array((s.reason for s in states), pa.string()),
        "simulated": _array((row.after.simulated for row in rows), pa.bool_()),
        "cart_clock": _array(clocks, pa.timestamp("ms", tz="UTC")).cast(_TIMESTAMP),
        "received_at": _timestamps(row.delivery.received_ms for row in rows),
    }
    return pa.table(columns)


def dead_letters_table(letters: Sequence[DeadLetter]) -> pa.Table:
    """Return rows of `dead_letters`."""
    columns = {
        "received_at": _timestamps(x.received_ms for x in letters),
        "topic": _array((x.topic for x in letters), pa.string()),
        "reason": _array((x.reason for x in letters), pa.string()),
        "detail": _array((x.detail for x in letters), pa.string()),
        "payload": _array((x.payload for x in letters), pa.binary()),
        "payload_bytes": _array((x.payload_bytes for x in letters), pa.int64()),
        "payload_sha256": _array((x.payload_sha256 for x in letters), pa.string()),
        "store_id": _array((x.store for x in letters), pa.string()),
        "cart_id": _array((x.cart for x in letters), pa.string()),
    }
    return pa.table(columns)


def ledger_table(entries: Sequence[LedgerEntry]) -> pa.Table:
    """Return rows of `ingest_ledger`."""
    columns = {
        "received_at": _timestamps(x.received_ms for x in entries),
        "cart_id": _array((x.key.cart for x in entries), pa.string()),
        "boot_id": _array((x.key.boot for x in entries), pa.string()),
        "channel": _array((x.key.channel for x in entries), pa.string()),
        "seq": _array((x.key.seq for x in entries), pa.int64()),
        "row_count": _array((x.row_count for x in entries), pa.int64()),
        "disposition": _array((x.disposition for x in entries), pa.string()),
    }
    return pa.table(columns)


MESSAGE_TABLES: dict[type, tuple[str, Callable[[Sequence[Accepted]], pa.Table]]] = {
    Window: ("telemetry_raw", telemetry_table),
    Events: ("events_raw", events_table),
    Gap: ("gaps_raw", gaps_table),
    Update: ("updates_raw", updates_table),
}


def _of(item: Accepted, kind: type[_Kind]) -> _Kind:
    if not isinstance(item.message, kind):
        msg = f"a {type(item.message).__name__} among {kind.__name__} messages"
        raise TypeError(msg)
    return item.message


def _identity(items: Sequence[Accepted], counts: _Ints | None = None) -> dict[str, _Array]:
    columns = {
        "store_id": _array((i.store for i in items), pa.string()),
        "cart_id": _array((i.key.cart for i in items), pa.string()),
        "boot_id": _array((i.key.boot for i in items), pa.string()),
        "channel": _array((i.key.channel for i in items), pa.string()),
        "seq": _array((i.key.seq for i in items), pa.int64()),
    }
    if counts is None:
        return {**columns, "row_ix": _array(np.zeros(len(items), np.int64))}
    owner = _array(np.repeat(np.arange(len(items)), counts))
    spread = {name: column.take(owner) for name, column in columns.items()}
    return {**spread, "row_ix": _array(_positions(counts))}


def _provenance(items: Sequence[Accepted], owner: _Ints | None = None) -> dict[str, _Array]:
    extras = (msgspec.json.encode(i.extra).decode() if i.extra else None for i in items)
    columns = {
        "received_at": _timestamps(i.delivery.received_ms for i in items),
        "agent_version": _array((i.message.fw for i in items), pa.string()),
        "model_digest": _array((i.message.model for i in items), pa.string()),
        "simulated": _array((i.message.sim for i in items), pa.bool_()),
        "extra": _array(extras, pa.string()),
    }
    if owner is None:
        return columns
    return {name: column.take(_array(owner)) for name, column in columns.items()}


def _dense_histograms(owned: Sequence[tuple[int, str, Any]], rows: int) -> _Array:
    """Spread dense buckets (owner row, stage, Buckets) into structs of non-zero counts."""
    entry, position, counts, sizes = _spread([b.n for _, _, b in owned], [ix for ix, _, _ in owned], rows)
    offsets = np.fromiter((b.o for _, _, b in owned), np.int64, len(owned))
    stages = _names([name for _, name, _ in owned], entry)
    fields = {"stage": stages, "bucket": _array(offsets[entry] + position), "n": _array(counts)}
    return _list_of_structs(sizes, fields)


def _dense_signals(owned: Sequence[tuple[int, str, list[int]]], rows: int) -> _Array:
    entry, position, counts, sizes = _spread([n for _, _, n in owned], [ix for ix, _, _ in owned], rows)
    parts = [_split_name(name) for _, name, _ in owned]
    fields = {
        "signal": _names([signal for signal, _ in parts], entry),
        "camera": _names([camera for _, camera in parts], entry),
        "bin": _array(position),
        "n": _array(counts),
    }
    return _list_of_structs(sizes, fields)


def _spread(lists: list[list[int]], owners: list[int], rows: int) -> tuple[_Ints, _Ints, _Ints, _Ints]:
    """Lay dense count lists end to end and keep what is not zero.

    Returns:
        For each kept count its list, its position in that list and itself; and per row how many
        counts are its own.
    """
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    flat = np.fromiter(chain.from_iterable(lists), np.int64, int(lengths.sum()))
    entry = np.repeat(np.arange(len(lists)), lengths)
    kept = flat > 0
    entry_kept = entry[kept]
    position = _positions(lengths)[kept]
    owner = np.array(owners, np.int64)[entry_kept]
    return entry_kept, position, flat[kept], np.bincount(owner, minlength=rows)


def _counters(windows: Sequence[Window]) -> _Array:
    sizes = np.fromiter((len(w.cnt) for w in windows), np.int64, len(windows))
    parts = [_split_name(name) for w in windows for name in w.cnt]
    fields = {
        "name": _array((name for name, _ in parts), pa.string()),
        "camera": _array((camera for _, camera in parts), pa.string()),
        "n": _array((n for w in windows for n in w.cnt.values()), pa.int64()),
    }
    return _list_of_structs(sizes, fields)


def _gauges(windows: Sequence[Window]) -> _Array:
    sizes = np.fromiter((len(w.gau) for w in windows), np.int64, len(windows))
    fields = {
        "name": _array((name for w in windows for name in w.gau), pa.string()),
        "value": _array((value for w in windows for value in w.gau.values()), pa.float64()),
    }
    return _list_of_structs(sizes, fields)


def _pairs(rows: Iterable[list[tuple[str, float]] | None], name: str, value: str) -> _Array:
    """Build an array of (name, value) structs; a null list becomes an empty one."""
    lists = [row or () for row in rows]
    sizes = np.fromiter(map(len, lists), np.int64, len(lists))
    pairs = list(chain.from_iterable(lists))
    fields = {
        name: _array(map(itemgetter(0), pairs), pa.string()),
        value: _array(np.fromiter(map(itemgetter(1), pairs), np.float64, len(pairs))),
    }
    return _list_of_structs(sizes, fields)


def _labels(rows: Sequence[dict[str, str]]) -> _Array:
    fields = {
        "name": _array((name for row in rows for name in row), pa.string()),
        "value": _array((value for row in rows for value in row.values()), pa.string()),
    }
    return _list_of_structs(np.fromiter(map(len, rows), np.int64, len(rows)), fields)


def _list_of_structs(sizes: _Ints, fields: dict[str, _Array]) -> _Array:
    structs = _STRUCTS.from_arrays(list(fields.values()), names=list(fields))
    offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)
    return _LISTS.from_arrays(_array(offsets), structs)


def _names(names: list[str], entry: _Ints) -> _Array:
    return _array(names, pa.string()).take(_array(entry))


@lru_cache(maxsize=10_000)
def _split_name(name: str) -> tuple[str, str]:
    """Split `signal/camera`; the camera is empty where there is none."""
    head, _, camera = name.partition("/")
    return head, camera


def _positions(lengths: _Ints) -> _Ints:
    """Return 0..n-1 for each length n, end to end."""
    starts = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum())) - np.repeat(starts, lengths)


def _timestamps(values_ms: Iterable[int]) -> _Array:
    return _as_timestamps(np.fromiter(values_ms, np.int64))


def _as_timestamps(values_ms: _Ints) -> _Array:
    return _array(values_ms * 1000, pa.int64()).cast(_TIMESTAMP)


def _array(values: Any, kind: Any = None) -> _Array:
    make: Any = pa.array
    return make(values, kind)
