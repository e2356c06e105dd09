"""Who may do what, and what it would do."""

import pytest

from fleet_control.errors import ActionRefusedError
from fleet_control.rollouts import commands, events, permissions
from fleet_control.rollouts.consequences import consequences
from fleet_control.rollouts.ports import Command
from fleet_control.rollouts.rollout import TellCart
from fleet_control.rollouts.states import Action, DeviceState, Role, RolloutStatus
from tests.fleet_control.rollouts.worlds import BASELINE, MODEL, Told, candidates, plan, says, sightings

FIRST, SECOND = "s001-c01", "s001-c02"


def _states() -> dict[RolloutStatus, Told]:
    """Return a rollout in every status."""

    def begun() -> Told:
        return Told(plan()).start().stage(0, (FIRST, SECOND)).tell(FIRST, SECOND)

    made = {
        RolloutStatus.DRAFT: Told(plan(approval=True)),
        RolloutStatus.READY: Told(plan()),
        RolloutStatus.RUNNING: begun(),
    }
    for status, event in (
        (RolloutStatus.PAUSED, events.Paused(at_ms=1)),
        (RolloutStatus.ROLLING_BACK, events.RollbackStarted(at_ms=1)),
        (RolloutStatus.ABORTED, events.Aborted(at_ms=1)),
    ):
        made[status] = begun()
        made[status].happens(event)
    made[RolloutStatus.ROLLED_BACK] = begun()
    made[RolloutStatus.ROLLED_BACK].happens(
        events.RollbackStarted(at_ms=1), events.Finished(at_ms=2, outcome="rolled_back")
    )
    return made


ALLOWED = {
    RolloutStatus.DRAFT: {Action.APPROVE, Action.ABORT_KEEP},
    RolloutStatus.READY: {Action.START, Action.ABORT_KEEP},
    RolloutStatus.RUNNING: {
        Action.PAUSE,
        Action.ROLL_BACK,
        Action.ABORT_KEEP,
        Action.ABORT_REVERT,
        Action.PROMOTE,
    },
    RolloutStatus.PAUSED: {Action.RESUME, Action.ROLL_BACK, Action.ABORT_KEEP, Action.ABORT_REVERT},
    RolloutStatus.ROLLING_BACK: {Action.ABORT_KEEP},
}


@pytest.mark.parametrize("status", list(_states()))
@pytest.mark.parametrize("role", list(Role))
def test_what_is_allowed_is_what_the_table_says(status: RolloutStatus, role: Role) -> None:
    """Every action, in every status, for every role: allowed exactly where the table allows it."""
    rollout = _states()[status].rollout
    for choice in permissions.choices(rollout, role, actor="olga the second"):
        wanted = choice.action in ALLOWED.get(status, set()) and permissions.may(role, choice.action)
        assert choice.allowed == wanted, choice
        assert bool(choice.why_not) != choice.allowed


@pytest.mark.parametrize("status", list(_states()))
@pytest.mark.parametrize("action", [action for action in Action if action is not Action.CREATE])
def test_what_is_allowed_changes_the_state_and_what_is_not_is_refused(
    status: RolloutStatus, action: Action
) -> None:
    """Permissions and reducer agree: no allowed action is ignored, no forbidden one makes an entry."""
    told = _states()[status]
    command = Command("k", "otto", Role.OWNER, action, "autumn", "because")
    if action in ALLOWED.get(status, set()):
        made = commands.events_of(told.rollout, told.carts, command, 5, candidates())
        assert told.happens(*made) == ""
    else:
        with pytest.raises(ActionRefusedError) as caught:
            commands.events_of(told.rollout, told.carts, command, 5, candidates())
        assert not caught.value.forbidden


