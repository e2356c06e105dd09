"""What happens to a rollout, told event by event."""

from collections import Counter
from dataclasses import astuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet_control.rollouts import events
from fleet_control.rollouts.cart_steps import standing
from fleet_control.rollouts.events import AnyEvent, decode_event, encode_event
from fleet_control.rollouts.reducer import create, reduce
from fleet_control.rollouts.rollout import CartRecord, Rollout, TellCart, TellPermit
from fleet_control.rollouts.states import CartStatus, DeviceState, RolloutStatus, StageStatus, Verdict
from tests.fleet_control.rollouts.worlds import BASELINE, MODEL, Told, cart_ids, plan, says, sightings

FIRST, SECOND = "s001-c01", "s001-c02"


def begun(**changes: object) -> Told:
    """Return a rollout whose first stage has two carts that were told."""
    return Told(plan(**changes)).start().stage(0, (FIRST, SECOND)).tell(FIRST, SECOND)


def test_a_cart_that_says_committed_is_done_only_when_its_telemetry_shows_it() -> None:
    """A cart's word moves it to PROVING; two windows with the digest and inferences make it DONE."""
    told = begun()
    told.happens(says(FIRST, DeviceState.COMMITTED, step=0))
    assert told.carts[FIRST].status is CartStatus.PROVING
    told.happens(events.CartSeen(at_ms=1, cart=FIRST, running=BASELINE, windows=5, inferences=50))
    assert told.carts[FIRST].status is CartStatus.PROVING
    told.happens(events.CartSeen(at_ms=2, cart=FIRST, running=MODEL, windows=5, inferences=0))
    assert told.carts[FIRST].status is CartStatus.PROVING
    told.happens(events.CartSeen(at_ms=3, cart=FIRST, running=MODEL, windows=2, inferences=7))
    assert told.carts[FIRST].status is CartStatus.DONE
    assert told.rollout.stages[0].tally == {CartStatus.TOLD: 1, CartStatus.DONE: 1}


def test_a_lost_report_never_matters_because_telemetry_proves() -> None:
    """A cart whose COMMITTED got lost is done after many windows that carry the digest."""
    told = begun()
    told.happens(events.CartSeen(at_ms=1, cart=FIRST, running=MODEL, windows=3, inferences=9))
    assert told.carts[FIRST].status is CartStatus.TOLD
    told.happens(events.CartSeen(at_ms=2, cart=FIRST, running=MODEL, windows=10, inferences=9))
    assert told.carts[FIRST].status is CartStatus.DONE


def test_a_done_cart_that_shows_the_old_model_is_regressed_and_done_again_when_it_recovers() -> None:
    """The old digest reopens the cart; the new one closes it again."""
    told = begun().done(FIRST)
    told.happens(events.CartSeen(at_ms=1, cart=FIRST, running=BASELINE, windows=1, inferences=1))
    assert told.carts[FIRST].status is CartStatus.REGRESSED
    assert BASELINE in told.carts[FIRST].why
    told.happens(events.CartSeen(at_ms=2, cart=FIRST, running=MODEL, windows=2, inferences=1))
    assert told.carts[FIRST].status is CartStatus.DONE


def test_late_and_doubled_reports_change_nothing() -> None:
    """A step that was passed, a step of another try and a step said twice are ignored."""
    told = begun()
    told.happens(says(FIRST, DeviceState.BUILDING, step=3))
    before = told.carts[FIRST]
    assert told.happens(says(FIRST, DeviceState.FETCHING, step=2))
    assert told.happens(says(FIRST, DeviceState.BUILDING, step=3))
    assert told.happens(says(FIRST, DeviceState.COMMITTED, step=4, attempt=2))
    assert told.carts[FIRST] == before


def test_a_late_installing_never_overwrites_success() -> None:
    """After DONE only a rollback of the same try counts, and only as a regression."""
    told = begun().done(FIRST)
    told.happens(says(FIRST, DeviceState.BUILDING, step=10))
    assert told.carts[FIRST].status is CartStatus.DONE
    told.happens(says(FIRST, DeviceState.ROLLED_BACK, step=11, why="engine not finite"))
    assert told.carts[FIRST].status is CartStatus.REGRESSED


def test_a_cart_tries_again_until_its_tries_are_used_up() -> None:
    """With two retries a cart waits twice and fails the third time, with its own words."""
    told = begun(device={"retries": 2})
    for attempt in (1, 2):
        told.happens(says(FIRST, DeviceState.ROLLED_BACK, step=1, attempt=attempt))
        assert told.carts[FIRST].status is CartStatus.WAITING
        told.tell(FIRST)
    told.happens(says(FIRST, DeviceState.ROLLED_BACK, step=1, attempt=3, why="parity: 3 of 8 frames"))
    assert told.carts[FIRST].status is CartStatus.FAILED
    assert told.carts[FIRST].why == "parity: 3 of 8 frames"
    told.happens(events.RetryAsked(at_ms=5, carts=(FIRST,)))
    assert (told.carts[FIRST].status, told.carts[FIRST].allowed) == (CartStatus.WAITING, 6)


