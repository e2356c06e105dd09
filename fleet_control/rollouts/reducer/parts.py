"""What the reducers build steps from."""

from collections.abc import Mapping
from dataclasses import replace

from fleet_control.rollouts.events import AnyEvent, Candidate
from fleet_control.rollouts.rollout import CartRecord, Notice, Rollout, Stage, Step, TellCart, TellPermit
from fleet_control.rollouts.states import RolloutStatus

Carts = Mapping[str, CartRecord]


def ignored(rollout: Rollout, why: str) -> Step:
    """Return a step that changes nothing."""
    return Step(rollout, ignored=why)


def to_status(rollout: Rollout, status: RolloutStatus, event: AnyEvent) -> Rollout:
    """Return the head in another status, for the event's reason."""
    return replace(rollout, status=status, changed_ms=event.at_ms, why=event.reason)


def permitted(rollout: Rollout, status: RolloutStatus, event: AnyEvent) -> Rollout:
    """Return the head in a status in which carts may do something else: a higher generation.

    Carts ignore a generation below the highest that they have heard of. It is at least the time, so that a
    pause is heard also when the database was restored from a backup, or made anew under carts that remember.
    """
    generation = max(rollout.generation + 1, event.at_ms)
    return replace(to_status(rollout, status, event), generation=generation)


def permit(rollout: Rollout, state: str) -> TellPermit:
    """Return the permit of a head's generation."""
    return TellPermit(state, rollout.generation)


def recall(rollout: Rollout, cart: CartRecord) -> TellCart:
    """Return the order to run the baseline, which needs no permit."""
    return TellCart(cart.store, cart.cart, rollout.baseline, attempt=0)


def notice(what: str, rollout: Rollout, event: AnyEvent) -> Notice:
    """Return what people are told."""
    why = f": {event.reason}" if event.reason else ""
    return Notice(what, f"{rollout.rollout_id} {what} by {event.actor}{why}")


def with_stage(rollout: Rollout, stage: Stage) -> Rollout:
    """Return the head with another current stage."""
    current = rollout.current
    stages = tuple(stage if index == current else kept for index, kept in enumerate(rollout.stages))
    return replace(rollout, stages=stages)


def in_pool(candidate: Candidate, at_ms: int) -> CartRecord:
    """Return the record of a cart that is of the target and in no stage yet."""
    return CartRecord(candidate.store, candidate.cart, candidate.hardware, changed_ms=at_ms)
