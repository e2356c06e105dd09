"""What an action would do to how many carts, in sentences. Pure; told before anybody acts."""

from fleet_control.plurals import agreeing, many
from fleet_control.rollouts.rollout import Rollout
from fleet_control.rollouts.states import Action, CartStatus, RolloutStatus

FAILED = (CartStatus.FAILED, CartStatus.REGRESSED)
WITH_MODEL = (CartStatus.DONE, CartStatus.PROVING)
IN_FLIGHT = (CartStatus.TOLD, CartStatus.WORKING)


def retried(rollout: Rollout) -> tuple[CartStatus, ...]:
    """Return the statuses of carts that a retry is for."""
    return (CartStatus.REVERT_FAILED,) if rollout.status is RolloutStatus.ROLLING_BACK else FAILED


def consequences(rollout: Rollout, action: Action) -> tuple[str, ...]:
    """Return what an action does to how many carts, in sentences, before it is done."""
    told = _CONSEQUENCES.get(action)
    return told(rollout) if told else ()


def _pause_means(rollout: Rollout) -> tuple[str, ...]:
    live, on_the_way = rollout.live, rollout.count(*IN_FLIGHT) - rollout.on_trial
    stop = agreeing(on_the_way, "stops fetching and puts", "stop fetching and put")
    return (
        f"{_carts(live, 'keeps', 'keep')} {rollout.plan.model[:8]} and {_go(live)} on with it.",
        f"{_carts(on_the_way)} on the way {stop} nothing live.",
        f"{_carts(rollout.count(CartStatus.WAITING) + rollout.pool, 'is', 'are')} not told anything.",
    )


def _resume_means(rollout: Rollout) -> tuple[str, ...]:
    failed = rollout.count(*FAILED)
    on_the_way = rollout.count(*IN_FLIGHT, CartStatus.WAITING)
    return (
        f"{_carts(failed)} that failed and all verdicts so far are acknowledged: only new ones pause it.",
        f"{_carts(on_the_way, 'goes', 'go')} on towards {rollout.plan.model[:8]}.",
    )


def _roll_back_means(rollout: Rollout) -> tuple[str, ...]:
    back = rollout.count(*WITH_MODEL, *IN_FLIGHT, *FAILED)
    lost, again = rollout.count(CartStatus.UNREACHABLE), f"{rollout.baseline[:8]} again"
    return (
        f"{_carts(back, 'is', 'are')} told to run {again}, each when its basket is empty.",
        f"{_carts(lost)} that cannot be reached {agreeing(lost, 'reads', 'read')} it when back.",
    )


def _abort_means(rollout: Rollout) -> tuple[str, ...]:
    if rollout.status is RolloutStatus.ROLLING_BACK:
        return _abort_midway_means(rollout)
    keep, trial, model = rollout.live - rollout.on_trial, rollout.on_trial, rollout.plan.model[:8]
    on_the_way = rollout.count(*IN_FLIGHT, CartStatus.WAITING) - trial
    tried = f"{_carts(trial)} on trial with {model} {_go(trial)} back to {rollout.baseline[:8]}."
    return (
        f"{_carts(keep, 'keeps', 'keep')} {model}.",
        f"{_carts(on_the_way)} on the way or waiting {_stay(on_the_way)}.",
        *((tried,) if trial else ()),
        "It cannot be resumed.",
    )


def _abort_midway_means(rollout: Rollout) -> tuple[str, ...]:
    told = rollout.count(CartStatus.REVERTING, CartStatus.REVERT_FAILED)
    left = rollout.count(*WITH_MODEL, *FAILED)
    return (
        f"{_carts(told)} told to go back still {_go(told)} when nobody shops; nothing watches that any more.",
        f"{_carts(left)} not told yet {_stay(left)}.",
        "It cannot be resumed.",
    )


def _retry_means(rollout: Rollout) -> tuple[str, ...]:
    failed = rollout.count(*retried(rollout))
    if rollout.status is RolloutStatus.ROLLING_BACK:
        again = f"{agreeing(failed, 'is', 'are')} told once more to run {rollout.baseline[:8]}"
        return (f"{_carts(failed)} that did not go back in time {again}.",)
    return (f"{_carts(failed, 'gets', 'get')} another {1 + rollout.plan.device.retries} tries.",)


def _promote_means(rollout: Rollout) -> tuple[str, ...]:
    stage = rollout.stage
    name = stage.name if stage else ""
    return (f"Stage {name} ends without waiting for its gates; the next one begins at once.",)


def _start_means(_: Rollout) -> tuple[str, ...]:
    return ("The carts of the target are frozen as they are now, and the first stage begins.",)


_CONSEQUENCES = {
    Action.START: _start_means,
    Action.PAUSE: _pause_means,
    Action.RESUME: _resume_means,
    Action.ROLL_BACK: _roll_back_means,
    Action.ABORT_REVERT: _roll_back_means,
    Action.ABORT_KEEP: _abort_means,
    Action.RETRY: _retry_means,
    Action.PROMOTE: _promote_means,
}


def _carts(n: int, one: str = "", more: str = "") -> str:
    return many(n, "cart", one, more)


def _go(n: int) -> str:
    return agreeing(n, "goes", "go")


def _stay(n: int) -> str:
    return agreeing(n, "stays with what it runs", "stay with what they run")
