"""What is due, and when."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from fleet_control.rollouts import events
from fleet_control.rollouts.events import AnyEvent
from fleet_control.rollouts.policy import carts as of_carts
from fleet_control.rollouts.policy import stages as of_stages
from fleet_control.rollouts.ports import Proof
from fleet_control.rollouts.states import CartStatus, DeviceState, RolloutStatus, StageStatus, Verdict
from tests.fleet_control.rollouts.worlds import BASELINE, HOUR_MS, MODEL, Told, plan, says, sightings

FIRST, SECOND = "s001-c01", "s001-c02"


def begun(**changes: object) -> Told:
    """Return a rollout whose first stage has two carts that were told."""
    return Told(plan(**changes)).start().stage(0, (FIRST, SECOND)).tell(FIRST, SECOND)


def baked(**changes: object) -> Told:
    """Return a rollout whose first stage has baked since hour one."""
    told = begun(**changes).done(FIRST, SECOND)
    told.happens(events.StageBaking(at_ms=HOUR_MS, stage=0))
    return told


def word(gate: str, verdict: Verdict, at_ms: int = 10) -> events.VerdictGiven:
    """Return a verdict."""
    return events.VerdictGiven(at_ms=at_ms, stage=0, gate=gate, verdict=verdict)


def due(told: Told, now_ms: int, *, has_controls: bool = True) -> AnyEvent | None:
    """Return what the current stage does next."""
    return of_stages.progress(told.rollout, now_ms, has_controls=has_controls, counted_ms=now_ms)


def stops(told: Told) -> list[AnyEvent]:
    """Return what stops it."""
    return list(of_stages.alarms(told.rollout, 20))


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def kinds(entries: Iterable[AnyEvent]) -> list[str]:
    """Return the names of events."""
    return [type(event).__name__ for event in entries]


def test_a_stage_bakes_when_enough_carts_are_done_and_calls_a_person_when_that_takes_too_long() -> None:
    """Half of the carts is not enough; after the stage's time somebody has to look."""
    told = begun().done(FIRST)
    assert due(told, HOUR_MS) is None
    late = due(told, 25 * HOUR_MS)
    assert isinstance(late, events.StageHeld)
    assert "1 of 2 carts" in late.reason
    told.done(SECOND)
    assert isinstance(due(told, HOUR_MS), events.StageBaking)


def test_a_stage_whose_carts_cannot_be_reached_never_bakes_on_nothing() -> None:
    """An empty denominator is no success."""
    told = begun()
    told.happens(events.CartUnreachable(at_ms=1, cart=FIRST), events.CartUnreachable(at_ms=1, cart=SECOND))
    assert told.rollout.stages[0].counted == 0
    assert due(told, 2) is None
    assert isinstance(due(told, 25 * HOUR_MS), events.StageHeld)


def test_only_proof_promotes() -> None:
    """After the bake a stage without PASS waits; with PASS of the promotion gate it passes."""
    told = baked()
    assert due(told, 2 * HOUR_MS - 1) is None
    told.happens(word("accuracy", Verdict.PASS))
    assert due(told, 2 * HOUR_MS) is None
    told.happens(word("promotion", Verdict.PASS))
    assert due(told, 2 * HOUR_MS - 1) is None
    passed = due(told, 2 * HOUR_MS)
    assert isinstance(passed, events.StagePassed)
    assert passed.by == "gates"


@pytest.mark.parametrize(
    ("gate", "verdict", "says_why"),
    [
        ("accuracy", Verdict.NO_DATA, "no data for accuracy"),
        ("promotion", Verdict.NO_DATA, "no data for promotion"),
        ("sample_ratio", Verdict.FAIL, "sample_ratio"),
        ("promotion", Verdict.INCONCLUSIVE, "do not prove"),
    ],
)
def test_without_evidence_a_person_is_called(gate: str, verdict: Verdict, says_why: str) -> None:
    """No data and a disturbed ratio neither pass nor fail: they hold."""
    told = baked()
    told.happens(word(gate, verdict))
    assert stops(told) == []
    held = due(told, 2 * HOUR_MS)
    assert isinstance(held, events.StageHeld)
    assert says_why in held.reason