def test_a_role_that_is_not_enough_is_forbidden_whatever_the_state() -> None:
    """A viewer may do nothing; an on-call engineer may stop and undo, and not go on."""
    told = _states()[RolloutStatus.RUNNING]
    for role, action in ((Role.VIEWER, Action.PAUSE), (Role.ON_CALL, Action.PROMOTE)):
        with pytest.raises(ActionRefusedError) as caught:
            commands.events_of(told.rollout, {}, Command("k", "v", role, action, "autumn", "why"), 5)
        assert caught.value.forbidden


def test_nobody_approves_what_they_created() -> None:
    """Four eyes are four eyes."""
    draft = _states()[RolloutStatus.DRAFT].rollout
    assert "created" in permissions.why_not(draft, Action.APPROVE, "olga")
    assert permissions.why_not(draft, Action.APPROVE, "otto") == ""


def test_what_pausing_does_is_said_in_numbers_before_it_is_done() -> None:
    """Done, in-flight and waiting carts are each counted."""
    told = _states()[RolloutStatus.RUNNING].done(FIRST)
    told.happens(says(SECOND, DeviceState.FETCHING, step=0))
    keeps, stops, rests = consequences(told.rollout, Action.PAUSE)
    assert keeps == f"1 cart keeps {MODEL[:8]} and goes on with it."
    assert stops == "1 cart on the way stops fetching and puts nothing live."
    assert rests == f"{len(sightings()) - 2} carts are not told anything."


def test_a_cart_on_trial_is_said_to_keep_the_model_in_a_pause_and_to_lose_it_in_an_abort() -> None:
    """A cart that runs the model and has not committed is not said to put nothing live."""
    told = _states()[RolloutStatus.RUNNING]
    told.happens(says(FIRST, DeviceState.PROBATION, step=5, running=MODEL))
    keeps, stops, _ = consequences(told.rollout, Action.PAUSE)
    assert (keeps[:12], stops[:6]) == ("1 cart keeps", "1 cart")
    kept, on_the_way, _ = consequences(told.rollout, Action.ABORT_KEEP)
    assert kept == f"0 carts keep {MODEL[:8]}."
    assert on_the_way == f"2 carts on the way stay with, or go back to, {BASELINE[:8]}."
    told.effects.clear()
    told.happens(events.Aborted(at_ms=9, actor="olga", reason="enough"))
    assert TellCart("s001", FIRST, BASELINE, 0) in told.effects


def test_aborting_a_rollback_says_that_carts_still_go_back() -> None:
    """Orders to go back outlive the rollout, and whoever ends it early is told so."""
    told = _states()[RolloutStatus.ROLLING_BACK]
    told.happens(events.CartsRecalled(at_ms=2, carts=(FIRST,)))
    goes, stays, _ = consequences(told.rollout, Action.ABORT_KEEP)
    assert goes.startswith("2 carts told to go back still go when nobody shops")
    assert stays == f"0 carts not told yet keep {MODEL[:8]}."
    told.effects.clear()
    told.happens(events.Aborted(at_ms=9, actor="olga", reason="enough"))
    assert not any(effect.cart == FIRST for effect in told.effects if isinstance(effect, TellCart))


def test_a_rollback_counts_everybody_whom_it_tells() -> None:
    """Carts that wait for another try, and those that left the target, are told, too, and are counted."""
    told = _states()[RolloutStatus.RUNNING]
    told.happens(
        says(FIRST, DeviceState.ROLLED_BACK, step=5, why="parity"),
        events.CartExcluded(at_ms=3, cart=SECOND),
    )
    tells, lost = consequences(told.rollout, Action.ROLL_BACK)
    assert tells.startswith("2 carts are told to run")
    assert lost.startswith("0 carts")


def test_what_makes_carts_run_something_else_needs_a_reason() -> None:
    """A rollback without a word of why is refused."""
    told = _states()[RolloutStatus.RUNNING]
    with pytest.raises(ActionRefusedError, match="say why"):
        commands.events_of(
            told.rollout, {}, Command("k", "o", Role.OWNER, Action.ROLL_BACK, "autumn", "  "), 5
        )
