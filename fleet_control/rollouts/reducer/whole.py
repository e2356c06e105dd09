"""Events of a whole rollout: it starts, is paused, goes on, goes back, ends."""

from dataclasses import replace

from fleet_control.rollouts import events
from fleet_control.rollouts.cart_steps import is_under_way
from fleet_control.rollouts.plan import TAIL
from fleet_control.rollouts.reducer.parts import (
    Carts,
    ignored,
    in_pool,
    notice,
    permit,
    permitted,
    recall,
    to_status,
    with_stage,
)
from fleet_control.rollouts.reducer.stages import GOING, OVER
from fleet_control.rollouts.rollout import Effect, GateVerdict, Notice, Rollout, Stage, Step
from fleet_control.rollouts.states import CartStatus, RolloutStatus, StageStatus


def create(event: events.Created) -> Step:
    """Return a new rollout."""
    plan = event.plan
    names = (*(stage.name for stage in plan.stages), TAIL)
    head = Rollout(
        plan=plan,
        baseline=event.baseline,
        manifests=event.manifests,
        status=RolloutStatus.DRAFT if plan.approval else RolloutStatus.READY,
        version=1,
        generation=0,
        stages=tuple(Stage(name) for name in names),
        created_ms=event.at_ms,
        created_by=event.actor,
        changed_ms=event.at_ms,
    )
    return Step(head, effects=(notice("created", head, event),))


def created_again(rollout: Rollout, _: Carts, __: events.Created) -> Step:
    """Change nothing: a rollout is created once."""
    return ignored(rollout, "it was created before")


def approved(rollout: Rollout, _: Carts, event: events.Approved) -> Step:
    """Let it be started."""
    if rollout.status is not RolloutStatus.DRAFT:
        return _not_now(rollout)
    ready = to_status(rollout, RolloutStatus.READY, event)
    return Step(ready, effects=(notice("approved", rollout, event),))


def started(rollout: Rollout, _: Carts, event: events.Started) -> Step:
    """Freeze the target; its carts are controls until their stage begins."""
    if rollout.status is not RolloutStatus.READY:
        return _not_now(rollout)
    records = tuple(in_pool(candidate, event.at_ms) for candidate in event.population)
    running = permitted(replace(rollout, pool=len(records)), RolloutStatus.RUNNING, event)
    return Step(running, records, (permit(running, "running"), notice("started", rollout, event)))


def paused(rollout: Rollout, _: Carts, event: events.Paused) -> Step:
    """Take the permit away."""
    if rollout.status is not RolloutStatus.RUNNING:
        return _not_now(rollout)
    head = permitted(replace(rollout, automatic=event.automatic), RolloutStatus.PAUSED, event)
    stage = rollout.stage
    if event.automatic and stage is not None and stage.status in GOING:
        head = with_stage(head, replace(stage, status=StageStatus.FAILED, why=event.reason))
    return Step(head, effects=(permit(head, "paused"), notice("paused", rollout, event)))


def resumed(rollout: Rollout, _: Carts, event: events.Resumed) -> Step:
    """Give the permit again; what was known until now is acknowledged."""
    if rollout.status is not RolloutStatus.PAUSED:
        return _not_now(rollout)
    known = replace(
        rollout,
        automatic=False,
        acknowledged_ms=event.at_ms,
        acknowledged_failed=rollout.count(CartStatus.FAILED, CartStatus.REGRESSED),
    )
    head = permitted(known, RolloutStatus.RUNNING, event)
    stage = rollout.stage
    if stage is not None and stage.status is StageStatus.FAILED:
        again = StageStatus.INSTALLING if stage.baking_ms is None else StageStatus.BAKING
        head = with_stage(head, replace(stage, status=again, why=""))
    return Step(head, effects=(permit(head, "running"), notice("resumed", rollout, event)))


def rollback_started(rollout: Rollout, _: Carts, event: events.RollbackStarted) -> Step:
    """Take the permit away; carts are called back from now on."""
    if rollout.status not in (RolloutStatus.RUNNING, RolloutStatus.PAUSED):
        return _not_now(rollout)
    known = replace(rollout, aborting=event.abort, automatic=event.automatic)
    head = _stopped(permitted(known, RolloutStatus.ROLLING_BACK, event), event)
    return Step(head, effects=(permit(head, "paused"), notice("rolling back", rollout, event)))


def aborted(rollout: Rollout, carts: Carts, event: events.Aborted) -> Step:
    """End it; carts that run the model keep it, carts on their way to it stay with what they run."""
    head = _stopped(permitted(rollout, RolloutStatus.ABORTED, event), event)
    effects: list[Effect] = [permit(head, "ended"), notice("aborted", rollout, event)]
    # The retained order of a cart on its way must not outlive the rollout.
    effects += [recall(rollout, cart) for cart in carts.values() if is_under_way(cart)]
    return Step(head, effects=tuple(effects))


def _stopped(head: Rollout, event: events.RollbackStarted | events.Aborted) -> Rollout:
    """Return the head with a stage that does not go on any more."""
    stage = head.stage
    if stage is None or stage.status not in GOING:
        return head
    return with_stage(
        head, replace(stage, status=StageStatus.STOPPED, ended_ms=event.at_ms, why=event.reason)
    )


def finished(rollout: Rollout, carts: Carts, event: events.Finished) -> Step:
    """End it after its last stage, or after its last cart is back."""
    if event.outcome == "completed":
        over = all(stage.status in OVER for stage in rollout.stages)
        if rollout.status is not RolloutStatus.RUNNING or not over:
            return ignored(rollout, "not all stages have passed")
    elif rollout.status is not RolloutStatus.ROLLING_BACK:
        return _not_now(rollout)
    head = permitted(rollout, RolloutStatus(event.outcome), event)
    if event.outcome != "completed":
        # Months later people ask why it went back, not only how that ended.
        head = replace(head, why="; ".join(filter(None, (rollout.why, event.reason))))
    effects: list[Effect] = [permit(head, "ended"), notice(event.outcome, rollout, event)]
    if event.outcome == "completed":
        # Carts that could not be reached stay with what they run, until another rollout asks for them.
        effects += [recall(rollout, cart) for cart in carts.values() if is_under_way(cart)]
    return Step(head, effects=tuple(effects))


def verdict_given(rollout: Rollout, _: Carts, event: events.VerdictGiven) -> Step:
    """Note the newest word of a gate."""
    verdict = GateVerdict(event.gate, event.verdict, event.stage, event.at_ms)
    head = replace(rollout, verdicts={**rollout.verdicts, event.gate: verdict})
    text = f"{rollout.rollout_id}: {event.gate} says {event.verdict.value}. {event.reason}".strip()
    return Step(head, effects=(Notice("verdict", text),))


def _not_now(rollout: Rollout) -> Step:
    return ignored(rollout, f"the rollout is {rollout.status.value}")
