"""The messages of the contract, and how bytes become one.

All structs are frozen. `decode_message` is the only way in for a cart's data: it checks size,
encoding, version, identity and every field, and raises one error of `fleet_protocol.errors` with the
reason under which the bytes are filed.
"""

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from fleet_protocol.codec import pack, unpack
from fleet_protocol.errors import (
    ClockError,
    ForeignCartError,
    MalformedError,
    SchemaError,
    TopicError,
    VersionError,
)
from fleet_protocol.fields import (
    Attempt,
    BootId,
    CameraName,
    Count,
    Digest,
    Direction,
    DurationMs,
    EpochMs,
    EventType,
    Grams,
    Id,
    LabelName,
    Name,
    OffsetMs,
    Outcome,
    Probability,
    Quantity,
    RolloutId,
    Seq,
    ShortText,
    Text,
)
from fleet_protocol.limits import (
    MAX_ACK_BOOTS,
    MAX_CLOCK_AHEAD_MS,
    MAX_CLOCK_BEHIND_MS,
    MAX_EVENT_ROWS,
    MAX_HISTOGRAM_BUCKETS,
    MAX_LABELS,
    MAX_NAMES,
    MAX_SIGNAL_BINS,
    VERSION,
)
from fleet_protocol.topics import DATA_CHANNELS, Topic, is_id, parse_topic

LABEL_TYPES = ("correction", "scan", "audit")


class Message(Struct, frozen=True, tag_field="kind", kw_only=True):
    """What every sequenced message of a cart carries."""

    channels: ClassVar[tuple[str, ...]] = DATA_CHANNELS

    v: int = VERSION
    store: Id
    cart: Id
    boot: BootId
    seq: Seq
    fw: ShortText
    model: Digest | None = None
    sim: bool = False


class Buckets(Struct, frozen=True):
    """Dense counts of consecutive histogram buckets from an offset."""

    o: Annotated[int, Meta(ge=-4096, le=4096)]
    n: Annotated[list[Count], Meta(max_length=MAX_HISTOGRAM_BUCKETS)]


class Window(Message, frozen=True, tag="window", kw_only=True):
    """One telemetry window: histograms, drift counts, counters, gauges."""

    channels: ClassVar[tuple[str, ...]] = ("tel",)

    t0: EpochMs
    t1: EpochMs
    merged: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    hist: Annotated[dict[Name, Buckets], Meta(max_length=MAX_NAMES)] = field(default_factory=dict)
    sig: Annotated[
        dict[Name, Annotated[list[Count], Meta(max_length=MAX_SIGNAL_BINS)]], Meta(max_length=MAX_NAMES)
    ] = field(default_factory=dict)
    cnt: Annotated[dict[Name, Count], Meta(max_length=MAX_NAMES)] = field(default_factory=dict)
    gau: Annotated[dict[Name, float], Meta(max_length=MAX_NAMES)] = field(default_factory=dict)


