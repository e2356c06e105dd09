"""Messages as carts would send them, for the stories of this folder."""

import json
import time
from typing import Any

from fleet_control.ingest.decoding import Accepted, decode
from fleet_control.ingest.deliveries import AckToken, Delivery
from fleet_protocol.messages import (
    AnyMessage,
    Buckets,
    CartState,
    EventColumns,
    Events,
    Gap,
    HeldFrom,
    Update,
    Window,
    encode,
    encode_control,
)

STORE, CART = "s001", "s001-c01"
BOOT = "00000000000000aa"
OTHER_BOOT = "00000000000000bb"
MODEL = "abcdef012345"


def now_ms() -> int:
    """Return the server's clock."""
    return int(time.time() * 1000)


def envelope(seq: int, boot: str = BOOT, cart: str = CART, store: str = STORE) -> dict[str, Any]:
    """Return the fields all messages share."""
    return {
        "store": store,
        "cart": cart,
        "boot": boot,
        "seq": seq,
        "fw": "0.1.0",
        "model": MODEL,
        "sim": True,
    }


def window(seq: int, t0: int | None = None, **whose: str) -> Window:
    """Return a telemetry window of a minute."""
    start = now_ms() - 60_000 if t0 is None else t0
    return Window(
        **envelope(seq, **whose),
        t0=start,
        t1=start + 60_000,
        hist={"infer": Buckets(100, [1, 0, 2])},
        sig={"brightness/front": [0, 3], "confidence": [5]},
        cnt={"frames/front": 600, "item_events": 2},
        gau={"temp_c": 51.5},
    )


def events(seq: int, rows: int = 3, t0: int | None = None, **whose: str) -> Events:
    """Return item events of the last minute."""
    return Events(
        **envelope(seq, **whose),
        t0=now_ms() - 60_000 if t0 is None else t0,
        cols=EventColumns(
            id=[f"e{seq}-{i}" for i in range(rows)],
            ts=list(range(rows)),
            type=["item"] * rows,
            item=["milk"] * rows,
            qty=[1] * rows,
            dir=["add"] * rows,
            p=[0.97] * rows,
            top=[[("milk", 0.97), ("kefir", 0.02)]] * rows,
            cam=[[("front", 0.9)]] * rows,
            dw=[1031.5] * rows,
        ),
    )


def gap(seq: int, first: int, last: int, **whose: str) -> Gap:
    """Return a declared gap."""
    return Gap(**envelope(seq, **whose), first=first, last=last, n=last - first + 1, why="evicted")


def update(seq: int, **whose: str) -> Update:
    """Return a step of a model update."""
    return Update(**envelope(seq, **whose), t0=now_ms(), state="FETCHING", target="ff" * 32)


def state(session: int, *, online: bool = True, boot: str = BOOT, **more: Any) -> CartState:
    """Return a birth or a will."""
    fields: dict[str, Any] = (
        {"fw": "0.1.0", "t": now_ms(), "sim": True, "cameras": ["front"]} if online else {}
    )
    return CartState(v=1, online=online, store=STORE, cart=CART, boot=boot, session=session, **fields, **more)


def held(boot: str = BOOT, **lowest: int) -> HeldFrom:
    """Return what a cart says it still holds."""
    return HeldFrom(boot=boot, **lowest)


CHANNELS: dict[type, str] = {Window: "tel", Events: "evt", Gap: "tel", Update: "upd"}


def topic_of(message: AnyMessage | CartState, channel: str | None = None) -> str:
    """Return the topic a message travels on."""
    kind = "state" if isinstance(message, CartState) else CHANNELS[type(message)]
    return f"fleet/v1/{message.store}/{message.cart}/{channel or kind}"


def payload_of(message: AnyMessage | CartState) -> bytes:
    """Return the bytes on the wire."""
    return encode_control(message) if isinstance(message, CartState) else encode(message)


def delivery(
    topic: str,
    payload: bytes,
    packet_id: int = 1,
    received_ms: int | None = None,
    *,
    redelivered: bool = False,
) -> Delivery:
    """Return a delivery received now."""
    at_ms = now_ms() if received_ms is None else received_ms
    return Delivery(topic, payload, at_ms, AckToken(1, packet_id), redelivered=redelivered)


def delivered(message: AnyMessage | CartState, channel: str | None = None) -> Delivery:
    """Return a message as a delivery."""
    return delivery(topic_of(message, channel), payload_of(message))


def accepted(message: AnyMessage, channel: str | None = None) -> Accepted:
    """Return a message after decoding."""
    item = decode(delivered(message, channel))
    assert isinstance(item, Accepted), item
    return item


def raw(body: object) -> bytes:
    """Return plain JSON."""
    return json.dumps(body).encode()
