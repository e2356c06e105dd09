"""What is due in the stages of a rollout.

The rules:

- carts are told when they are online and a maintenance window of their store is open, so many a minute;
- a stage bakes once enough of its counted carts run the model (`min_done_share`, `min_carts`), and waits for
  a person if that takes longer than `install_s`;
- after `bake_s` the stage passes by itself only if the promotion gate has proved that no more than its margin
  is lost, and no gate that may stop says FAIL. A stage without carts left to compare with (the last one and
  the tail) has nothing to prove: there the bake and the evidence so far are enough;
- with `approval` a person passes it. NO_DATA, a disturbed sample ratio, and nothing proved within
  `max_wait_s` wait for a person, too; proof that comes later ends the wait;
- verdicts and failures that were there when a person resumed do not stop it again, but neither does it pass
  by itself while one of its gates says FAIL.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from zoneinfo import ZoneInfo

from fleet_control.plurals import many
from fleet_control.rollouts import cart_steps, events
from fleet_control.rollouts.events import AnyEvent
from fleet_control.rollouts.maintenance import open_until
from fleet_control.rollouts.plan import StagePlan
from fleet_control.rollouts.ports import CartSighting
from fleet_control.rollouts.rollout import CartRecord, GateVerdict, Rollout, Stage
from fleet_control.rollouts.states import CartStatus, RolloutStatus, StageStatus, Verdict

# Orders in one transaction. Lower, and a large stage takes many passes; higher, and a pause waits behind one.
MAX_ORDERS = 1_000
# Gates whose FAIL says that the evidence itself is wrong: it stops nobody, and proves nothing.
REPLAY, SAMPLE_RATIO = "replay", "sample_ratio"
ABOUT_EVIDENCE = (SAMPLE_RATIO, REPLAY)
_FAILED = (CartStatus.FAILED, CartStatus.REGRESSED)


def stage_plan(rollout: Rollout, index: int) -> StagePlan:
    """Return the plan of a stage; the tail stage goes as the last one of the plan did, without approval."""
    stages = rollout.plan.stages
    if index < len(stages):
        return stages[index]
    last = stages[-1]
    return StagePlan(name="late", percent=100.0, bake_s=last.bake_s, install_s=last.install_s)


def needs_arming(rollout: Rollout) -> bool:
    """Whether the gates have yet to be tried on yesterday's data before the first stage may begin."""
    gated = bool(rollout.plan.gates) or rollout.plan.promotion is not None
    waits = rollout.status is RolloutStatus.RUNNING and rollout.current is None
    replay = rollout.verdicts.get(REPLAY)
    # INCONCLUSIVE: the warehouse has not answered so far.
    return gated and waits and (replay is None or replay.verdict is Verdict.INCONCLUSIVE)


def next_stage(rollout: Rollout) -> int | None:
    """Return the index of the stage that is to begin; None: none is, or all are over."""
    stage = rollout.stage
    if rollout.status is not RolloutStatus.RUNNING:
        return None
    if stage is not None and stage.status not in (StageStatus.PASSED, StageStatus.SKIPPED):
        return None
    following = 0 if rollout.current is None else rollout.current + 1
    return following if following < len(rollout.stages) else None


def is_over(rollout: Rollout) -> bool:
    """Whether all stages have passed, and no cart is on its way any more."""
    over = (StageStatus.PASSED, StageStatus.SKIPPED)
    waits = (CartStatus.WAITING, CartStatus.TOLD, CartStatus.WORKING, CartStatus.PROVING)
    passed = all(stage.status in over for stage in rollout.stages)
    # A cart on its way gets there, or fails, or is out of reach: nobody is left behind in silence.
    return rollout.status is RolloutStatus.RUNNING and passed and not rollout.count(*waits)


def orders(
    rollout: Rollout,
    carts: Iterable[CartRecord],
    sightings: Mapping[str, CartSighting],
    zones: Mapping[str, ZoneInfo],
    *,
    now_ms: int,
    room: int,
) -> Iterator[AnyEvent]:
    """Return whom to tell now.

    Args:
        rollout: The head.
        carts: Records.
        sightings: Carts as the broker knows them.
        zones: Time zones of stores; with windows, carts of a store whose zone is not known are not told.
        now_ms: The time.
        room: How many may be told now.
    """
    if rollout.status is not RolloutStatus.RUNNING:
        return
    waiting = [cart for cart in carts if cart.status is CartStatus.WAITING and _online(sightings, cart)]
    ends = {store: _window(rollout, zones.get(store), now_ms) for store in {cart.store for cart in waiting}}
    ready = [(ends[cart.store] or 0, cart.cart) for cart in waiting if ends[cart.store] != 0]
    chosen = sorted(ready[: max(0, min(room, MAX_ORDERS))], key=lambda each: each[0])
    for end_ms, group in groupby(chosen, key=lambda each: each[0]):
        names = tuple(name for _, name in group)
        yield events.CartsTold(at_ms=now_ms, carts=names, not_after_ms=end_ms or None)


