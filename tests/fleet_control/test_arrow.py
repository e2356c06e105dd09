"""Arrow rows: what is in the tables is what was in the messages, for any messages."""

import datetime as dt
import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from fleet_control.ingest import arrow
from fleet_control.ingest.dead_letters import dead_letter
from fleet_control.ingest.decoding import Accepted
from fleet_control.ingest.parts import Part, build
from fleet_control.ingest.presence import presence_after
from fleet_control.ingest.rows import StateRow
from fleet_protocol.messages import Buckets, EventColumns, Events, Window
from tests.fleet_control.wire import (
    BOOT,
    CART,
    MODEL,
    STORE,
    accepted,
    delivered,
    delivery,
    events,
    gap,
    now_ms,
    state,
    update,
    window,
)

counts = st.lists(st.integers(0, 5), max_size=6)
names = st.sampled_from(["infer", "queue", "brightness/front", "blur/rear", "margin"])


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """Any window."""
    return msgspec.structs.replace(
        window(draw(st.integers(0, 2**53 - 1))),
        hist=draw(st.dictionaries(names, st.builds(Buckets, st.integers(-200, 200), counts))),
        sig=draw(st.dictionaries(names, counts)),
        cnt=draw(st.dictionaries(names, st.integers(0, 2**53 - 1))),
        gau=draw(st.dictionaries(names, st.floats(allow_nan=False, allow_infinity=False))),
        model=draw(st.sampled_from([None, MODEL])),
    )


def column(draw: st.DrawFn, values: st.SearchStrategy[Any], rows: int) -> Any:
    """A column that may be absent, with values that may be null."""
    if draw(st.booleans()):
        return UNSET
    return draw(st.lists(st.none() | values, min_size=rows, max_size=rows))


@st.composite
def event_messages(draw: st.DrawFn) -> Events:
    """Any events message."""
    rows = draw(st.integers(1, 4))
    share = st.floats(0, 1)
    pairs = st.lists(st.tuples(st.sampled_from(["a", "b"]), share), max_size=3)
    cols = EventColumns(
        id=[f"e{i}" for i in range(rows)],
        ts=draw(st.lists(st.integers(0, 1000), min_size=rows, max_size=rows)),
        type=["item"] * rows,
        session=column(draw, st.text(max_size=5), rows),
        item=column(draw, st.text(max_size=5), rows),
        qty=column(draw, st.integers(0, 9), rows),
        p=column(draw, share, rows),
        top=column(draw, pairs, rows),
        cam=column(draw, pairs, rows),
        dw=column(draw, st.floats(-1e6, 1e6), rows),
        ref_ts=column(draw, st.integers(0, 2**41), rows),
    )
    return msgspec.structs.replace(events(draw(st.integers(0, 99))), cols=cols)


def taken(message: Window | Events) -> Accepted:
    """Skip the wire."""
    rows = len(message.cols.id) if isinstance(message, Events) else 1
    return msgspec.structs.replace(accepted(window(0)), message=message, rows=rows)


def at(value_ms: int) -> dt.datetime:
    """Return a time as the warehouse gives it back."""
    return dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(milliseconds=value_ms)


@settings(deadline=None, max_examples=40)
@given(st.lists(windows(), min_size=1, max_size=5))
def test_every_count_of_a_window_is_in_its_row_and_zeros_are_not(messages: list[Window]) -> None:
    """Dense lists become structs; the owner of each is right."""
    rows = arrow.telemetry_table([taken(w) for w in messages]).to_pylist()

    for row, w in zip(rows, messages, strict=True):
        assert [(h["stage"], h["bucket"], h["n"]) for h in row["histograms"]] == [
            (name, b.o + i, n) for name, b in w.hist.items() for i, n in enumerate(b.n) if n
        ]
        assert [
            ("/".join(filter(None, (s["signal"], s["camera"]))), s["bin"], s["n"]) for s in row["signals"]
        ] == [(name, i, n) for name, bins in w.sig.items() for i, n in enumerate(bins) if n]
        assert [("/".join(filter(None, (c["name"], c["camera"]))), c["n"]) for c in row["counters"]] == list(
            w.cnt.items()
        )
        assert [(g["name"], g["value"]) for g in row["gauges"]] == list(w.gau.items())
        assert (row["window_start"], row["window_end"]) == (at(w.t0), at(w.t1))
        assert (row["model_digest"], row["row_ix"], row["simulated"]) == (w.model, 0, True)


