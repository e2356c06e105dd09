"""From a delivery to what it is: a message, a state, a dead letter, or nothing.

Pure: the receive time travels with the delivery.
"""

from typing import Any

from msgspec import UNSET, Struct

from fleet_control.ingest.dead_letters import DeadLetter, dead_letter, readable_key
from fleet_control.ingest.deliveries import Delivery
from fleet_control.ingest.ledger import MessageKey
from fleet_protocol.errors import ClockError, ProtocolError
from fleet_protocol.messages import (
    AnyMessage,
    CartState,
    Events,
    check_clock,
    decode_message,
    decode_state,
)

# The last millisecond of the year 9999: a TIMESTAMP of the warehouse ends there.
MAX_TIMESTAMP_MS = 253_402_300_799_999


class Accepted(Struct, frozen=True):
    """A sequenced message that keeps the contract.

    Attributes:
        delivery: How it came.
        store: From its topic; the message says the same.
        message: Checked.
        extra: Fields nobody here knows.
        key: Its identity.
        rows: Rows it becomes in its table.
    """

    delivery: Delivery
    store: str
    message: AnyMessage
    extra: dict[str, Any]
    key: MessageKey
    rows: int


class StateAccepted(Struct, frozen=True):
    """A birth, will or farewell that keeps the contract."""

    delivery: Delivery
    state: CartState


class Rejected(Struct, frozen=True):
    """A message that breaks the contract; `key` where it can be read all the same."""

    delivery: Delivery
    letter: DeadLetter
    key: MessageKey | None


class Cleared(Struct, frozen=True):
    """An empty retained message: somebody removed a cart's state from the broker."""

    delivery: Delivery


Incoming = Accepted | StateAccepted | Rejected | Cleared


def decode(delivery: Delivery) -> Incoming:
    """Classify one delivery; never raises for its content."""
    try:
        if delivery.topic.endswith("/state"):
            return _decode_state(delivery)
        return _decode_message(delivery)
    except ProtocolError as error:
        return reject(delivery, error.reason, str(error))


def reject(delivery: Delivery, reason: str, detail: str) -> Rejected:
    """Return the dead letter for a delivery, with its identity where that can be read."""
    return Rejected(delivery, dead_letter(delivery, reason, detail), readable_key(delivery))


def _decode_message(delivery: Delivery) -> Accepted:
    decoded = decode_message(delivery.topic, delivery.payload)
    message = decoded.message
    check_clock(message, delivery.received_ms)
    _check_references(message, delivery.received_ms)
    return Accepted(
        delivery=delivery,
        store=decoded.topic.store,
        message=message,
        extra=decoded.extra,
        key=MessageKey(message.cart, message.boot, decoded.topic.channel, message.seq),
        rows=len(message.cols.id) if isinstance(message, Events) else 1,
    )


def _decode_state(delivery: Delivery) -> StateAccepted | Cleared:
    if not delivery.payload:
        return Cleared(delivery)
    return StateAccepted(delivery, decode_state(delivery.topic, delivery.payload))


def _check_references(message: AnyMessage, received_ms: int) -> None:
    if isinstance(message, Events) and message.cols.ref_ts is not UNSET:
        latest_ms = max((ms for ms in message.cols.ref_ts if ms is not None), default=0)
        if latest_ms > MAX_TIMESTAMP_MS:
            raise ClockError(latest_ms, received_ms)
