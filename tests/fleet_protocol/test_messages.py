"""Messages: what is accepted, what is refused and under which reason."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from fleet_protocol import codec, errors
from fleet_protocol.limits import (
    MAX_CLOCK_AHEAD_MS,
    MAX_CLOCK_BEHIND_MS,
    MAX_COUNT,
    MAX_DECODED_BYTES,
    MAX_PAYLOAD_BYTES,
)
from fleet_protocol.messages import (
    Ack,
    Buckets,
    CartState,
    EventColumns,
    Events,
    Gap,
    Update,
    Watermark,
    Window,
    check_clock,
    decode_ack,
    decode_message,
    decode_state,
    encode,
    encode_control,
)
from fleet_protocol.topics import parse_topic

TOPIC = "fleet/v1/s001/s001-c01/tel"
ENVELOPE: dict[str, Any] = {
    "v": 1,
    "kind": "window",
    "store": "s001",
    "cart": "s001-c01",
    "boot": "00112233445566aa",
    "seq": 0,
    "fw": "0.1.0",
    "t0": 1_700_000_000_000,
    "t1": 1_700_000_060_000,
}
EVENTS: dict[str, Any] = {
    **{name: ENVELOPE[name] for name in ("v", "store", "cart", "boot", "seq", "fw", "t0")},
    "kind": "events",
    "cols": {"id": ["a", "b"], "ts": [0, 5], "type": ["item", "audit"]},
}
GAP = {"kind": "gap", "from": 0, "to": 3, "n": 1, "why": "merged"}

names = st.from_regex(r"[a-z0-9_]{1,12}(/[a-z0-9][a-z0-9_-]{0,5})?", fullmatch=True)
small = st.integers(min_value=0, max_value=2**40)
counts = st.integers(min_value=0, max_value=MAX_COUNT)
windows = st.builds(
    Window,
    store=st.just("s001"),
    cart=st.just("s001-c01"),
    boot=st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
    seq=small,
    fw=st.text(max_size=64),
    model=st.none() | st.from_regex(r"[0-9a-f]{12,64}", fullmatch=True),
    sim=st.booleans(),
    t0=st.just(5),
    t1=small.map(lambda n: n + 5),
    merged=st.integers(1, 99),
    hist=st.dictionaries(
        names, st.builds(Buckets, o=st.integers(-400, 400), n=st.lists(counts, max_size=9)), max_size=4
    ),
    sig=st.dictionaries(names, st.lists(counts, max_size=9), max_size=4),
    cnt=st.dictionaries(names, counts, max_size=4),
    gau=st.dictionaries(names, st.floats(allow_nan=False, allow_infinity=False), max_size=4),
)


def as_bytes(body: object) -> bytes:
    """Write a body the way a stranger would."""
    return json.dumps(body).encode()


@given(windows)
def test_a_window_survives_the_wire(window: Window) -> None:
    """What goes in comes out, compressed or not."""
    decoded = decode_message(TOPIC, encode(window))

    assert decoded.message == window
    assert decoded.extra == {}


@pytest.mark.parametrize(
    "message",
    [
        Events(
            store="s001",
            cart="s001-c01",
            boot="0" * 16,
            seq=3,
            fw="1",
            t0=9,
            cols=EventColumns(
                id=["a"], ts=[0], type=["item"], top=[[("apple", 0.5)]], cam=[[("front", 0.5)]]
            ),
        ),
        Gap(store="s001", cart="s001-c01", boot="0" * 16, seq=3, fw="1", first=0, last=2, n=3, why="merged"),
        Update(store="s001", cart="s001-c01", boot="0" * 16, seq=3, fw="1", t0=9, state="IDLE"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_every_other_kind_survives_the_wire_too(message: Events | Gap | Update) -> None:
    """Each kind on a channel of its own."""
    topic = TOPIC.replace("/tel", f"/{message.channels[-1]}")

    assert decode_message(topic, encode(message)).message == message


def test_what_nobody_here_knows_is_kept_as_extra() -> None:
    """A newer cart loses nothing, top level or column."""
    body = EVENTS | {"novel": [1], "cols": EVENTS["cols"] | {"mood": ["good", "bad"]}}

    decoded = decode_message(TOPIC.replace("tel", "evt"), as_bytes(body))

    assert decoded.extra == {"novel": [1], "cols": {"mood": ["good", "bad"]}}


@pytest.mark.parametrize(
    ("topic", "payload", "error"),
    [
        ("fleet/v1/s001/s001-c01/state/x", as_bytes(ENVELOPE), errors.TopicError),
        ("fleet/v2/s001/s001-c01/tel", as_bytes(ENVELOPE), errors.TopicError),
        ("fleet/v1/S001/s001-c01/tel", as_bytes(ENVELOPE), errors.TopicError),
        ("fleet/v1/s001/s001-c01/ack", as_bytes(ENVELOPE), errors.TopicError),
        (TOPIC, b"", errors.CodecError),
        (TOPIC, b"\x80\x04pickle", errors.CodecError),
        (TOPIC, b"\x28\xb5\x2f\xfd\x00", errors.CodecError),
        (TOPIC, zstandard.compress(b"{}")[:-1], errors.CodecError),
        (TOPIC, zstandard.ZstdCompressor(write_content_size=False).compress(b"{}")[:-1], errors.CodecError),
        (TOPIC, b"{" + b" " * MAX_PAYLOAD_BYTES, errors.OversizedError),
        (TOPIC, zstandard.compress(b" " * (MAX_DECODED_BYTES + 1)), errors.BombError),
        (TOPIC, b"{not json", errors.MalformedError),
        (TOPIC, b'{"v":1,"a":"\xff"}', errors.MalformedError),
        (TOPIC, b'{"a":' * 20_000, errors.MalformedError),
        (TOPIC, as_bytes({**ENVELOPE, "v": 2}), errors.VersionError),
        (TOPIC, as_bytes({**ENVELOPE, "v": True}), errors.VersionError),
        (TOPIC, b"{}", errors.VersionError),
        (TOPIC, as_bytes({**ENVELOPE, "cart": "s001-c02"}), errors.ForeignCartError),
        (TOPIC, as_bytes({**ENVELOPE, "store": "s002"}), errors.ForeignCartError),
        (TOPIC, as_bytes({**ENVELOPE, "kind": "windows"}), errors.SchemaError),
        (TOPIC, as_bytes({**ENVELOPE, "seq": -1}), errors.SchemaError),
        (TOPIC, as_bytes({**ENVELOPE, "seq": 2**60}), errors.SchemaError),
        (TOPIC, as_bytes({**ENVELOPE, "boot": "XYZ"}), errors.SchemaError),
        (TOPIC, as_bytes({**ENVELOPE, "boot": "0" * 16 + "\n"}), errors.SchemaError),
        (TOPIC, as_bytes({**ENVELOPE, "t1": 0}), errors.SchemaError),
        (TOPIC, as_bytes({**ENVELOPE, "sig": {"blur": [1, -1]}}), errors.SchemaError),
        (TOPIC, as_bytes({**ENVELOPE, "cnt": {"DROP TABLE": 1}}), errors.SchemaError),
        (TOPIC, as_bytes({**ENVELOPE, "cnt": {"frames/front": MAX_COUNT + 1}}), errors.SchemaError),
        (TOPIC, as_bytes(EVENTS), errors.SchemaError),
        (TOPIC, as_bytes({**ENVELOPE, "kind": "gap", "from": 0, "to": 0, "n": 1}), errors.SchemaError),
        (TOPIC, as_bytes(ENVELOPE | GAP | {"to": 0}), errors.SchemaError),
        (TOPIC, as_bytes(ENVELOPE | GAP | {"seq": 9, "from": 5}), errors.SchemaError),
    ],
)  # fmt: skip
def test_what_breaks_the_contract_is_refused_by_name(
    topic: str, payload: bytes, error: type[errors.ProtocolError]
) -> None:
    """Each fault has its own error, whose reason files the dead letter."""
    with pytest.raises(error) as caught:
        decode_message(topic, payload)

    assert type(caught.value) is error
    assert caught.value.reason == error.reason


@pytest.mark.parametrize(
    "columns",
    [
        {"id": [], "ts": [], "type": []},
        {"id": ["a"], "ts": [0, 1], "type": ["item"]},
        {"id": ["a"], "ts": [0], "type": ["item"], "p": [0.5, 0.5]},
        {"id": ["a"], "ts": [0], "type": ["item"], "p": [1.5]},
        {"id": ["a"], "ts": [0], "type": ["thing"]},
        {"id": ["a"], "ts": [0], "type": ["item"], "dir": ["sideways"]},
    ],
)
def test_uneven_or_impossible_columns_are_refused(columns: dict[str, Any]) -> None:
    """A row is never made up."""
    with pytest.raises(errors.SchemaError):
        decode_message(TOPIC.replace("tel", "evt"), as_bytes({**EVENTS, "cols": columns}))


@given(st.binary(max_size=300))
def test_no_bytes_bring_the_decoder_down(noise: bytes) -> None:
    """Only our own errors come out."""
    for payload in (noise, b"{" + noise, codec.ZSTD_MAGIC + noise):
        with pytest.raises(errors.ProtocolError):
            decode_message(TOPIC, payload)


def test_a_frame_that_declares_a_huge_size_is_refused_before_memory_is_taken() -> None:
    """The header alone is enough to say no."""
    bomb = zstandard.ZstdCompressor(level=19).compress(b"\0" * 200_000_000)
    assert len(bomb) < 30_000

    with pytest.raises(errors.BombError):
        codec.unpack(bomb)


def test_a_frame_with_an_unknown_dictionary_is_refused() -> None:
    """Guessing would give garbage."""
    strange = zstandard.ZstdCompressionDict(
        codec.dictionary().as_bytes()[:4] + b"\x01\0\0\0" + codec.dictionary().as_bytes()[8:]
    )
    payload = zstandard.ZstdCompressor(dict_data=strange).compress(b"{}" * 200)

    with pytest.raises(errors.CodecError, match="dictionary"):
        codec.unpack(payload)


def test_both_sides_refuse_what_is_too_large_to_send() -> None:
    """A cart finds out before the broker does."""
    with pytest.raises(errors.OversizedError):
        codec.pack(b"x" * (MAX_DECODED_BYTES + 1))


@pytest.mark.parametrize(
    ("cart_ms", "absurd"),
    [
        (0, True),
        (10**12 - MAX_CLOCK_BEHIND_MS, False),
        (10**12 + MAX_CLOCK_AHEAD_MS, False),
        (4 * 10**12, True),
    ],
)
def test_absurd_clocks_go_to_quarantine(cart_ms: int, absurd: bool) -> None:  # noqa: FBT001
    """1970 and 2096 are not days to file rows under."""
    body = {**EVENTS, "t0": cart_ms, "cols": EVENTS["cols"] | {"ts": [0, 0]}}
    message = decode_message(TOPIC.replace("tel", "evt"), as_bytes(body)).message

    if absurd:
        with pytest.raises(errors.ClockError):
            check_clock(message, received_ms=10**12)
    else:
        check_clock(message, received_ms=10**12)


def test_births_wills_and_watermarks_read_back_as_plain_json() -> None:
    """Retained messages stay readable for people with a terminal."""
    birth = CartState(
        v=1, online=True, store="s001", cart="s001-c01", boot="0" * 16, session=4, cameras=["front"]
    )
    ack = Ack(acks=[Watermark(boot="0" * 16, tel=7)])

    assert decode_state("fleet/v1/s001/s001-c01/state", encode_control(birth)) == birth
    assert decode_ack(encode_control(ack)) == ack
    assert json.loads(encode_control(ack)) == {"v": 1, "acks": [{"boot": "0" * 16, "tel": 7}]}


def test_a_state_on_another_carts_topic_is_refused() -> None:
    """One cart cannot declare another one dead."""
    will = CartState(v=1, online=False, store="s001", cart="s001-c01", boot="0" * 16, session=4)

    with pytest.raises(errors.ForeignCartError):
        decode_state("fleet/v1/s001/s001-c02/state", encode_control(will))


def test_topics_read_back() -> None:
    """Parsing and printing are inverses."""
    assert str(parse_topic(TOPIC)) == TOPIC


def test_the_reason_codes_are_unique_and_documented() -> None:
    """Alerts select on them, so the document lists each one."""
    text = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    classes: list[type[errors.ProtocolError]] = [*errors.ProtocolError.__subclasses__(), errors.BombError]
    reasons = [kind.reason for kind in classes]

    assert len(set(reasons)) == len(reasons)
    assert set(reasons) <= set(re.findall(r"`([a-z_]+)`", text))
