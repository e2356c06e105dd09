"""Plain words for each entry of the log, and for what a cart waits for. Pure."""

from collections.abc import Callable

from fleet_control.plurals import many
from fleet_control.rollouts import events
from fleet_control.rollouts.events import AnyEvent
from fleet_control.rollouts.rollout import CartRecord, Rollout
from fleet_control.rollouts.states import CartStatus, DeviceState, RolloutStatus

_BY = {
    "gates": "its gates promoted it",
    "approval": "a person approved it",
    "early": "a person promoted it before its gates had said anything",
}


def sentence_of(event: AnyEvent, rollout: Rollout) -> str:
    """Return what happened, for people.

    Args:
        event: The entry.
        rollout: The head, for the names of its stages.
    """
    sentence: str = _SENTENCES[type(event)](event, rollout)
    return f"{sentence}: {event.reason}" if event.reason else f"{sentence}."


def waits_for(record: CartRecord, rollout: Rollout) -> str:
    """Return what a cart waits for that has done its part; empty if it does not wait.

    Args:
        record: The cart.
        rollout: The head.
    """
    if rollout.status.final:
        return "was told to go back" if record.status is CartStatus.REVERTING else ""
    if record.status is CartStatus.REVERTING:
        return "goes back when nobody shops"
    if record.status is CartStatus.PROVING:
        return "has committed; its telemetry has to show the model"
    if record.status is not CartStatus.WORKING or record.device is not DeviceState.STAGED:
        return ""
    if rollout.status is RolloutStatus.PAUSED:
        return "ready; waits until the rollout goes on"
    window = ", within a maintenance window" if rollout.plan.windows else ""
    return f"ready; goes live when nobody shops{window}"


def _stage(rollout: Rollout, index: int) -> str:
    name = rollout.stages[index].name if 0 <= index < len(rollout.stages) else str(index)
    return f"stage {name}"


def _started(event: events.Started, _: Rollout) -> str:
    return f"{event.actor} started it; the target has {many(len(event.population), 'cart')}"


def _stage_started(event: events.StageStarted, rollout: Rollout) -> str:
    pairs = f", {len(event.pairs):,} of them in pairs with a control" if event.pairs else ""
    return f"{_stage(rollout, event.stage).capitalize()} began with {many(len(event.carts), 'cart')}{pairs}"


def _told(event: events.CartsTold, rollout: Rollout) -> str:
    return f"{_named(event.carts)} told to run {rollout.plan.model[:8]}"


def _recalled(event: events.CartsRecalled, rollout: Rollout) -> str:
    return f"{_named(event.carts)} told to go back to {rollout.baseline[:8]}"


def _named(carts: tuple[str, ...]) -> str:
    return f"{carts[0]} was" if len(carts) == 1 else f"{many(len(carts), 'cart')} were"


def _reported(event: events.CartReported, _: Rollout) -> str:
    why = f" ({event.why})" if event.why else ""
    return f"{event.cart} reported {event.state.value}{why}, try {event.attempt}"


def _seen(event: events.CartSeen, _: Rollout) -> str:
    return (
        f"Telemetry of {event.cart} shows {event.running[:8]} in {event.windows} windows "
        f"with {event.inferences:,} inferences"
    )


def _verdict(event: events.VerdictGiven, rollout: Rollout) -> str:
    word = event.verdict.value.replace("_", " ")
    return f"Gate {event.gate} says {word} in {_stage(rollout, event.stage)}"


def _rollback(event: events.RollbackStarted, rollout: Rollout) -> str:
    why = "the rollout is aborted, and its carts" if event.abort else "the carts"
    return f"{_who(event)} started a rollback: {why} go back to {rollout.baseline[:8]}"


def _who(event: events.Event) -> str:
    return "A gate" if getattr(event, "automatic", False) else event.actor


_SENTENCES: dict[type, Callable[..., str]] = {
    events.Created: lambda event, rollout: f"{event.actor} created it for model {rollout.plan.model[:8]}",
    events.Approved: lambda event, _: f"{event.actor} approved it",
    events.Started: _started,
    events.StageStarted: _stage_started,
    events.StageSkipped: lambda event, rollout: (
        f"Nobody joined late: {_stage(rollout, event.stage)} is skipped"
    ),
    events.CartsTold: _told,
    events.CartReported: _reported,
    events.CartSeen: _seen,
    events.CartTimedOut: lambda event, _: f"{event.cart} ran out of time",
    events.CartUnreachable: lambda event, _: f"{event.cart} cannot be reached and is no longer counted",
    events.CartBack: lambda event, _: f"{event.cart} is back and counted again",
    events.CartExcluded: lambda event, _: f"{event.cart} is no longer of the target",
    events.StageBaking: lambda event, rollout: (
        f"Enough carts of {_stage(rollout, event.stage)} run the model"
    ),
    events.StageHeld: lambda event, rollout: (
        f"{_stage(rollout, event.stage).capitalize()} waits for a person"
    ),
    events.StagePassed: lambda event, rollout: (
        f"{_stage(rollout, event.stage).capitalize()} passed, {_BY[event.by]}"
    ),
    events.VerdictGiven: _verdict,
    events.Paused: lambda event, _: f"{_who(event)} paused it",
    events.Resumed: lambda event, _: f"{event.actor} resumed it",
    events.RollbackStarted: _rollback,
    events.Aborted: lambda event, _: f"{event.actor} aborted it; carts keep what they run",
    events.RetryAsked: lambda event, _: (
        f"{event.actor} gave {many(len(event.carts), 'cart')} another round of tries"
    ),
    events.CartsRecalled: _recalled,
    events.Finished: lambda event, _: f"It ended: {event.outcome.replace('_', ' ')}",
}
