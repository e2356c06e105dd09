"""What a delivery is: a message, a state, or a dead letter with a reason and perhaps an identity."""

import pytest
import zstandard

from fleet_control.ingest.dead_letters import MAX_KEPT_BYTES, readable_key
from fleet_control.ingest.decoding import Accepted, Cleared, Incoming, Rejected, StateAccepted, decode
from fleet_control.ingest.ledger import MessageKey
from fleet_protocol.messages import AnyMessage, Events
from tests.fleet_control.wire import (
    BOOT,
    CART,
    STORE,
    delivered,
    delivery,
    envelope,
    events,
    gap,
    now_ms,
    raw,
    state,
    update,
    window,
)

TEL = f"fleet/v1/{STORE}/{CART}/tel"
EVT = f"fleet/v1/{STORE}/{CART}/evt"
DAY_MS = 24 * 3600 * 1000


def rejected(item: Incoming) -> Rejected:
    """Insist on a dead letter."""
    assert isinstance(item, Rejected), item
    return item


@pytest.mark.parametrize("message", [window(3), events(4, rows=7), gap(9, 2, 5), update(0)])
def test_messages_of_every_kind_are_accepted_with_their_identity(message: AnyMessage) -> None:
    """The channel comes from the topic, everything else from the message."""
    item = decode(delivered(message))

    assert isinstance(item, Accepted)
    assert item.key == MessageKey(CART, BOOT, item.delivery.topic.rpartition("/")[2], message.seq)
    assert item.rows == (7 if isinstance(message, Events) else 1)


def test_births_and_wills_are_states_and_an_empty_one_is_cleared() -> None:
    """Somebody may remove a cart that is gone for ever."""
    birth = delivered(state(1))

    assert isinstance(decode(birth), StateAccepted)
    assert isinstance(decode(delivered(state(1, online=False))), StateAccepted)
    assert isinstance(decode(delivery(birth.topic, b"")), Cleared)


BAD = {
    "malformed_json": (TEL, b'{"v":1,'),
    "bad_encoding": (TEL, b"\x00\x01\x02"),
    "oversized": (TEL, b"{" + b" " * 300_000),
    "decompression_bomb": (TEL, zstandard.compress(b"{" + b" " * 30_000_000)),
    "wrong_version": (TEL, raw({**envelope(1), "v": 2, "kind": "window"})),
    "bad_schema": (TEL, raw({**envelope(2), "v": 1, "kind": "window"})),
    "foreign_cart": (TEL, raw({**envelope(3, cart="c99"), "v": 1, "kind": "window", "t0": 1, "t1": 2})),
    "bad_topic": ("fleet/v1/STORE/cart/tel", raw({**envelope(1), "v": 1})),
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_message_becomes_a_dead_letter_with_its_reason(reason: str) -> None:
    """Every reason keeps the bytes, their size and their digest."""
    topic, payload = BAD[reason]

    letter = rejected(decode(delivery(topic, payload))).letter

    assert letter.reason == reason
    assert letter.detail
    assert letter.payload == payload[:MAX_KEPT_BYTES]
    assert letter.payload_bytes == len(payload)
    assert (letter.store, letter.cart) == ((None, None) if reason == "bad_topic" else (STORE, CART))


@pytest.mark.parametrize("shift_ms", [-46 * DAY_MS, 3600 * 1000, 80 * 365 * DAY_MS])
def test_an_absurd_clock_goes_to_quarantine_and_keeps_its_identity(shift_ms: int) -> None:
    """The message is put aside, and the watermark passes it."""
    item = rejected(decode(delivered(events(5, t0=now_ms() + shift_ms))))

    assert item.letter.reason == "absurd_clock"
    assert item.key == MessageKey(CART, BOOT, "evt", 5)


def test_a_label_that_points_beyond_the_calendar_is_quarantined_too() -> None:
    """A TIMESTAMP ends with the year 9999."""
    body = {**envelope(1), "v": 1, "kind": "events", "t0": now_ms()}
    body["cols"] = {"id": ["a"], "ts": [0], "type": ["scan"], "ref": ["e"], "ref_ts": [2**53 - 1]}

    assert rejected(decode(delivery(EVT, raw(body)))).letter.reason == "absurd_clock"


@pytest.mark.parametrize("reason", ["wrong_version", "bad_schema"])
def test_a_broken_message_that_says_who_it_is_keeps_its_identity(reason: str) -> None:
    """Or its cart would send it for ever."""
    assert rejected(decode(delivery(*BAD[reason]))).key is not None


@pytest.mark.parametrize("reason", ["malformed_json", "bad_encoding", "oversized", "decompression_bomb"])
def test_an_unreadable_message_has_no_identity(reason: str) -> None:
    """The watermark must not pass what nobody can name."""
    assert rejected(decode(delivery(*BAD[reason]))).key is None


def test_a_cart_cannot_settle_another_carts_messages() -> None:
    """The identity in the body counts only on the cart's own topic."""
    assert rejected(decode(delivery(*BAD["foreign_cart"]))).key is None


@pytest.mark.parametrize(
    "change", [{"seq": -1}, {"seq": 2**53}, {"seq": True}, {"seq": "4"}, {"boot": "xyz"}, {"boot": 7}]
)
def test_an_identity_out_of_range_is_no_identity(change: dict[str, object]) -> None:
    """What is read leniently is still checked."""
    assert readable_key(delivery(TEL, raw({**envelope(1), **change}))) is None


def test_unknown_fields_are_kept() -> None:
    """A newer cart is welcome."""
    body = {**envelope(1), "v": 1, "kind": "events", "t0": now_ms(), "lidar": [1, 2]}
    body["cols"] = {"id": ["a"], "ts": [0], "type": ["item"], "smell": ["fine"]}

    item = decode(delivery(EVT, raw(body)))

    assert isinstance(item, Accepted)
    assert item.extra == {"lidar": [1, 2], "cols": {"smell": ["fine"]}}