def test_a_pause_goes_out_first_and_no_cart_is_told_until_it_is_resumed() -> None:
    """The permit of a pause has a higher generation, and orders are refused meanwhile."""
    told = begun()
    generation = told.rollout.generation
    told.effects.clear()
    told.happens(events.Paused(at_ms=1, actor="olga", reason="complaints"))
    assert told.effects[0] == TellPermit("paused", generation + 1)
    told.happens(says(FIRST, DeviceState.ROLLED_BACK, step=1))
    assert "paused" in told.happens(events.CartsTold(at_ms=2, carts=(FIRST,)))
    told.happens(events.Resumed(at_ms=3, actor="olga"))
    assert told.happens(events.CartsTold(at_ms=4, carts=(FIRST,))) == ""


def test_a_pause_is_newer_than_all_that_was_said_before_the_clock_says_now() -> None:
    """A database from last night's backup does not know how often carts were told since."""
    told = begun()
    told.happens(events.Paused(at_ms=1_800_000_000_000, actor="olga", reason="complaints"))
    assert told.rollout.generation >= 1_800_000_000_000
    told.happens(events.Resumed(at_ms=5, actor="olga"))
    assert told.rollout.generation == 1_800_000_000_001


def test_an_automatic_pause_fails_the_stage_and_a_person_reopens_it() -> None:
    """The stage shows that a gate stopped it, and goes on where it was after a resume."""
    told = begun().done(FIRST, SECOND)
    told.happens(events.StageBaking(at_ms=1, stage=0))
    told.happens(events.Paused(at_ms=2, automatic=True, reason="stopped by the gate of accuracy"))
    statuses = [told.rollout.stages[0].status]
    told.happens(events.Resumed(at_ms=3, actor="olga", reason="seen"))
    statuses.append(told.rollout.stages[0].status)
    assert statuses == [StageStatus.FAILED, StageStatus.BAKING]
    assert told.rollout.acknowledged_ms == 3


def test_stages_begin_in_order_and_never_empty() -> None:
    """A stage out of turn, before the last has passed, or without carts is refused."""
    told = Told(plan()).start()
    assert told.happens(events.StageStarted(at_ms=1, stage=1, carts=(FIRST,)))
    assert told.happens(events.StageStarted(at_ms=1, stage=0, carts=("nobody",)))
    told.stage(0, (FIRST,))
    assert told.happens(events.StageStarted(at_ms=1, stage=1, carts=(SECOND,)))
    assert told.rollout.pool == 7


def test_a_rollback_calls_back_whoever_may_run_the_model_and_leaves_the_others_alone() -> None:
    """Carts that were told go back, carts of the pool are not bothered, and orders need no permit."""
    told = begun().done(FIRST)
    told.happens(events.RollbackStarted(at_ms=1, actor="olga", reason="hurts"))
    told.effects.clear()
    told.happens(events.CartsRecalled(at_ms=2, carts=(FIRST, SECOND, "s002-c01")))
    assert [e for e in told.effects if isinstance(e, TellCart)] == [
        TellCart("s001", FIRST, BASELINE, 0),
        TellCart("s001", SECOND, BASELINE, 0),
    ]
    told.happens(events.CartSeen(at_ms=3, cart=FIRST, running=BASELINE, windows=1, inferences=0))
    assert told.carts[FIRST].status is CartStatus.REVERTED
    assert told.carts["s002-c01"].status is CartStatus.POOL


def test_a_cart_that_did_not_go_back_in_time_is_told_once_more_while_the_rollout_goes_back() -> None:
    """A retry tells it again, with a fresh time; carts that are on their way back are left alone."""
    told = begun().done(FIRST)
    told.happens(
        events.RollbackStarted(at_ms=1, actor="olga", reason="hurts"),
        events.CartsRecalled(at_ms=2, carts=(FIRST, SECOND)),
        events.CartTimedOut(at_ms=3, cart=FIRST),
    )
    assert told.carts[FIRST].status is CartStatus.REVERT_FAILED
    told.effects.clear()
    told.happens(events.RetryAsked(at_ms=4, actor="olga", carts=(FIRST, SECOND)))
    assert [e for e in told.effects if isinstance(e, TellCart)] == [TellCart("s001", FIRST, BASELINE, 0)]
    assert (told.carts[FIRST].status, told.carts[FIRST].told_ms) == (CartStatus.REVERTING, 4)
    assert told.carts[SECOND].told_ms == 2


