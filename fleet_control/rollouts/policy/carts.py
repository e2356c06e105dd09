"""What is due on single carts: what they said and showed, and what they did not in time."""

from collections.abc import Iterable, Iterator, Mapping

from fleet_control.rollouts import cart_steps, events
from fleet_control.rollouts.events import AnyEvent
from fleet_control.rollouts.ports import CartReport, CartSighting, Proof
from fleet_control.rollouts.rollout import CartRecord, Rollout
from fleet_control.rollouts.states import CartStatus, RolloutStatus

# Besides the cart's own time-out: its report travels, and telemetry windows have to prove it. Lower, and a
# cart that was ready in its last minute counts as late; higher, and a lost cart holds its stage up longer.
GRACE_S = 600.0

_AT_WORK = (CartStatus.TOLD, CartStatus.WORKING, CartStatus.PROVING, CartStatus.REVERTING)
_WORTH_A_LOOK = (*_AT_WORK, CartStatus.DONE, CartStatus.REGRESSED)


def heard(reports: Iterable[CartReport]) -> Iterator[AnyEvent]:
    """Return what carts said, in the order in which it came."""
    for report in reports:
        yield events.CartReported(
            at_ms=report.at_ms,
            cart=report.cart,
            attempt=report.attempt,
            step=report.step,
            state=report.state,
            running=report.running,
            why=report.why,
        )


def shown(
    rollout: Rollout, carts: Iterable[CartRecord], proofs: Mapping[str, Proof], now_ms: int
) -> Iterator[AnyEvent]:
    """Return what carts showed, where that changes something."""
    for cart in carts:
        proof = proofs.get(cart.cart)
        if proof is None or cart.status not in _WORTH_A_LOOK:
            continue
        # Windows from before the cart was told, or from before it went back by itself, prove nothing.
        fell_ms = cart.changed_ms if cart.status is CartStatus.REGRESSED else 0
        if proof.last_ms < max(cart.told_ms or 0, fell_ms):
            continue
        event = events.CartSeen(
            at_ms=now_ms,
            cart=cart.cart,
            running=proof.running,
            windows=proof.windows,
            inferences=proof.inferences,
        )
        after = cart_steps.seen(cart, event, rollout.plan.model, rollout.baseline)
        if after is not None and (after.status, after.running) != (cart.status, cart.running):
            yield event


def worth_a_look(carts: Iterable[CartRecord]) -> list[tuple[str, str]]:
    """Return the carts (store, cart) whose telemetry matters now."""
    return [(cart.store, cart.cart) for cart in carts if cart.status in _WORTH_A_LOOK]


def overdue(
    rollout: Rollout, carts: Iterable[CartRecord], sightings: Mapping[str, CartSighting], now_ms: int
) -> Iterator[AnyEvent]:
    """Return what time has done: carts out of reach, back again, moved, or too late.

    A pause stops the clock of carts on their way; after it they have their whole time again.
    """
    moving = rollout.status in (RolloutStatus.RUNNING, RolloutStatus.ROLLING_BACK)
    for cart in carts:
        sighting = sightings.get(cart.cart)
        if sighting is not None and sighting.store != cart.store and cart.status is not CartStatus.EXCLUDED:
            yield events.CartExcluded(
                at_ms=now_ms,
                cart=cart.cart,
                store=sighting.store,
                reason=f"it is in store {sighting.store} now",
            )
        elif cart.status is CartStatus.UNREACHABLE:
            if sighting is not None and sighting.online:
                yield events.CartBack(at_ms=now_ms, cart=cart.cart)
        elif cart.status in _AT_WORK or cart.status is CartStatus.WAITING:
            if _lost(rollout, cart, sighting, now_ms):
                yield events.CartUnreachable(at_ms=now_ms, cart=cart.cart)
            elif moving and _can_be_late(rollout, cart) and _late(rollout, cart, now_ms):
                yield events.CartTimedOut(at_ms=now_ms, cart=cart.cart)


def _can_be_late(rollout: Rollout, cart: CartRecord) -> bool:
    # A cart that runs the model and that nobody uses proves it when somebody does.
    idle = cart.status is CartStatus.PROVING and cart.running == rollout.plan.model
    return cart.status in _AT_WORK and not idle


def _lost(rollout: Rollout, cart: CartRecord, sighting: CartSighting | None, now_ms: int) -> bool:
    if sighting is None or sighting.online:
        return False
    gone_ms = max(sighting.since_ms, cart.changed_ms)
    return now_ms - gone_ms > rollout.plan.device.unreachable_s * 1000


def _late(rollout: Rollout, cart: CartRecord, now_ms: int) -> bool:
    begun_ms = max(cart.told_ms or 0, rollout.acknowledged_ms)
    return now_ms - begun_ms > (rollout.plan.device.timeout_s + GRACE_S) * 1000
