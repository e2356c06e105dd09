"""Events of carts: they are told, they report, they are seen, they are called back."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from fleet_control.rollouts import cart_steps, events
from fleet_control.rollouts.reducer.parts import Carts, ignored, notice, recall
from fleet_control.rollouts.rollout import CartRecord, Effect, Rollout, Standing, Step, TellCart
from fleet_control.rollouts.states import CartStatus, RolloutStatus

_Change = Callable[[CartRecord], CartRecord | None]


def told(rollout: Rollout, carts: Carts, event: events.CartsTold) -> Step:
    """Begin a try on each of them."""
    if rollout.status is not RolloutStatus.RUNNING:
        return ignored(rollout, f"the rollout is {rollout.status.value}")
    begun = _each(carts, event.carts, lambda cart: cart_steps.told(cart, event.at_ms))
    model, not_after_ms = rollout.plan.model, event.not_after_ms
    orders = tuple(TellCart(cart.store, cart.cart, model, cart.attempt, not_after_ms) for cart in begun)
    return _changed(rollout, carts, begun, orders)


def reported(rollout: Rollout, carts: Carts, event: events.CartReported) -> Step:
    """Count what a cart says."""
    return _one(rollout, carts, event.cart, lambda cart: cart_steps.reported(cart, event))


def seen(rollout: Rollout, carts: Carts, event: events.CartSeen) -> Step:
    """Count what a cart shows."""
    model, baseline = rollout.plan.model, rollout.baseline
    return _one(rollout, carts, event.cart, lambda cart: cart_steps.seen(cart, event, model, baseline))


def timed_out(rollout: Rollout, carts: Carts, event: events.CartTimedOut) -> Step:
    """End a try that took too long."""
    return _one(rollout, carts, event.cart, lambda cart: cart_steps.timed_out(cart, event.at_ms))


def unreachable(rollout: Rollout, carts: Carts, event: events.CartUnreachable) -> Step:
    """Take an offline cart out of the denominator."""
    return _one(rollout, carts, event.cart, lambda cart: cart_steps.unreachable(cart, event.at_ms))


def back(rollout: Rollout, carts: Carts, event: events.CartBack) -> Step:
    """Let it go on where it was."""
    return _one(rollout, carts, event.cart, lambda cart: cart_steps.back(cart, event.at_ms))


def excluded(rollout: Rollout, carts: Carts, event: events.CartExcluded) -> Step:
    """Take a cart out that is no longer of the target."""
    return _one(rollout, carts, event.cart, lambda cart: cart_steps.excluded(cart, event))


def retry_asked(rollout: Rollout, carts: Carts, event: events.RetryAsked) -> Step:
    """Give carts that failed another round of tries; while it goes back, those that did not go back."""
    told = (notice("tries again", rollout, event),)
    if rollout.status is RolloutStatus.ROLLING_BACK:
        sent = _each(carts, event.carts, lambda cart: cart_steps.recalled_again(cart, event.at_ms))
        return _changed(rollout, carts, sent, (*(recall(rollout, cart) for cart in sent), *told))
    retries = rollout.plan.device.retries
    again = _each(carts, event.carts, lambda cart: cart_steps.retried(cart, event.at_ms, retries))
    return _changed(rollout, carts, again, told)


def recalled(rollout: Rollout, carts: Carts, event: events.CartsRecalled) -> Step:
    """Tell carts to go back to the baseline."""
    if rollout.status is not RolloutStatus.ROLLING_BACK:
        return ignored(rollout, f"the rollout is {rollout.status.value}")
    sent = _each(carts, event.carts, lambda cart: cart_steps.recalled(cart, event.at_ms))
    return _changed(rollout, carts, sent, tuple(recall(rollout, cart) for cart in sent))


def _one(rollout: Rollout, carts: Carts, name: str, change: _Change) -> Step:
    return _changed(rollout, carts, _each(carts, (name,), change))


def _each(carts: Carts, names: Iterable[str], change: _Change) -> tuple[CartRecord, ...]:
    known = (carts[name] for name in dict.fromkeys(names) if name in carts)
    return tuple(after for cart in known if (after := change(cart)) is not None)


def _changed(
    rollout: Rollout, carts: Carts, changed: tuple[CartRecord, ...], effects: tuple[Effect, ...] = ()
) -> Step:
    """Return a step in which carts changed, with the tallies of their stages."""
    if not changed:
        return ignored(rollout, "it changes no cart")
    moves: dict[int | None, Counter[CartStatus]] = {}
    for after in changed:
        before = carts[after.cart]
        counts = moves.setdefault(before.stage, Counter())
        counts[before.status] -= 1
        counts[after.status] += 1
    stages = tuple(
        replace(stage, tally=_added(stage.tally, moves[index])) if index in moves else stage
        for index, stage in enumerate(rollout.stages)
    )
    pool = rollout.pool + moves.get(None, Counter())[CartStatus.POOL]
    head = replace(rollout, stages=stages, pool=pool, standing=_standing(rollout, carts, changed))
    # What was acknowledged and has recovered does not excuse what fails next.
    failed = head.count(CartStatus.FAILED, CartStatus.REGRESSED)
    known = min(rollout.acknowledged_failed, failed)
    return Step(replace(head, acknowledged_failed=known), changed, effects)


def _standing(rollout: Rollout, carts: Carts, changed: tuple[CartRecord, ...]) -> Standing:
    model, now = rollout.plan.model, rollout.standing
    for after in changed:
        came, left = cart_steps.standing(after, model), cart_steps.standing(carts[after.cart], model)
        now = now.changed(came, left) if came != left else now
    return now


def _added(tally: Mapping[CartStatus, int], moves: Mapping[CartStatus, int]) -> dict[CartStatus, int]:
    both = {status: tally.get(status, 0) + moves.get(status, 0) for status in {**tally, **moves}}
    return {status: n for status, n in both.items() if n}