def test_why_it_went_back_is_still_known_when_it_is_back() -> None:
    """The reason of the rollback stays, and what went wrong on the way is added."""
    for said, known in (("", "hurts"), ("2 carts did not go back", "hurts; 2 carts did not go back")):
        told = begun()
        told.happens(
            events.RollbackStarted(at_ms=1, actor="olga", reason="hurts"),
            events.Finished(at_ms=2, outcome="rolled_back", reason=said),
        )
        assert told.rollout.why == known


def test_a_stage_that_is_left_says_so() -> None:
    """After a rollback or an abort nobody reads that it still installs; what a gate stopped stays failed."""
    for leaves in (
        events.RollbackStarted(at_ms=5, actor="olga", reason="hurts"),
        events.Aborted(at_ms=5, actor="olga", reason="hurts"),
    ):
        told = begun()
        told.happens(leaves)
        stage = told.rollout.stages[0]
        assert (stage.status, stage.why, stage.ended_ms) == (StageStatus.STOPPED, "hurts", 5)
        assert told.rollout.stages[1].status is StageStatus.WAITING
    failed = begun()
    failed.happens(events.Paused(at_ms=1, reason="a gate", automatic=True))
    failed.happens(events.RollbackStarted(at_ms=2))
    assert (failed.rollout.stages[0].status, failed.rollout.stages[0].why) == (StageStatus.FAILED, "a gate")


def test_an_abort_that_keeps_takes_the_order_back_from_carts_on_their_way() -> None:
    """Done carts keep the model; carts that were only told get the baseline as their retained order."""
    told = begun().done(FIRST)
    told.effects.clear()
    told.happens(events.Aborted(at_ms=1, actor="olga", reason="no longer wanted"))
    assert [e for e in told.effects if isinstance(e, TellCart)] == [TellCart("s001", SECOND, BASELINE, 0)]
    assert told.rollout.status is RolloutStatus.ABORTED


def test_unreachable_carts_leave_the_denominator_openly_and_come_back_where_they_were() -> None:
    """An offline cart is counted apart, and its time-out starts anew when it is back."""
    told = begun()
    told.happens(events.CartUnreachable(at_ms=50, cart=FIRST))
    assert told.rollout.stages[0].counted == 1
    assert told.rollout.stages[0].tally[CartStatus.UNREACHABLE] == 1
    told.happens(events.CartBack(at_ms=90, cart=FIRST))
    assert (told.carts[FIRST].status, told.carts[FIRST].told_ms) == (CartStatus.TOLD, 90)


def test_final_is_final() -> None:
    """Nothing happens to a rollout that has ended."""
    told = begun()
    told.happens(events.Aborted(at_ms=1, actor="olga", reason="enough"))
    version = told.rollout.version
    assert "final" in told.happens(events.Resumed(at_ms=2, actor="olga")) or told.rollout.status.final
    assert told.happens(says(FIRST, DeviceState.COMMITTED, step=5))
    assert told.rollout.version == version


def test_late_joiners_get_the_tail_stage() -> None:
    """Carts that came after the start are added to the rollout by its last stage."""
    told = Told(plan(stages=[{"name": "all", "percent": 100, "bake": "0s"}])).start()
    everyone = tuple(cart for _, cart in cart_ids())
    told.stage(0, everyone).tell(*everyone).done(*everyone)
    told.happens(events.StageBaking(at_ms=1, stage=0), events.StagePassed(at_ms=2, stage=0, by="gates"))
    late = events.Candidate("s002", "s002-c99", "jetson")
    told.happens(events.StageStarted(at_ms=3, stage=1, carts=("s002-c99",), joined=(late,)))
    assert told.carts["s002-c99"].status is CartStatus.WAITING
    assert told.rollout.stages[1].tally == {CartStatus.WAITING: 1}


CARTS = [cart for _, cart in cart_ids()]
_cart = st.sampled_from(CARTS)
_some = st.lists(_cart, max_size=5).map(tuple)
_at = st.integers(0, 10**6)
_index = st.integers(0, 4)


