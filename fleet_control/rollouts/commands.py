"""What an action means for a rollout: the entries that it writes. Pure."""

from collections.abc import Mapping
from typing import Any

from fleet_control.errors import ActionRefusedError
from fleet_control.rollouts import events, permissions
from fleet_control.rollouts.consequences import retried
from fleet_control.rollouts.events import AnyEvent
from fleet_control.rollouts.ports import Command
from fleet_control.rollouts.rollout import CartRecord, Rollout
from fleet_control.rollouts.states import Action, RolloutStatus

# Actions after which carts run something else: nobody does that without saying why.
NEEDS_REASON = (Action.ROLL_BACK, Action.ABORT_KEEP, Action.ABORT_REVERT, Action.PROMOTE)


def events_of(
    rollout: Rollout,
    carts: Mapping[str, CartRecord],
    command: Command,
    at_ms: int,
    population: tuple[events.Candidate, ...] = (),
) -> tuple[AnyEvent, ...]:
    """Return the entries that carry out an action.

    Args:
        rollout: The head.
        carts: Records of its carts; needed for a retry.
        command: What is asked for.
        at_ms: When.
        population: For the start: the target, in the order of the draw.

    Raises:
        ActionRefusedError: the state or the role forbids it, or a reason is missing.
    """
    action = command.action
    if not permissions.may(command.role, action):
        needed = permissions.LEAST_ROLE[action].value.replace("_", " ")
        raise ActionRefusedError(action.value, f"the role {needed} is needed", forbidden=True)
    if why := permissions.why_not(rollout, action, command.actor):
        raise ActionRefusedError(action.value, why)
    if action in NEEDS_REASON and not command.reason.strip():
        raise ActionRefusedError(action.value, "say why")
    if action is Action.RETRY:
        return (_retry(rollout, carts, command, at_ms),)
    if action is Action.START:
        return (_start(command, at_ms, population),)
    return (_plain(rollout, command, at_ms),)


def _retry(rollout: Rollout, carts: Mapping[str, CartRecord], command: Command, at_ms: int) -> AnyEvent:
    statuses = retried(rollout)
    failed = [name for name, cart in carts.items() if cart.status in statuses]
    wanted = [name for name in failed if name in command.carts] if command.carts else failed
    if not wanted:
        raise ActionRefusedError(command.action.value, "none of these carts has failed")
    return events.RetryAsked(
        at_ms=at_ms, actor=command.actor, reason=command.reason, carts=tuple(sorted(wanted))
    )


def _start(command: Command, at_ms: int, population: tuple[events.Candidate, ...]) -> AnyEvent:
    if not population:
        raise ActionRefusedError(command.action.value, "no cart of the target is known")
    return events.Started(at_ms=at_ms, actor=command.actor, reason=command.reason, population=population)


def _plain(rollout: Rollout, command: Command, at_ms: int) -> AnyEvent:
    who: dict[str, Any] = {"at_ms": at_ms, "actor": command.actor, "reason": command.reason}
    stage = rollout.current or 0
    draft = rollout.status is RolloutStatus.DRAFT
    made: dict[Action, AnyEvent] = {
        Action.APPROVE: events.Approved(**who)
        if draft
        else events.StagePassed(**who, stage=stage, by="approval"),
        Action.PAUSE: events.Paused(**who),
        Action.RESUME: events.Resumed(**who),
        Action.ROLL_BACK: events.RollbackStarted(**who),
        Action.ABORT_REVERT: events.RollbackStarted(**who, abort=True),
        Action.ABORT_KEEP: events.Aborted(**who),
        Action.PROMOTE: events.StagePassed(**who, stage=stage, by="early"),
    }
    return made[command.action]