class EventColumns(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Rows of events, one list per column, all of one length."""

    id: list[ShortText]
    ts: list[OffsetMs]
    type: list[EventType]
    session: list[ShortText | None] | UnsetType = UNSET
    item: list[ShortText | None] | UnsetType = UNSET
    qty: list[Quantity | None] | UnsetType = UNSET
    dir: list[Direction | None] | UnsetType = UNSET
    p: list[Probability | None] | UnsetType = UNSET
    top: list[Annotated[list[tuple[ShortText, Probability]], Meta(max_length=5)] | None] | UnsetType = UNSET
    cam: list[Annotated[list[tuple[CameraName, Probability]], Meta(max_length=16)] | None] | UnsetType = UNSET
    dw: list[Grams | None] | UnsetType = UNSET
    res: list[Grams | None] | UnsetType = UNSET
    outcome: list[Outcome | None] | UnsetType = UNSET
    ref: list[ShortText | None] | UnsetType = UNSET
    ref_ts: list[EpochMs | None] | UnsetType = UNSET
    prob: list[Probability | None] | UnsetType = UNSET
    ms: list[DurationMs | None] | UnsetType = UNSET


class Events(Message, frozen=True, tag="events", kw_only=True):
    """Item events and the labels that shoppers, scanners and auditors give them."""

    channels: ClassVar[tuple[str, ...]] = ("evt",)

    t0: EpochMs
    cols: EventColumns


class Gap(Message, frozen=True, tag="gap", kw_only=True):
    """Messages of this boot and channel that will never be sent."""

    t0: EpochMs | None = None
    first: Seq = field(name="from")
    last: Seq = field(name="to")
    n: Count
    why: Annotated[str, Meta(pattern=r"^(evicted|merged)\Z")]


class Update(Message, frozen=True, tag="update", kw_only=True):
    """A step of a model update on the cart.

    Attributes:
        t0: When it was taken, cart clock.
        state: The step: IDLE, FETCHING, VERIFIED, BUILDING, SELFTEST, STAGED, PROBATION, COMMITTED or
            ROLLED_BACK.
        target: The model being installed.
        reason: Why, when it failed.
        rollout: Which asked for it.
        attempt: Which try of that rollout, from 1; 0 without a rollout.
        step: Counts up within a try: what comes late or twice is known by it.
    """

    channels: ClassVar[tuple[str, ...]] = ("upd",)

    t0: EpochMs
    state: Annotated[str, Meta(pattern=r"^[A-Z_]{1,32}\Z")]
    target: Digest | None = None
    reason: Text | None = None
    rollout: RolloutId | None = None
    attempt: Attempt = 0
    step: Seq = 0


AnyMessage = Window | Events | Gap | Update


class HeldFrom(Struct, frozen=True, omit_defaults=True):
    """Lowest sequence numbers a cart still holds of one boot."""

    boot: BootId
    tel: Seq | None = None
    evt: Seq | None = None
    upd: Seq | None = None


class CartState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The retained state of a cart: its birth, its will, or its farewell."""

    v: int
    online: bool
    store: Id
    cart: Id
    boot: BootId
    session: Seq
    fw: ShortText = ""
    model: Digest | None = None
    t: EpochMs | None = None
    sim: bool = False
    cameras: Annotated[list[Id], Meta(max_length=16)] = field(default_factory=list)
    hw: ShortText = ""
    engine: ShortText = ""
    labels: Annotated[dict[LabelName, ShortText], Meta(max_length=MAX_LABELS)] = field(default_factory=dict)
    reason: Text | None = None
    held: Annotated[list[HeldFrom], Meta(max_length=64)] = field(default_factory=list)


class Watermark(Struct, frozen=True, omit_defaults=True):
    """Highest contiguous sequence numbers that are durable, of one boot."""

    boot: BootId
    tel: Seq | None = None
    evt: Seq | None = None
    upd: Seq | None = None


class Ack(Struct, frozen=True, kw_only=True):
    """What the cloud has stored of a cart: the cart may delete that much and no more."""

    v: int = VERSION
    acks: Annotated[list[Watermark], Meta(max_length=MAX_ACK_BOOTS)]


class Decoded(Struct, frozen=True):
    """A message with the topic it came on and the fields nobody here knows.

    Attributes:
        topic: Where it came from.
        message: The checked message.
        extra: Unknown top-level fields and event columns; empty when there are none.
    """

    topic: Topic
    message: AnyMessage
    extra: dict[str, Any]


_encoder = msgspec.json.Encoder()
_message_decoder = msgspec.json.Decoder(AnyMessage)
_state_decoder = msgspec.json.Decoder(CartState)
_ack_decoder = msgspec.json.Decoder(Ack)
_any_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
# Finds the fields of an object without making objects of their values.
_raw_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_KNOWN = {
    kind.__struct_config__.tag: frozenset(kind.__struct_encode_fields__) | {"kind"}
    for kind in (Window, Events, Gap, Update)
}
_KNOWN_COLUMNS = frozenset(EventColumns.__struct_encode_fields__)


def encode(message: AnyMessage) -> bytes:
    """Return the payload of a message, compressed when that is smaller.

    Raises:
        OversizedError: it is over the contract's limits.
    """
    return pack(_encoder.encode(message))


def encode_control(message: CartState | Ack) -> bytes:
    """Return the payload of a retained message: always plain JSON, so that people can read it."""
    return _encoder.encode(message)


def decode_message(topic_text: str, payload: bytes) -> Decoded:
    """Check and decode a sequenced message of a cart.

    Raises:
        ProtocolError: one of its subclasses, by what is wrong.
    """
    topic = parse_topic(topic_text)
    if topic.channel not in DATA_CHANNELS:
        raise TopicError(topic_text, f"channel is one of {', '.join(DATA_CHANNELS)}")
    body = unpack(payload)
    raw_fields = _raw_fields_of(body)
    message: AnyMessage = _decode(_message_decoder, body)
    if topic.channel not in message.channels:
        kind = message.__struct_config__.tag
        raise SchemaError(f"a {kind} message does not travel on channel {topic.channel}")
    _check_owner(topic, message.store, message.cart)
    _check_rows(message)
    return Decoded(topic, message, _unknown_fields(message, raw_fields))


def decode_state(topic_text: str, payload: bytes) -> CartState:
    """Check and decode a cart's retained state.

    Raises:
        ProtocolError: one of its subclasses, by what is wrong.
    """
    topic = parse_topic(topic_text)
    state: CartState = decode_control(_state_decoder, payload)
    _check_owner(topic, state.store, state.cart)
    return state


def decode_ack(payload: bytes) -> Ack:
    """Check and decode a watermark.

    Raises:
        ProtocolError: one of its subclasses, by what is wrong.
    """
    ack: Ack = decode_control(_ack_decoder, payload)
    return ack


def check_clock(message: AnyMessage, received_ms: int) -> None:
    """Refuse a message whose clock would file its rows under an absurd day.

    Raises:
        ClockError: a time of the message is more than 45 days behind or 10 minutes ahead.
    """
    for cart_ms in _times_of(message):
        if not -MAX_CLOCK_BEHIND_MS <= cart_ms - received_ms <= MAX_CLOCK_AHEAD_MS:
            raise ClockError(cart_ms, received_ms)


def _times_of(message: AnyMessage) -> tuple[int, ...]:
    match message:
        case Window():
            return (message.t0, message.t1)
        case Events():
            ts = message.cols.ts
            return (message.t0 + min(ts), message.t0 + max(ts))
        case Update():
            return (message.t0,)
        case Gap():
            return ()


def decode_control(decoder: msgspec.json.Decoder[Any], payload: bytes) -> Any:
    """Check and decode a retained message with the decoder of its kind.

    Raises:
        ProtocolError: one of its subclasses, by what is wrong.
    """
    body = unpack(payload)
    _raw_fields_of(body)
    return _decode(decoder, body)


def _raw_fields_of(body: bytes) -> dict[str, msgspec.Raw]:
    """Return the fields of an object, undecoded, of a version that is spoken here."""
    try:
        # What is skipped over is not looked at, so the whole is checked here.
        body.decode()
        fields = _raw_decoder.decode(body)
    except msgspec.ValidationError as error:
        raise MalformedError("the payload is not a JSON object") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"not JSON: {error}") from error
    version = _decode(_any_decoder, fields["v"]) if "v" in fields else None
    if version != VERSION or isinstance(version, bool):
        raise VersionError(version)
    return fields


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes | msgspec.Raw) -> Any:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise SchemaError(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"not JSON: {error}") from error