@settings(deadline=None, max_examples=40)
@given(st.lists(event_messages(), min_size=1, max_size=5))
def test_every_value_of_every_event_is_in_its_row(messages: list[Events]) -> None:
    """Absent columns and null values become NULL, and lists become empty ones."""
    rows = iter(arrow.events_table([taken(e) for e in messages]).to_pylist())

    for message in messages:
        cols = message.cols

        def value(name: str, ix: int, cols: EventColumns = cols) -> Any:
            column = getattr(cols, name)
            return None if column is UNSET else column[ix]

        for ix in range(len(cols.id)):
            row = next(rows)
            assert (row["row_ix"], row["event_id"]) == (ix, cols.id[ix])
            assert row["event_at"] == at(message.t0 + cols.ts[ix])
            plain = ("session_id", "item_id", "quantity", "posterior", "weight_change_g")
            wire = ("session", "item", "qty", "p", "dw")
            assert [row[name] for name in plain] == [value(name, ix) for name in wire]
            assert [(t["item_id"], t["probability"]) for t in row["top5"]] == (value("top", ix) or [])
            assert [(c["camera"], c["confidence"]) for c in row["camera_confidence"]] == (
                value("cam", ix) or []
            )
            ref_ts = value("ref_ts", ix)
            assert row["ref_event_at"] == (None if ref_ts is None else at(ref_ts))
    assert next(rows, None) is None


def test_every_row_carries_the_identity_and_where_it_came_from() -> None:
    """Nothing can be told apart without them."""
    item = accepted(events(7, rows=2))
    extra = msgspec.structs.replace(item, extra={"lidar": 1})

    first, second, third, fourth = arrow.events_table([item, extra]).to_pylist()

    assert {first[name] for name in ("store_id", "cart_id", "boot_id", "channel")} == {
        STORE,
        CART,
        BOOT,
        "evt",
    }
    assert [row["row_ix"] for row in (first, second, third, fourth)] == [0, 1, 0, 1]
    assert first["received_at"] == at(item.delivery.received_ms)
    assert (first["seq"], first["agent_version"], first["extra"]) == (7, "0.1.0", None)
    assert json.loads(fourth["extra"]) == {"lidar": 1}


def test_gaps_updates_states_and_letters_become_rows() -> None:
    """One row each."""
    birth = state(3)
    letter = dead_letter(delivery("fleet/v1/s001/c/tel", b"\x00" * 300_000), "oversized", "too big")

    [gap_row] = arrow.gaps_table([accepted(gap(9, 2, 5))]).to_pylist()
    [update_row] = arrow.updates_table([accepted(update(1))]).to_pylist()
    [state_row] = arrow.states_table(
        [StateRow(delivered(birth), birth, presence_after(None, birth))]
    ).to_pylist()
    [letter_row] = arrow.dead_letters_table([letter]).to_pylist()

    assert (gap_row["seq_from"], gap_row["seq_to"], gap_row["messages"], gap_row["reason"]) == (
        2,
        5,
        4,
        "evicted",
    )
    assert (update_row["state"], update_row["target_digest"]) == ("FETCHING", "ff" * 32)
    assert (state_row["session"], state_row["online"], state_row["cameras"]) == (3, True, ["front"])
    assert (len(letter_row["payload"]), letter_row["payload_bytes"]) == (262_144, 300_000)


def test_a_step_tells_its_rollout_and_a_birth_its_labels() -> None:
    """What rollouts are known by; carts without either have nothing there."""
    step = msgspec.structs.replace(update(1), rollout="autumn", attempt=2, step=7)
    birth = msgspec.structs.replace(state(3), labels={"floor": "wood", "wing": "north"})
    births = [StateRow(delivered(b), b, presence_after(None, b)) for b in (birth, state(4))]

    rows = arrow.updates_table([accepted(step), accepted(update(2))]).to_pylist()
    labels = [row["labels"] for row in arrow.states_table(births).to_pylist()]

    assert [(r["rollout_id"], r["attempt"], r["step"]) for r in rows] == [("autumn", 2, 7), (None, 0, 0)]
    assert labels == [[{"name": "floor", "value": "wood"}, {"name": "wing", "value": "north"}], []]


def test_a_cart_clock_beyond_the_calendar_does_not_hide_the_cart() -> None:
    """The state counts; only its clock is left out."""
    birth = msgspec.structs.replace(state(1), t=2**53 - 1)

    [row] = arrow.states_table([StateRow(delivered(birth), birth, presence_after(None, birth))]).to_pylist()

    assert (row["cart_clock"], row["online"]) == (None, True)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 30), st.integers(2_000, 50_000))
def test_large_parts_are_cut_between_messages_and_lose_nothing(messages: int, max_bytes: int) -> None:
    """Rows of one message always travel together."""
    items = [accepted(events(seq, rows=5, t0=now_ms())) for seq in range(messages)]

    built = list(build(Part("events_raw", items, arrow.events_table), max_bytes))

    assert [item for b in built for item in b.part.items] == items
    for b in built:
        assert b.rows is not None
        assert b.rows.num_rows == 5 * len(b.part.items)
        assert b.rows.nbytes <= max_bytes or len(b.part.items) == 1


def test_one_message_that_cannot_become_a_row_does_not_take_others_with_it() -> None:
    """Building is as careful as appending."""
    bad = msgspec.structs.replace(accepted(window(1)), message=accepted(events(1)).message)
    items = [accepted(window(0)), bad, accepted(window(2))]

    built = list(build(Part("telemetry_raw", items, arrow.telemetry_table)))

    assert [b.part.items[0].key.seq for b in built if b.why] == [1]
    assert sum(b.row_count for b in built) == 2
