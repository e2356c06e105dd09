"""The reducer: what an entry of the log makes of a rollout. Pure; the only place where its state changes.

`reduce(rollout, carts, event)` returns a `Step`: the new head, the carts that changed, and what has to be
told. An event that does not fit the state changes nothing and says why (`Step.ignored`): it is not written
into the log, so the fold of the log is the state. The rules that hold for all events:

- final is final: COMPLETED, ROLLED_BACK and ABORTED take no event;
- stages begin in order, each after the one before has passed; the tail stage is the last;
- each change of what carts may do has a higher generation, and its permit goes out before anything else;
- a stage of a rollout that a gate has paused is FAILED until a person resumes.
"""

from collections.abc import Callable
from dataclasses import replace

from fleet_control.rollouts import events
from fleet_control.rollouts.events import AnyEvent
from fleet_control.rollouts.reducer import carts as of_carts
from fleet_control.rollouts.reducer import stages as of_stages
from fleet_control.rollouts.reducer import whole
from fleet_control.rollouts.reducer.parts import Carts
from fleet_control.rollouts.reducer.whole import create
from fleet_control.rollouts.rollout import Rollout, Step

__all__ = ["Carts", "create", "reduce"]


def reduce(rollout: Rollout, carts: Carts, event: AnyEvent) -> Step:
    """Return what an event changes.

    Args:
        rollout: The head.
        carts: Records of its carts; those that the event speaks of are enough.
        event: What happened.
    """
    if rollout.status.final:
        return Step(rollout, ignored=f"the rollout is {rollout.status.value}")
    step = _REDUCERS[type(event)](rollout, carts, event)
    if step.ignored:
        return Step(rollout, ignored=step.ignored)
    return replace(step, rollout=replace(step.rollout, version=rollout.version + 1))


_REDUCERS: dict[type, Callable[..., Step]] = {
    events.Created: whole.created_again,
    events.Approved: whole.approved,
    events.Started: whole.started,
    events.Paused: whole.paused,
    events.Resumed: whole.resumed,
    events.RollbackStarted: whole.rollback_started,
    events.Aborted: whole.aborted,
    events.Finished: whole.finished,
    events.VerdictGiven: whole.verdict_given,
    events.StageStarted: of_stages.started,
    events.StageSkipped: of_stages.skipped,
    events.StageBaking: of_stages.baking,
    events.StageHeld: of_stages.held,
    events.StagePassed: of_stages.passed,
    events.CartsTold: of_carts.told,
    events.CartReported: of_carts.reported,
    events.CartSeen: of_carts.seen,
    events.CartTimedOut: of_carts.timed_out,
    events.CartUnreachable: of_carts.unreachable,
    events.CartBack: of_carts.back,
    events.CartExcluded: of_carts.excluded,
    events.RetryAsked: of_carts.retry_asked,
    events.CartsRecalled: of_carts.recalled,
}