def _events() -> st.SearchStrategy[AnyEvent]:
    return st.one_of(
        st.builds(events.Approved, at_ms=_at),
        st.builds(
            events.StageStarted,
            at_ms=_at,
            stage=_index,
            carts=_some,
            pairs=st.lists(st.tuples(_cart, _cart), max_size=2).map(tuple),
        ),
        st.builds(events.StageSkipped, at_ms=_at, stage=_index),
        st.builds(events.CartsTold, at_ms=_at, carts=_some),
        st.builds(
            events.CartReported,
            at_ms=_at,
            cart=_cart,
            attempt=st.integers(0, 3),
            step=st.integers(0, 9),
            state=st.sampled_from(DeviceState),
            running=st.sampled_from([None, MODEL, BASELINE]),
        ),
        st.builds(
            events.CartSeen,
            at_ms=_at,
            cart=_cart,
            running=st.sampled_from([MODEL, BASELINE]),
            windows=st.integers(0, 12),
            inferences=st.integers(0, 3),
        ),
        st.builds(events.CartTimedOut, at_ms=_at, cart=_cart),
        st.builds(events.CartUnreachable, at_ms=_at, cart=_cart),
        st.builds(events.CartBack, at_ms=_at, cart=_cart),
        st.builds(events.CartExcluded, at_ms=_at, cart=_cart),
        st.builds(events.StageBaking, at_ms=_at, stage=_index),
        st.builds(events.StageHeld, at_ms=_at, stage=_index),
        st.builds(
            events.StagePassed, at_ms=_at, stage=_index, by=st.sampled_from(["gates", "approval", "early"])
        ),
        st.builds(
            events.VerdictGiven,
            at_ms=_at,
            stage=_index,
            gate=st.sampled_from(["accuracy", "promotion"]),
            verdict=st.sampled_from(Verdict),
        ),
        st.builds(events.Paused, at_ms=_at, automatic=st.booleans()),
        st.builds(events.Resumed, at_ms=_at),
        st.builds(events.RollbackStarted, at_ms=_at, abort=st.booleans()),
        st.builds(events.CartsRecalled, at_ms=_at, carts=_some),
        st.builds(events.RetryAsked, at_ms=_at, carts=_some),
        st.builds(
            events.Finished, at_ms=_at, outcome=st.sampled_from(["completed", "rolled_back", "aborted"])
        ),
    )


def _fold(log: list[AnyEvent]) -> tuple[Rollout, dict[str, CartRecord]]:
    first = log[0]
    assert isinstance(first, events.Created)
    rollout = create(first).rollout
    carts: dict[str, CartRecord] = {}
    for event in log[1:]:
        step = reduce(rollout, carts, event)
        assert step.ignored == ""
        rollout = step.rollout
        carts.update((cart.cart, cart) for cart in step.carts)
    return rollout, carts


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_events(), max_size=60))
def test_whatever_happens_in_whatever_order_the_rollout_stays_true(happening: list[AnyEvent]) -> None:
    """Tallies are the carts', final is final, generations rise, no order escapes a pause, the log is all."""
    told = Told(plan()).start()
    for event in happening:
        before, told_before = told.rollout, len(told.effects)
        told.happens(event)
        effects = told.effects[told_before:]
        _check_tallies(told)
        if before.status.final:
            assert told.rollout == before
        permits = [effect for effect in effects if isinstance(effect, TellPermit)]
        assert all(permit.generation > before.generation for permit in permits)
        assert not permits or effects[0] is permits[0]
        if told.rollout.status is not RolloutStatus.RUNNING:
            assert not any(isinstance(e, TellCart) and e.attempt > 0 for e in effects)
        assert told.rollout.version in (before.version, before.version + 1)
    # As it is stored, and as it is read again.
    log = [decode_event(encode_event(event)) for event in told.log]
    assert _fold(log) == (told.rollout, told.carts)


def _check_tallies(told: Told) -> None:
    for index, stage in enumerate(told.rollout.stages):
        counts = Counter(cart.status for cart in told.carts.values() if cart.stage == index)
        assert stage.tally == dict(counts)
    carts = told.carts.values()
    assert told.rollout.pool == sum(cart.status is CartStatus.POOL for cart in carts)
    each = [astuple(standing(cart, MODEL)) for cart in carts]
    assert astuple(told.rollout.standing) == tuple(map(sum, zip(*each, strict=True)))


@settings(max_examples=200)
@given(st.data())
def test_reports_that_come_twice_or_out_of_order_end_in_the_same_state(data: st.DataObject) -> None:
    """Any shuffle with duplicates of one try's reports that keeps the newest one ends as the newest says."""
    told = begun()
    states = [DeviceState.FETCHING, DeviceState.VERIFIED, DeviceState.BUILDING, DeviceState.COMMITTED]
    reports = [says(FIRST, state, step=index) for index, state in enumerate(states)]
    shuffled = data.draw(st.permutations(reports + data.draw(st.lists(st.sampled_from(reports), max_size=4))))
    told.happens(*shuffled)
    assert told.carts[FIRST].status is CartStatus.PROVING
    assert told.carts[FIRST].device is DeviceState.COMMITTED


def test_the_pool_is_the_target_as_it_was_at_the_start() -> None:
    """Every cart of the target begins as a control in the pool."""
    told = Told(plan()).start(fleet=sightings(3, 5))
    assert told.rollout.pool == len(told.carts) == 15
