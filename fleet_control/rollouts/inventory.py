"""The carts as their retained states tell, and the steps they report. Pure: values in, values out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fleet_control.ingest.presence import Presence, StateVerdict, judge, presence_after
from fleet_control.rollouts.ports import CartReport, CartSighting
from fleet_control.rollouts.states import DeviceState
from fleet_protocol.messages import CartState, Update

_STATES = {state.value: state for state in DeviceState}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one cart.

    Attributes:
        presence: By the rule of sessions.
        sighting: The same, as rollouts need it.
    """

    presence: Presence
    sighting: CartSighting


def seen(known: Known | None, state: CartState, now_ms: int, *, replayed: bool = False) -> Known | None:
    """Return what is known of a cart after a state; None: the state does not count.

    - The rule of sessions holds (`ingest.presence`), with one addition: an end with a higher session than the
      known one counts. Its birth was missed while the connection was away.
    - What the broker replays after a subscription comes in no order. A cart that has moved has a state in
      both stores: the one online counts, then the one with the higher session.

    Args:
        known: What was known before; None: nothing.
        state: The state.
        now_ms: Now.
        replayed: It was retained before the subscription.
    """
    if known is not None and not _counts(known, state, replayed=replayed):
        return None
    before = None if known is None else known.presence
    presence = presence_after(before, state)
    changed = known is None or known.presence.online != presence.online
    since_ms = now_ms if known is None or changed else known.sighting.since_ms
    if known is not None and not state.online:
        # A will says little: what the birth said still holds.
        sighting = replace(
            known.sighting,
            store=state.store,
            online=False,
            model=presence.model_digest or known.sighting.model,
            since_ms=since_ms,
        )
        return Known(presence, sighting)
    return Known(
        presence,
        CartSighting(
            store=state.store,
            cart=state.cart,
            online=state.online,
            hardware=state.hw,
            labels=state.labels,
            model=presence.model_digest,
            since_ms=since_ms,
            simulated=presence.simulated,
        ),
    )


def _counts(known: Known, state: CartState, *, replayed: bool) -> bool:
    presence = known.presence
    if replayed and state.store != known.sighting.store:
        return (state.online, state.session) > (presence.online, presence.session)
    missed = not state.online and state.session > presence.session
    return missed or judge(presence, state) is StateVerdict.COUNTS


def sightings(known: Mapping[str, Known]) -> dict[str, CartSighting]:
    """Return the carts, by id."""
    return {cart: one.sighting for cart, one in known.items()}


def report_of(update: Update, now_ms: int) -> CartReport | None:
    """Return the step that a message tells; None: it belongs to no rollout, or names a step unknown here."""
    state = _STATES.get(update.state)
    if update.rollout is None or state is None:
        return None
    return CartReport(
        store=update.store,
        cart=update.cart,
        rollout_id=update.rollout,
        attempt=update.attempt,
        step=update.step,
        state=state,
        running=update.model,
        why=update.reason or "",
        at_ms=now_ms,
    )
