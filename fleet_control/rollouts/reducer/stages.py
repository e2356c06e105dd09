"""Events of a stage: it begins, bakes, waits for a person, passes."""

from dataclasses import replace

from fleet_control.rollouts import cart_steps, events
from fleet_control.rollouts.reducer.parts import Carts, ignored, in_pool, notice, with_stage
from fleet_control.rollouts.rollout import CartRecord, Rollout, Stage, Step
from fleet_control.rollouts.states import CartStatus, RolloutStatus, StageStatus

OVER = (StageStatus.PASSED, StageStatus.SKIPPED)
GOING = (StageStatus.INSTALLING, StageStatus.BAKING, StageStatus.HOLDING)


def started(rollout: Rollout, carts: Carts, event: events.StageStarted) -> Step:
    """Freeze the carts of the next stage, and whom they are compared with."""
    if why := _why_not_next(rollout, event.stage):
        return ignored(rollout, why)
    joined = {c.cart: in_pool(c, event.at_ms) for c in event.joined if c.cart not in carts}
    pool = {**{name: carts[name] for name in _named(event) if name in carts}, **joined}
    canaries = dict(event.pairs)
    members = tuple(
        _member(pool[name], event, rollout, canaries.get(name))
        for name in dict.fromkeys(event.carts)
        if name in pool and pool[name].status is CartStatus.POOL
    )
    if not members:
        return ignored(rollout, "the stage has no carts")
    controls = tuple(
        replace(pool[control], pair=canary)
        for canary, control in event.pairs
        if control in pool and control not in event.carts
    )
    stage = replace(
        rollout.stages[event.stage],
        status=StageStatus.INSTALLING,
        began_ms=event.at_ms,
        tally={CartStatus.WAITING: len(members)},
    )
    head = replace(rollout, current=event.stage, pool=rollout.pool + len(joined) - len(members))
    return Step(with_stage(head, stage), (*members, *controls), (notice(stage.name, rollout, event),))


def _named(event: events.StageStarted) -> set[str]:
    return {*event.carts, *(control for _, control in event.pairs)}


def _member(cart: CartRecord, event: events.StageStarted, rollout: Rollout, pair: str | None) -> CartRecord:
    chosen = replace(cart, stage=event.stage, allowed=1 + rollout.plan.device.retries, pair=pair)
    return cart_steps.moved(chosen, CartStatus.WAITING, event.at_ms)


def _why_not_next(rollout: Rollout, index: int) -> str:
    if rollout.status is not RolloutStatus.RUNNING:
        return f"the rollout is {rollout.status.value}"
    following = 0 if rollout.current is None else rollout.current + 1
    if index != following or index >= len(rollout.stages):
        return f"stage {following} is next, not {index}"
    stage = rollout.stage
    if stage is not None and stage.status not in OVER:
        return f"stage {stage.name} is {stage.status.value}"
    return ""


def skipped(rollout: Rollout, _: Carts, event: events.StageSkipped) -> Step:
    """Pass over the tail stage."""
    if why := _why_not_next(rollout, event.stage):
        return ignored(rollout, why)
    if event.stage != len(rollout.stages) - 1:
        return ignored(rollout, "only the tail stage may have no carts")
    stage = replace(rollout.stages[event.stage], status=StageStatus.SKIPPED, ended_ms=event.at_ms)
    return Step(with_stage(replace(rollout, current=event.stage), stage))


def baking(rollout: Rollout, _: Carts, event: events.StageBaking) -> Step:
    """Begin to bake; also a stage that waited because its carts took too long."""
    stage = _running(rollout, event.stage, (StageStatus.INSTALLING, StageStatus.HOLDING))
    if isinstance(stage, str):
        return ignored(rollout, stage)
    if stage.baking_ms is not None:
        return ignored(rollout, f"stage {stage.name} has baked")
    bakes = replace(stage, status=StageStatus.BAKING, baking_ms=event.at_ms, why="")
    return Step(with_stage(rollout, bakes))


def held(rollout: Rollout, _: Carts, event: events.StageHeld) -> Step:
    """Wait for a person."""
    stage = _running(rollout, event.stage, (StageStatus.INSTALLING, StageStatus.BAKING))
    if isinstance(stage, str):
        return ignored(rollout, stage)
    held_stage = replace(stage, status=StageStatus.HOLDING, why=event.reason)
    return Step(with_stage(rollout, held_stage), effects=(notice("waits for a person", rollout, event),))


def passed(rollout: Rollout, _: Carts, event: events.StagePassed) -> Step:
    """End the stage; a person may do so before it bakes."""
    wanted = GOING if event.by == "early" else (StageStatus.BAKING, StageStatus.HOLDING)
    stage = _running(rollout, event.stage, wanted)
    if isinstance(stage, str):
        return ignored(rollout, stage)
    why = event.reason or f"by {event.by}"
    over = replace(stage, status=StageStatus.PASSED, ended_ms=event.at_ms, why=why)
    return Step(with_stage(rollout, over), effects=(notice(f"{stage.name} passed", rollout, event),))


def _running(rollout: Rollout, index: int, wanted: tuple[StageStatus, ...]) -> Stage | str:
    """Return the stage if it runs and is in one of these states; otherwise why not."""
    stage = rollout.stage
    if rollout.status is not RolloutStatus.RUNNING or stage is None or index != rollout.current:
        return f"stage {index} does not run"
    if stage.status not in wanted:
        return f"stage {stage.name} is {stage.status.value}"
    return stage