def _online(sightings: Mapping[str, CartSighting], cart: CartRecord) -> bool:
    sighting = sightings.get(cart.cart)
    return sighting is not None and sighting.online


def _window(rollout: Rollout, zone: ZoneInfo | None, now_ms: int) -> int | None:
    """Return the end of the open window; None without windows; 0 when none is open, or nobody can tell."""
    windows = rollout.plan.windows
    if not windows:
        return None
    return (open_until(windows, zone, now_ms) or 0) if zone is not None else 0


def recalls(rollout: Rollout, carts: Iterable[CartRecord], now_ms: int) -> Iterator[AnyEvent]:
    """Return whom to call back now, and the end of it."""
    if rollout.status is not RolloutStatus.ROLLING_BACK:
        return
    everyone = list(carts)
    due = [cart.cart for cart in everyone if cart_steps.needs_recall(cart)][:MAX_ORDERS]
    if due:
        yield events.CartsRecalled(at_ms=now_ms, carts=tuple(due))
    elif not any(cart.status is CartStatus.REVERTING for cart in everyone):
        failed = rollout.count(CartStatus.REVERT_FAILED)
        yield events.Finished(
            at_ms=now_ms,
            outcome="aborted" if rollout.aborting else "rolled_back",
            reason=f"{many(failed, 'cart')} did not go back in time" if failed else "",
        )


def alarms(rollout: Rollout, now_ms: int) -> Iterator[AnyEvent]:
    """Return what stops the rollout now: a pause, and the rollback if the plan says so."""
    why = _why_stop(rollout)
    if rollout.status is RolloutStatus.RUNNING and why:
        yield events.Paused(at_ms=now_ms, reason=why, automatic=True)
        if rollout.plan.on_fail == "roll_back" and rollout.current is not None:
            yield events.RollbackStarted(at_ms=now_ms, reason=why, automatic=True)


def _why_stop(rollout: Rollout) -> str:
    replay = _verdict(rollout, REPLAY, Verdict.FAIL)
    if replay is not None and replay.at_ms > rollout.acknowledged_ms:
        return "the gates fire on yesterday's data, when all these carts ran one model: not armed"
    fresh = [v for v in failing(rollout) if v.at_ms > rollout.acknowledged_ms]
    if fresh:
        return "stopped by the gate of " + " and ".join(sorted(v.gate for v in fresh))
    stage = rollout.stage
    if stage is None or not stage.counted:
        return ""
    failed, known = stage.count(*_FAILED), rollout.acknowledged_failed
    share = failed / stage.counted
    if rollout.count(*_FAILED) > known and share > rollout.plan.device.max_failed_share:
        return f"{failed} of {many(stage.counted, 'cart')} of stage {stage.name} failed"
    return ""


def failing(rollout: Rollout) -> list[GateVerdict]:
    """Return the verdicts of gates that may stop and say FAIL."""
    return [
        verdict
        for verdict in rollout.verdicts.values()
        if verdict.verdict is Verdict.FAIL and verdict.gate not in ABOUT_EVIDENCE
    ]


def progress(
    rollout: Rollout, now_ms: int, *, has_controls: bool, counted_ms: int | None = None
) -> AnyEvent | None:
    """Return what the current stage does next; None: it goes on as it is.

    Args:
        rollout: The head.
        now_ms: The time.
        has_controls: Whether carts are left that the stage's carts can be compared with.
        counted_ms: The gates have counted events up to then; None: none yet.
    """
    stage, index = rollout.stage, rollout.current
    if rollout.status is not RolloutStatus.RUNNING or stage is None or index is None:
        return None
    plan = stage_plan(rollout, index)
    match stage.status:
        case StageStatus.INSTALLING:
            return _installing(rollout, stage, plan, index, now_ms)
        case StageStatus.BAKING:
            proved = _proved(rollout, plan, has_controls=has_controls, counted_ms=counted_ms)
            return _baking(rollout, stage, plan, index, now_ms, proved=proved)
        case StageStatus.HOLDING:
            proved = _proved(rollout, plan, has_controls=has_controls, counted_ms=counted_ms)
            return _holding(rollout, stage, plan, index, now_ms, proved=proved and has_controls)
        case _:
            return None


