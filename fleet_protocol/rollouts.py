"""What the cloud tells carts about models: which one to run, and whether it may be put live now.

Both messages are retained and replaced whole. A cart that comes back reads what holds now, never what held
when it left.

    fleet/v1/{store}/{cart}/desired          Desired: which model this cart should run
    fleet/v1/rollouts/{rollout}/permit       Permit: whether carts of a rollout may go on
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from fleet_protocol.errors import TopicError
from fleet_protocol.fields import Digest, EpochMs, RolloutId, Seq, Sha256
from fleet_protocol.limits import VERSION
from fleet_protocol.messages import decode_control
from fleet_protocol.topics import PREFIX

# `rollouts` is no store: a topic of five levels names a cart, so the permit has its own parser.
PERMIT_PREFIX = f"{PREFIX}/rollouts"
PERMIT_FILTER = f"{PERMIT_PREFIX}/+/permit"

PermitState = Literal["running", "paused", "ended"]


class Desired(Struct, frozen=True, kw_only=True):
    """The model that one cart should run.

    Attributes:
        generation: Counts up with every message to this cart; a lower one than the cart has seen is old.
        model: Digest as in telemetry.
        manifest: sha256 of the model's `manifest.json`.
        rollout: Whose permit it needs; None: it stands for itself and needs none.
        attempt: Counts the tries of this rollout on this cart, from 1.
        not_after: End of the store's maintenance window: not put live later than this; None: any time.
        timeout_s: How long the cart may take, from reading this until the model is committed.
    """

    v: int = VERSION
    generation: Seq
    model: Digest
    manifest: Sha256
    rollout: RolloutId | None = None
    attempt: Annotated[int, Meta(ge=1, le=1_000)] = 1
    not_after: EpochMs | None = None
    timeout_s: Annotated[int, Meta(ge=1, le=30 * 86_400)] = 3_600


class Permit(Struct, frozen=True, kw_only=True):
    """Whether the carts of a rollout may go on.

    Attributes:
        rollout: Its id.
        generation: Counts up with every change of the rollout; a lower one than the cart has seen is old.
        state: `running`: fetch and put live; `paused`: neither; `ended`: forget it.
        until: It holds until then, by the cloud's clock; the controller renews it. A cart whose controller is
            gone puts nothing live.
    """

    v: int = VERSION
    rollout: RolloutId
    generation: Seq
    state: PermitState
    until: EpochMs


_encoder = msgspec.json.Encoder()
_desired_decoder = msgspec.json.Decoder(Desired)
_permit_decoder = msgspec.json.Decoder(Permit)


def permit_topic(rollout: str) -> str:
    """Return the topic of a rollout's permit."""
    return f"{PERMIT_PREFIX}/{rollout}/permit"


def is_permit_topic(topic: str) -> bool:
    """Tell whether a topic is that of a permit."""
    return topic.startswith(f"{PERMIT_PREFIX}/") and topic.endswith("/permit") and topic.count("/") == 4


def encode_order(message: Desired | Permit) -> bytes:
    """Return the payload: always plain JSON, so that people can read it."""
    return _encoder.encode(message)


def decode_desired(payload: bytes) -> Desired:
    """Check and decode the model that a cart should run.

    Raises:
        ProtocolError: one of its subclasses, by what is wrong.
    """
    desired: Desired = decode_control(_desired_decoder, payload)
    return desired


def decode_permit(topic: str, payload: bytes) -> Permit:
    """Check and decode a permit.

    Raises:
        ProtocolError: one of its subclasses, by what is wrong.
    """
    permit: Permit = decode_control(_permit_decoder, payload)
    if topic != permit_topic(permit.rollout):
        raise TopicError(topic, f"the permit is that of {permit.rollout}")
    return permit
