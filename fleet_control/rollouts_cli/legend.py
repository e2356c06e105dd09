"""What the words of state mean, for `--help`; docs/rollouts.md says the same. Pure."""

import textwrap
from collections.abc import Mapping

from fleet_control.rollouts.states import CartStatus, DeviceState, RolloutStatus, StageStatus
from fleet_control.rollouts_cli.words import words

_WIDTH = 100

ROLLOUTS: Mapping[str, str] = {
    RolloutStatus.DRAFT: "waits for a second person's approval",
    RolloutStatus.READY: "may be started",
    RolloutStatus.RUNNING: "goes through its stages",
    RolloutStatus.PAUSED: "no cart puts the model live; waits for a person",
    RolloutStatus.ROLLING_BACK: "carts are on their way back to the baseline",
    RolloutStatus.COMPLETED: "ended: all stages have passed",
    RolloutStatus.ROLLED_BACK: "ended: carts were sent back to the baseline",
    RolloutStatus.ABORTED: "ended by a person, with or without sending carts back",
}
STAGES: Mapping[str, str] = {
    StageStatus.WAITING: "has not begun",
    StageStatus.INSTALLING: "its carts are told, and work",
    StageStatus.BAKING: "enough of its carts run the model; the gates watch",
    StageStatus.HOLDING: "waits for a person: an approval, no data, or nothing proved in time",
    StageStatus.PASSED: "the next stage may begin",
    StageStatus.FAILED: "a gate fired, or too many carts failed",
    StageStatus.STOPPED: "the rollout went back or was aborted before it had passed",
    StageStatus.SKIPPED: "the stage of late carts, and none came",
}
CARTS: Mapping[str, str] = {
    CartStatus.POOL: "of the target, in no stage yet: it runs the baseline, and is compared with",
    CartStatus.WAITING: "its stage has begun, and it has not been told yet",
    CartStatus.TOLD: "it was told, and has not answered",
    CartStatus.WORKING: "it reports steps, see SAYS",
    CartStatus.PROVING: "it says that it runs the model; its telemetry has to show that",
    CartStatus.DONE: "its telemetry shows the model",
    CartStatus.FAILED: "it went back by itself or ran out of time, and has no tries left",
    CartStatus.REGRESSED: "it was done, and runs another model now",
    CartStatus.UNREACHABLE: "offline for too long: not counted until it is back",
    CartStatus.EXCLUDED: "retired or moved to another store: not counted",
    CartStatus.REVERTING: "told to go back to the baseline",
    CartStatus.REVERTED: "back on the baseline",
    CartStatus.REVERT_FAILED: "it did not go back in time; its order stays at the broker",
}
DEVICES: Mapping[str, str] = {
    DeviceState.IDLE: "nothing to do",
    DeviceState.FETCHING: "it downloads the model",
    DeviceState.VERIFIED: "every file is there and is what was signed",
    DeviceState.BUILDING: "it builds an engine beside the running one",
    DeviceState.SELFTEST: "it tries the new engine on known pictures",
    DeviceState.STAGED: "ready; goes live when the shopping trip ends and the rollout may go on",
    DeviceState.PROBATION: "the model is live, and the cart watches whether it is well",
    DeviceState.COMMITTED: "it keeps the model",
    DeviceState.ROLLED_BACK: "it took the model back by itself, and runs what it ran before",
}
COLUMNS: Mapping[str, str] = {
    "DONE": "carts that are done",
    "MOVING": "told, working or proving",
    "WAIT": "waiting",
    "FAILED": "failed, regressed, or not gone back in time",
    "GOING BACK": "reverting",
    "BACK": "reverted",
    "AWAY": "unreachable or excluded",
}


def legend(**parts: Mapping[str, str]) -> str:
    """Return lists of words with what they mean, each under its title."""
    return "\n\n".join(f"{words(title)}:\n{_list(meanings)}" for title, meanings in parts.items())


def _list(meanings: Mapping[str, str]) -> str:
    wide = max(map(len, meanings))
    return "\n".join(
        textwrap.fill(f"  {words(word):<{wide}}  {meaning}", _WIDTH, subsequent_indent=" " * (wide + 4))
        for word, meaning in meanings.items()
    )