def _installing(rollout: Rollout, stage: Stage, plan: StagePlan, index: int, now_ms: int) -> AnyEvent | None:
    if _enough(stage, plan):
        return events.StageBaking(at_ms=now_ms, stage=index)
    # A pause stops this clock: after it the stage has its whole time again.
    since_ms = max(_since(stage.began_ms, now_ms), rollout.acknowledged_ms)
    if now_ms - since_ms > plan.install_s * 1000:
        done = stage.count(CartStatus.DONE)
        why = f"{done} of {many(stage.counted, 'cart')} run the model after {plan.install_s / 3600:.3g} h"
        return events.StageHeld(at_ms=now_ms, stage=index, reason=why)
    return None


def _enough(stage: Stage, plan: StagePlan) -> bool:
    done = stage.count(CartStatus.DONE)
    return done >= max(plan.min_carts, 1) and done >= plan.min_done_share * stage.counted


def _since(at_ms: int | None, now_ms: int) -> int:
    return now_ms if at_ms is None else at_ms


def _baking(
    rollout: Rollout, stage: Stage, plan: StagePlan, index: int, now_ms: int, *, proved: bool
) -> AnyEvent | None:
    over_ms = _since(stage.baking_ms, now_ms) + int(plan.bake_s * 1000)
    if now_ms < over_ms:
        return None
    if disturbed := _verdict(rollout, SAMPLE_RATIO, Verdict.FAIL):
        return events.StageHeld(at_ms=now_ms, stage=index, reason=f"the {disturbed.gate} check fired")
    if plan.approval:
        return events.StageHeld(at_ms=now_ms, stage=index, reason="waits for an approval")
    if proved:
        return events.StagePassed(at_ms=now_ms, stage=index, by="gates")
    if why := _why_hold(rollout, over_ms, now_ms):
        return events.StageHeld(at_ms=now_ms, stage=index, reason=why)
    return None


def _why_hold(rollout: Rollout, over_ms: int, now_ms: int) -> str:
    if stopped := failing(rollout):
        return f"the gate of {stopped[0].gate} fails: only a person can go on"
    if blind := _blind(rollout):
        return f"no data for {', '.join(blind)}"
    undecided = _verdict(rollout, "promotion", Verdict.INCONCLUSIVE)
    if undecided is not None and undecided.stage == rollout.current:
        # All pairs have counted: nothing more will come in this stage.
        return "inconclusive: the pairs of carts do not prove that it is harmless"
    if now_ms - over_ms > rollout.plan.max_wait_s * 1000:
        return "inconclusive: neither harm nor harmlessness is proved"
    return ""


def _blind(rollout: Rollout) -> list[str]:
    """Return the gates that have nothing to count."""
    named = (v.gate for v in rollout.verdicts.values() if v.verdict is Verdict.NO_DATA)
    return sorted(gate for gate in named if gate not in ABOUT_EVIDENCE)


def _holding(
    rollout: Rollout, stage: Stage, plan: StagePlan, index: int, now_ms: int, *, proved: bool
) -> AnyEvent | None:
    if stage.baking_ms is None:
        # It waited because its carts took too long; now that they are there, it bakes.
        return events.StageBaking(at_ms=now_ms, stage=index) if _enough(stage, plan) else None
    baked = now_ms >= stage.baking_ms + plan.bake_s * 1000
    waits_for_gates = baked and not plan.approval and not _verdict(rollout, SAMPLE_RATIO, Verdict.FAIL)
    return events.StagePassed(at_ms=now_ms, stage=index, by="gates") if waits_for_gates and proved else None


def _proved(rollout: Rollout, plan: StagePlan, *, has_controls: bool, counted_ms: int | None) -> bool:
    """Whether the gates let the stage pass; without carts to compare with there is nothing left to prove.

    Proof of an earlier stage holds on, as long as the gates see what this one does: all of its bake has been
    counted, and none of them is blind.
    """
    if failing(rollout):
        return False
    if not has_controls:
        return True
    stage = rollout.stage
    if stage is None or stage.baking_ms is None or _blind(rollout):
        return False
    counted = counted_ms is not None and counted_ms >= stage.baking_ms + plan.bake_s * 1000
    return counted and _verdict(rollout, "promotion", Verdict.PASS) is not None


def _verdict(rollout: Rollout, gate: str, wanted: Verdict) -> GateVerdict | None:
    found = rollout.verdicts.get(gate)
    return found if found is not None and found.verdict is wanted else None