def _check_owner(topic: Topic, store: str, cart: str) -> None:
    if (topic.store, topic.cart) != (store, cart):
        raise ForeignCartError(f"{topic.store}/{topic.cart}", f"{store}/{cart}")


def _check_rows(message: AnyMessage) -> None:
    match message:
        case Window():
            if message.t1 < message.t0:
                raise SchemaError("a window ends before it starts: t1 < t0")
        case Gap():
            if message.last < message.first:
                raise SchemaError("a gap ends before it starts: to < from")
            if message.last >= message.seq:
                raise SchemaError("a gap speaks of messages before itself: to >= seq")
        case Events():
            _check_columns(message.cols)
        case Update():
            pass


def _check_columns(columns: EventColumns) -> None:
    rows = len(columns.id)
    if not 1 <= rows <= MAX_EVENT_ROWS:
        raise SchemaError(f"an events message has 1 to {MAX_EVENT_ROWS} rows, not {rows}")
    for name in columns.__struct_fields__:
        column = getattr(columns, name)
        if column is not UNSET and len(column) != rows:
            raise SchemaError(f"column {name!r} has {len(column)} rows where 'id' has {rows}")

    if columns.cam is not UNSET:
        names = {camera for row in columns.cam if row for camera, _ in row}
        if not all(map(is_id, names)):
            raise SchemaError("a camera's name is 1 to 32 of a-z 0-9 _ -, a letter or digit first")


def _unknown_fields(message: AnyMessage, fields: dict[str, msgspec.Raw]) -> dict[str, Any]:
    unknown = fields.keys() - _KNOWN[message.__struct_config__.tag]
    extra = {name: _decode(_any_decoder, fields[name]) for name in unknown}
    if isinstance(message, Events):
        columns = _raw_decoder.decode(fields["cols"])
        if unknown := columns.keys() - _KNOWN_COLUMNS:
            extra["cols"] = {name: _decode(_any_decoder, columns[name]) for name in unknown}
    return extra
