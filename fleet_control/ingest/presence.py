"""Which carts are online: births and wills, by the rule of sessions.

MQTT orders messages per topic only as long as a connection lives, and a broker sends a dead
connection's will late. So a will counts only if its boot and session are the current ones, and
a birth of the same boot only if its session is higher. A birth of another boot always counts: a
cart whose disk was wiped starts again at session 0.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from fleet_protocol.messages import CartState


class StateVerdict(enum.Enum):
    """What became of a state message."""

    COUNTS = "counts"
    REPEATED = "repeated"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Presence:
    """The last state of a cart that counted."""

    boot: str
    session: int
    online: bool
    agent_version: str
    model_digest: str | None
    simulated: bool


def judge(current: Presence | None, state: CartState) -> StateVerdict:
    """Decide whether a state message counts."""
    if current is None:
        return StateVerdict.COUNTS
    here = (state.boot, state.session) == (current.boot, current.session)
    if here and state.online == current.online:
        return StateVerdict.REPEATED
    if state.online:
        newer = state.boot != current.boot or state.session > current.session
        return StateVerdict.COUNTS if newer else StateVerdict.SUPERSEDED
    return StateVerdict.COUNTS if here else StateVerdict.SUPERSEDED


def presence_after(current: Presence | None, state: CartState) -> Presence:
    """Return the presence after a state that counts.

    A will carries neither versions nor the mark of a simulated cart: they stay as they were.
    """
    if current is not None and not state.online and current.boot == state.boot:
        return Presence(
            boot=state.boot,
            session=state.session,
            online=False,
            agent_version=state.fw or current.agent_version,
            model_digest=state.model or current.model_digest,
            simulated=state.sim or current.simulated,
        )
    return Presence(state.boot, state.session, state.online, state.fw, state.model, state.sim)


def key_of(state: CartState) -> tuple[str, str]:
    """Return (store, cart): what presences are kept by."""
    return state.store, state.cart


Presences = Mapping[tuple[str, str], Presence]
