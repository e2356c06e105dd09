"""How heads, records and effects are written into the database: JSON, through msgspec."""

from collections.abc import Mapping
from typing import Any

import msgspec

from fleet_control.rollouts.ports import CommandRecord
from fleet_control.rollouts.rollout import CartRecord, Effect, Notice, Rollout, TellCart, TellPermit

_encoder = msgspec.json.Encoder()
_rollout: msgspec.json.Decoder[Rollout] = msgspec.json.Decoder(Rollout)
_record: msgspec.json.Decoder[CartRecord] = msgspec.json.Decoder(CartRecord)
_EFFECTS: dict[str, type[TellPermit | TellCart | Notice]] = {
    "permit": TellPermit,
    "cart": TellCart,
    "notice": Notice,
}
_KINDS = {kind: name for name, kind in _EFFECTS.items()}
CART_ORDER = _KINDS[TellCart]


def encode(value: Any) -> str:
    """Return a value as JSON."""
    return _encoder.encode(value).decode()


def decode_rollout(text: str) -> Rollout:
    """Return the head of a JSON text.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _rollout.decode(text)


def decode_record(text: str) -> CartRecord:
    """Return the record of a JSON text.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _record.decode(text)


def decode_object(text: str) -> dict[str, Any]:
    """Return the object of a JSON text.

    Raises:
        msgspec.DecodeError: it is none.
    """
    found: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    return found


def decode_cart_order(text: str) -> TellCart:
    """Return the order of a cart of a JSON text.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return msgspec.json.decode(text, type=TellCart)


def kind_of(effect: Effect) -> str:
    """Return the name under which an effect is stored."""
    return _KINDS[type(effect)]


def decode_effect(kind: str, text: str) -> Effect:
    """Return the effect of a JSON text.

    Raises:
        msgspec.DecodeError: it is none.
    """
    if kind not in _EFFECTS:
        raise msgspec.ValidationError(f"no kind of effect: {kind!r}")
    effect: Effect = msgspec.json.decode(text, type=_EFFECTS[kind])
    return effect


def decode_command(columns: Mapping[str, Any]) -> CommandRecord:
    """Return the command of a row's columns; others beside its own are left out.

    Raises:
        msgspec.DecodeError: it is none.
    """
    # SQLAlchemy's names are a kind of str that msgspec does not take for one.
    return msgspec.convert({str(name): value for name, value in columns.items()}, CommandRecord)