def test_nothing_proved_for_too_long_is_inconclusive_and_late_proof_ends_the_wait() -> None:
    """The stage holds after its longest wait; when the gate passes after all, so does the stage."""
    told = baked(max_wait="2h")
    assert due(told, 4 * HOUR_MS) is None
    held = due(told, 4 * HOUR_MS + 1)
    assert isinstance(held, events.StageHeld)
    assert "inconclusive" in held.reason
    told.happens(held)
    assert due(told, 5 * HOUR_MS) is None
    told.happens(word("promotion", Verdict.PASS))
    assert isinstance(due(told, 5 * HOUR_MS), events.StagePassed)


def test_an_approval_is_a_person_s_whatever_the_gates_prove() -> None:
    """A stage with approval waits after its bake, and the gates cannot pass it."""
    stages = [
        {"name": "canary", "percent": 25, "bake": "1h", "approval": True},
        {"name": "all", "percent": 100},
    ]
    told = baked(stages=stages)
    told.happens(word("promotion", Verdict.PASS))
    held = due(told, 2 * HOUR_MS)
    assert isinstance(held, events.StageHeld)
    told.happens(held)
    assert due(told, 9 * HOUR_MS) is None


def test_a_failing_gate_stops_the_rollout_also_while_it_waits_for_a_person() -> None:
    """The pause comes in every phase of a stage, alone; the plan may send the carts back after it."""
    told = baked()
    told.happens(events.StageHeld(at_ms=11, stage=0, reason="waits"))
    told.happens(word("errors", Verdict.FAIL, at_ms=12))
    assert kinds(stops(told)) == ["Paused"]
    strict = baked(on_fail="roll_back")
    strict.happens(word("errors", Verdict.FAIL, at_ms=12))
    assert kinds(stops(strict)) == ["Paused", "RollbackStarted"]


def test_a_shadow_gate_stops_nobody() -> None:
    """It says SHADOW where it would have failed."""
    told = baked()
    told.happens(word("latency", Verdict.SHADOW))
    assert stops(told) == []


def test_what_a_person_acknowledged_does_not_stop_it_again_and_does_not_let_it_pass_by_itself() -> None:
    """After a resume the same FAIL is quiet, the stage cannot pass alone, and a new FAIL stops again."""
    told = baked()
    told.happens(word("accuracy", Verdict.FAIL, at_ms=12), word("promotion", Verdict.PASS, at_ms=12))
    told.happens(*stops(told))
    told.happens(events.Resumed(at_ms=30, actor="olga", reason="a known fault of the scanner"))
    assert stops(told) == []
    held = due(told, 3 * HOUR_MS)
    assert isinstance(held, events.StageHeld)
    told.happens(word("errors", Verdict.FAIL, at_ms=40))
    assert kinds(stops(told)) == ["Paused"]


def test_gates_that_fire_on_yesterday_s_data_are_not_armed() -> None:
    """A FAIL of the replay stops the rollout before its first stage, until a person says go on."""
    told = Told(plan()).start()
    assert of_stages.needs_arming(told.rollout)
    told.happens(word("replay", Verdict.FAIL))
    assert not of_stages.needs_arming(told.rollout)
    assert kinds(stops(told)) == ["Paused"]
    told.happens(*stops(told), events.Resumed(at_ms=30, actor="olga", reason="holiday yesterday"))
    assert stops(told) == []
    assert of_stages.next_stage(told.rollout) == 0


def test_too_many_failed_installs_stop_it_once() -> None:
    """Half of the carts failing is over a fifth; after a resume only another failure counts."""
    told = begun(device={"retries": 0})
    told.happens(says(FIRST, DeviceState.ROLLED_BACK, step=1))
    assert kinds(stops(told)) == ["Paused"]
    told.happens(*stops(told), events.Resumed(at_ms=30, actor="olga", reason="that cart has a broken disk"))
    assert stops(told) == []
    told.happens(says(SECOND, DeviceState.ROLLED_BACK, step=1))
    assert kinds(stops(told)) == ["Paused"]


