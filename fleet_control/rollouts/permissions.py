"""Which action is allowed, by whom, and in which state. Pure; asked by all who act.

| action       | from                                    | role          |
|--------------|-----------------------------------------|---------------|
| approve      | draft (not by whoever created it), or a stage that waits for a person | owner |
| start        | ready                                   | owner         |
| pause        | running                                 | on-call       |
| resume       | paused                                  | owner         |
| roll_back    | running, paused, once a cart was told   | on-call       |
| abort_keep   | everything that is not final            | owner         |
| abort_revert | running, paused                         | owner         |
| retry        | running, paused, with carts that failed | on-call       |
|              | rolling back, with carts that did not go back in time | |
| promote      | running, with a stage that goes on      | owner         |
"""

from fleet_control.rollouts.consequences import consequences, retried
from fleet_control.rollouts.ports import Choice
from fleet_control.rollouts.rollout import Rollout
from fleet_control.rollouts.states import Action, Role, RolloutStatus, StageStatus

_RANK = {Role.VIEWER: 0, Role.ON_CALL: 1, Role.OWNER: 2}
# An on-call engineer may stop and undo; going on is the owner's.
LEAST_ROLE = {
    Action.CREATE: Role.OWNER,
    Action.APPROVE: Role.OWNER,
    Action.START: Role.OWNER,
    Action.PAUSE: Role.ON_CALL,
    Action.RESUME: Role.OWNER,
    Action.ROLL_BACK: Role.ON_CALL,
    Action.ABORT_KEEP: Role.OWNER,
    Action.ABORT_REVERT: Role.OWNER,
    Action.RETRY: Role.ON_CALL,
    Action.PROMOTE: Role.OWNER,
}
_LIVE = (RolloutStatus.RUNNING, RolloutStatus.PAUSED)
_GOING = (StageStatus.INSTALLING, StageStatus.BAKING, StageStatus.HOLDING)


def may(role: Role, action: Action) -> bool:
    """Whether a role is enough for an action."""
    return _RANK[role] >= _RANK[LEAST_ROLE[action]]


def why_not(rollout: Rollout, action: Action, actor: str | None = None) -> str:
    """Return why the state forbids an action; empty if it does not.

    Args:
        rollout: The head.
        action: What is asked for.
        actor: Who asks; None: somebody who has not created it.
    """
    if rollout.status.final:
        return f"the rollout is {_words(rollout)}, which is final"
    return _CHECKS[action](rollout, actor)


def _approve(rollout: Rollout, actor: str | None) -> str:
    if rollout.status is RolloutStatus.DRAFT:
        return "whoever created it may not approve it" if actor == rollout.created_by else ""
    stage = rollout.stage
    if rollout.status is RolloutStatus.RUNNING and stage and stage.status is StageStatus.HOLDING:
        return ""
    return "nothing waits for an approval"


def _start(rollout: Rollout, _: str | None) -> str:
    if rollout.status is RolloutStatus.DRAFT:
        return "it has to be approved first"
    return "" if rollout.status is RolloutStatus.READY else f"it is {_words(rollout)} already"


def _pause(rollout: Rollout, _: str | None) -> str:
    return "" if rollout.status is RolloutStatus.RUNNING else f"it is {_words(rollout)}, not running"


def _resume(rollout: Rollout, _: str | None) -> str:
    return "" if rollout.status is RolloutStatus.PAUSED else f"it is {_words(rollout)}, not paused"


def _roll_back(rollout: Rollout, _: str | None) -> str:
    if rollout.status not in _LIVE:
        return f"it is {_words(rollout)}"
    return "" if rollout.current is not None else "no cart has been told yet: abort it"


def _abort_keep(_: Rollout, __: str | None) -> str:
    return ""


def _retry(rollout: Rollout, _: str | None) -> str:
    if rollout.status not in (*_LIVE, RolloutStatus.ROLLING_BACK):
        return f"it is {_words(rollout)}"
    return "" if rollout.count(*retried(rollout)) else "no cart has failed"


def _promote(rollout: Rollout, _: str | None) -> str:
    if rollout.status is not RolloutStatus.RUNNING:
        return f"it is {_words(rollout)}, not running"
    stage = rollout.stage
    return "" if stage is not None and stage.status in _GOING else "no stage is going on"


def _create(_: Rollout, __: str | None) -> str:
    return "it exists already"


_CHECKS = {
    Action.CREATE: _create,
    Action.APPROVE: _approve,
    Action.START: _start,
    Action.PAUSE: _pause,
    Action.RESUME: _resume,
    Action.ROLL_BACK: _roll_back,
    Action.ABORT_KEEP: _abort_keep,
    Action.ABORT_REVERT: _roll_back,
    Action.RETRY: _retry,
    Action.PROMOTE: _promote,
}


def choices(rollout: Rollout, role: Role, actor: str | None = None) -> tuple[Choice, ...]:
    """Return all actions on a rollout, with what each would do now."""
    asked = (action for action in Action if action is not Action.CREATE)
    return tuple(_choice(rollout, action, role, actor) for action in asked)


def _choice(rollout: Rollout, action: Action, role: Role, actor: str | None) -> Choice:
    reason = why_not(rollout, action, actor)
    if not reason and not may(role, action):
        reason = f"the role {_role(LEAST_ROLE[action])} is needed"
    return Choice(action, not reason, reason, () if reason else consequences(rollout, action))


def _words(rollout: Rollout) -> str:
    return rollout.status.value.replace("_", " ")


def _role(role: Role) -> str:
    return role.value.replace("_", " ")
