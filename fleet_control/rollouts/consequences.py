"""What an action would do to how many carts, in sentences. Pure; told before anybody acts."""

from fleet_control.plurals import agreeing, many
from fleet_control.rollouts.rollout import Rollout
from fleet_control.rollouts.states import Action, CartStatus, RolloutStatus, Verdict

FAILED = (CartStatus.FAILED, CartStatus.REGRESSED)
IN_FLIGHT = (CartStatus.TOLD, CartStatus.WORKING)


def retried(rollout: Rollout) -> tuple[CartStatus, ...]:
    """Return the statuses of carts that a retry is for."""
    return (CartStatus.REVERT_FAILED,) if rollout.status is RolloutStatus.ROLLING_BACK else FAILED


def consequences(rollout: Rollout, action: Action) -> tuple[str, ...]:
    """Return what an action does to how many carts, in sentences, before it is done."""
    told = _CONSEQUENCES.get(action)
    return told(rollout) if told else ()


def _pause_means(rollout: Rollout) -> tuple[str, ...]:
    live, on_the_way = rollout.standing.live, rollout.count(*IN_FLIGHT) - rollout.standing.on_trial
    stop = agreeing(on_the_way, "stops fetching and puts", "stop fetching and put")
    return (
        f"{_carts(live, 'keeps', 'keep')} {rollout.plan.model[:8]} and {_go(live)} on with it.",
        f"{_carts(on_the_way)} on the way {stop} nothing live.",
        f"{_carts(rollout.count(CartStatus.WAITING) + rollout.pool, 'is', 'are')} not told anything.",
    )


def _against(rollout: Rollout) -> tuple[str, ...]:
    """Say what speaks against going on."""
    gates = sorted(word.gate for word in rollout.verdicts.values() if word.verdict is Verdict.FAIL)
    live = _carts(rollout.standing.live, "runs", "run")
    return (f"{' and '.join(gates)}: FAIL, and {live} {rollout.plan.model[:8]}.",) if gates else ()


def _resume_means(rollout: Rollout) -> tuple[str, ...]:
    failed = rollout.count(*FAILED)
    on_the_way = rollout.count(*IN_FLIGHT, CartStatus.WAITING)
    return (
        *_against(rollout),
        f"{_carts(failed)} that failed and all verdicts so far are acknowledged: only new ones pause it.",
        f"{_carts(on_the_way, 'goes', 'go')} on towards {rollout.plan.model[:8]}.",
    )


def _roll_back_means(rollout: Rollout) -> tuple[str, ...]:
    lost, again = rollout.standing.lost, f"{rollout.baseline[:8]} again"
    back = rollout.standing.to_recall - lost
    return (
        f"{_carts(back, 'is', 'are')} told to run {again}, each when its basket is empty.",
        f"{_carts(lost)} that cannot be reached {agreeing(lost, 'reads', 'read')} it when back.",
    )


def _abort_means(rollout: Rollout) -> tuple[str, ...]:
    if rollout.status is RolloutStatus.ROLLING_BACK:
        return _abort_midway_means(rollout)
    now, model = rollout.standing, rollout.plan.model[:8]
    keep = now.live - now.under_way_live
    return (
        f"{_carts(keep, 'keeps', 'keep')} {model}.",
        f"{_carts(now.under_way)} on the way {_stay(now.under_way)} {rollout.baseline[:8]}.",
        "It cannot be resumed.",
    )


def _abort_midway_means(rollout: Rollout) -> tuple[str, ...]:
    now = rollout.standing
    told = rollout.count(CartStatus.REVERTING, CartStatus.REVERT_FAILED) + now.under_way
    left = now.to_recall - now.under_way
    return (
        f"{_carts(told)} told to go back still {_go(told)} when nobody shops, unless another rollout comes.",
        f"{_carts(left)} not told yet {agreeing(left, 'keeps', 'keep')} {rollout.plan.model[:8]}.",
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
    return (
        *_against(rollout),
        f"Stage {name} ends without waiting for its gates; the next one begins at once.",
    )


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
    return agreeing(n, "stays with, or goes back to,", "stay with, or go back to,")