def test_the_last_stage_has_nobody_to_be_compared_with_and_passes_on_its_bake() -> None:
    """Without controls the bake is enough, unless a gate fails."""
    told = baked()
    assert isinstance(due(told, 2 * HOUR_MS, has_controls=False), events.StagePassed)
    told.happens(word("accuracy", Verdict.FAIL))
    assert isinstance(due(told, 2 * HOUR_MS, has_controls=False), events.StageHeld)


def test_carts_are_told_when_online_so_many_at_a_time() -> None:
    """Offline carts wait, and the rate is kept."""
    told = Told(plan()).start().stage(0, (FIRST, SECOND, "s002-c01"))
    fleet = sightings()
    fleet[SECOND] = replace(fleet[SECOND], online=False)
    told_now = of_stages.orders(told.rollout, told.carts.values(), fleet, {}, now_ms=5, room=9)
    assert [event.carts for event in told_now if isinstance(event, events.CartsTold)] == [(FIRST, "s002-c01")]
    assert not list(of_stages.orders(told.rollout, told.carts.values(), fleet, {}, now_ms=5, room=0))


def test_carts_are_told_in_their_store_s_own_night() -> None:
    """Athens is told at 20:30 UTC in summer with the end of its window, Lisbon is not."""
    told = Told(plan(windows=[{"start": "23:00", "end": "05:00"}])).start().stage(0, (FIRST, "s002-c01"))
    zones = {"s001": ZoneInfo("Europe/Athens"), "s002": ZoneInfo("Europe/Lisbon")}
    now_ms = _ms("2026-07-01T20:30")
    (order,) = of_stages.orders(told.rollout, told.carts.values(), sightings(), zones, now_ms=now_ms, room=9)
    assert isinstance(order, events.CartsTold)
    assert order.carts == (FIRST,)
    assert order.not_after_ms == _ms("2026-07-02T02:00")


def test_a_cart_out_of_reach_leaves_and_comes_back_and_a_late_one_times_out() -> None:
    """Offline for an hour is out of reach; online and silent for longer than its time is late."""
    told = begun(device={"timeout": "30m", "unreachable": "1h"})
    fleet = sightings()
    fleet[FIRST] = replace(fleet[FIRST], online=False, since_ms=0)
    now_ms = 2 * HOUR_MS
    overdue = list(of_carts.overdue(told.rollout, told.carts.values(), fleet, now_ms))
    assert kinds(overdue) == ["CartUnreachable", "CartTimedOut"]
    told.happens(*overdue)
    fleet[FIRST] = replace(fleet[FIRST], online=True)
    assert kinds(of_carts.overdue(told.rollout, told.carts.values(), fleet, now_ms)) == ["CartBack"]


def test_a_pause_stops_the_clock_of_carts_on_their_way() -> None:
    """Nobody is late while it is paused, and after it everybody has the whole time again."""
    told = begun(device={"timeout": "30m"})
    told.happens(events.Paused(at_ms=1, actor="olga"))
    fleet = sightings()
    assert not list(of_carts.overdue(told.rollout, told.carts.values(), fleet, 9 * HOUR_MS))
    told.happens(events.Resumed(at_ms=9 * HOUR_MS, actor="olga"))
    assert not list(of_carts.overdue(told.rollout, told.carts.values(), fleet, 9 * HOUR_MS + 1))


def test_a_cart_that_moved_to_another_store_is_taken_out() -> None:
    """It is no longer what was drawn."""
    told = begun()
    fleet = sightings()
    fleet[FIRST] = replace(fleet[FIRST], store="s002")
    told.happens(*of_carts.overdue(told.rollout, told.carts.values(), fleet, 5))
    assert told.carts[FIRST].status is CartStatus.EXCLUDED


def test_windows_from_before_a_cart_was_told_prove_nothing() -> None:
    """Old telemetry neither proves nor refutes."""
    told = begun()
    told.happens(says(FIRST, DeviceState.COMMITTED, step=1))
    told.carts[FIRST] = replace(told.carts[FIRST], told_ms=100)
    old = {FIRST: Proof(MODEL, windows=9, inferences=9, last_ms=99)}
    new = {FIRST: Proof(MODEL, windows=2, inferences=9, last_ms=101)}
    assert not list(of_carts.shown(told.rollout, told.carts.values(), old, 200))
    assert kinds(of_carts.shown(told.rollout, told.carts.values(), new, 200)) == ["CartSeen"]


def test_a_rollback_ends_when_everybody_is_back_and_says_who_is_not() -> None:
    """Carts are called back, a late one is named, and the rollout ends."""
    told = begun().done(FIRST)
    told.happens(events.RollbackStarted(at_ms=1, actor="olga", reason="hurts"))
    told.happens(*of_stages.recalls(told.rollout, told.carts.values(), 2))
    assert not list(of_stages.recalls(told.rollout, told.carts.values(), 3))
    back = Proof(BASELINE, windows=1, inferences=0, last_ms=9)
    told.happens(*of_carts.shown(told.rollout, told.carts.values(), {FIRST: back}, 10))
    told.happens(events.CartTimedOut(at_ms=11, cart=SECOND))
    told.happens(*of_stages.recalls(told.rollout, told.carts.values(), 12))
    assert told.rollout.status is RolloutStatus.ROLLED_BACK
    assert "1 cart did not" in told.rollout.why


def test_the_tail_stage_bakes_as_the_last_planned_stage_did() -> None:
    """Nobody wrote a plan for late joiners."""
    told = Told(plan())
    assert of_stages.stage_plan(told.rollout, 3).bake_s == told.rollout.plan.stages[2].bake_s
    assert told.rollout.stages[3].status is StageStatus.WAITING


def test_a_stage_that_waited_for_its_carts_bakes_when_they_are_there() -> None:
    """Nobody has to skip its gates for that."""
    told = begun()
    held = due(told, 25 * HOUR_MS)
    assert isinstance(held, events.StageHeld)
    told.happens(held)
    assert due(told, 26 * HOUR_MS) is None
    told.done(FIRST, SECOND)
    bakes = due(told, 27 * HOUR_MS)
    assert isinstance(bakes, events.StageBaking)
    told.happens(bakes)
    assert told.rollout.stages[0].baking_ms == 27 * HOUR_MS


def test_a_pause_stops_the_clock_of_a_stage_that_installs() -> None:
    """After a long pause it has its whole time again."""
    told = begun()
    told.happens(events.Paused(at_ms=1, actor="olga"), events.Resumed(at_ms=30 * HOUR_MS, actor="olga"))
    assert due(told, 40 * HOUR_MS) is None


def test_gates_that_see_nothing_of_a_later_stage_do_not_promote_it() -> None:
    """Proof of the first stage holds on only while the gates count what the next one does."""
    told = baked()
    told.happens(word("promotion", Verdict.PASS))
    over_ms = 2 * HOUR_MS
    assert of_stages.progress(told.rollout, over_ms, has_controls=True, counted_ms=over_ms - 1) is None
    told.happens(word("errors", Verdict.NO_DATA))
    assert isinstance(due(told, over_ms), events.StageHeld)


def test_failures_that_recovered_do_not_excuse_new_ones() -> None:
    """Two acknowledged regressions that are done again leave room for none."""
    told = begun(device={"retries": 0}).done(FIRST, SECOND)
    told.happens(events.CartSeen(at_ms=1, cart=FIRST, running=BASELINE, windows=1, inferences=1))
    told.happens(*stops(told), events.Resumed(at_ms=30, actor="olga", reason="known"))
    told.happens(events.CartSeen(at_ms=31, cart=FIRST, running=MODEL, windows=3, inferences=1))
    told.happens(events.CartSeen(at_ms=32, cart=SECOND, running=BASELINE, windows=1, inferences=1))
    assert kinds(stops(told)) == ["Paused"]


def test_without_a_known_time_zone_nobody_is_told_at_night() -> None:
    """Whose night it is cannot be guessed."""
    told = Told(plan(windows=[{"start": "00:00", "end": "23:59"}])).start().stage(0, (FIRST,))
    assert not list(
        of_stages.orders(told.rollout, told.carts.values(), sightings(), {}, now_ms=5 * HOUR_MS, room=9)
    )
