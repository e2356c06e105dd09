"""Stories about the record of an update, and any order of what can happen to it."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from fleet_agent.updates.happened import (
    Asked,
    Booted,
    Disproved,
    Failed,
    GoesLive,
    Happened,
    Heard,
    Passed,
    Proved,
    Reached,
    TakenBack,
)
from fleet_agent.updates.lifecycle import MAX_BOOTS, MAX_PROVING_BOOTS, MOST_REMEMBERED, reduce
from fleet_agent.updates.record import WORKING, Record, RecordFile
from fleet_agent.updates.rules import due, permitted
from fleet_protocol.rollouts import Desired, Permit

T0 = 1_790_000_000_000
OLD, NEW, OTHER = ("a" * 64, "b" * 64, "c" * 64)
FOREVER = T0 + 10**12


def desired(generation: int = 1, model: str = NEW, rollout: str | None = "r1", **changes: object) -> Desired:
    """Return what the cloud asks for."""
    return Desired(
        generation=generation,
        model=model[:16],
        manifest=model,
        rollout=rollout,
        **changes,  # type: ignore[arg-type]
    )


def permit(generation: int = 1, state: str = "running", until: int = FOREVER, rollout: str = "r1") -> Permit:
    """Return a permit."""
    return Permit(rollout=rollout, generation=generation, state=state, until=until)  # type: ignore[arg-type]


def after(*happened: Happened, record: Record | None = None) -> Record:
    """Return the record after all of it."""
    record = record or Record()
    for one in happened:
        record = reduce(record, one)
    return record


def ask(order: Desired | None = None, running: str = OLD) -> Asked:
    """Return an order to a cart that runs the old model."""
    return Asked(order or desired(), running)


STAGED: list[Happened] = [ask(), Heard(permit()), *(Reached(state) for state in WORKING[1:])]
LIVE: list[Happened] = [*STAGED, GoesLive(T0, basket_open=False)]
COMMITTED: list[Happened] = [*LIVE, Proved()]


def test_the_way_of_a_good_model() -> None:
    """Each step is told once, and the try is over when the model is proved."""
    record = after(*COMMITTED)
    assert (record.state, record.step, record.ended) == ("COMMITTED", 7, {"r1": 1})


def test_an_old_order_is_no_order() -> None:
    """A lower or equal generation changes nothing, however it looks."""
    record = after(*STAGED)
    assert after(ask(desired(1, OTHER)), ask(desired(0, OTHER)), record=record) == record


def test_a_model_that_runs_already_is_committed_at_once() -> None:
    """Nothing is fetched; without a rollout the cart is idle, and the model is its baseline."""
    record = after(ask(running=NEW))
    assert (record.state, record.step) == ("COMMITTED", 1)
    idle = after(ask(desired(rollout=None), NEW))
    assert (idle.state, idle.baseline, due(idle, T0)) == ("IDLE", NEW, "nothing")


def test_back_to_the_baseline_needs_no_permit() -> None:
    """What is asked for without a rollout goes its whole way alone, and stays pinned."""
    record = after(*COMMITTED, ask(desired(2, OLD, rollout=None), NEW))
    assert (record.state, due(record, T0), record.pins) == ("FETCHING", "fetch", frozenset({OLD}))
    record = after(
        *(Reached(s) for s in WORKING[1:]), GoesLive(T0, basket_open=False), Proved(), record=record
    )
    assert (record.state, record.pins) == ("COMMITTED", frozenset({OLD}))


@pytest.mark.parametrize(
    ("heard", "work"),
    [
        ([], "wait"),
        ([permit(until=T0)], "wait"),
        ([permit(until=T0 + 1)], "switch"),
        ([permit(2, "paused"), permit(1)], "wait"),
        ([permit(1, "paused"), permit(2)], "switch"),
        ([permit(1), permit(1, "paused"), permit(1)], "wait"),
        ([permit(1, rollout="r2")], "wait"),
    ],
    ids=["none", "over", "just", "pause after", "resumed", "stricter", "of another"],
)
def test_what_a_permit_allows(heard: list[Permit], work: str) -> None:
    """Only a running permit of the rollout whose end has not come; the highest generation holds."""
    staged = replace(after(*STAGED), permits={})
    assert due(after(*map(Heard, heard), record=staged), T0) == work


def test_nothing_goes_live_while_somebody_shops_or_the_window_is_over() -> None:
    """The deciding thread's own look at basket and clock is the last word."""
    staged = after(ask(desired(not_after=T0 + 10)), *STAGED[1:])
    assert reduce(staged, GoesLive(T0, basket_open=True)) == staged
    assert reduce(staged, GoesLive(T0 + 10, basket_open=False)) == staged
    assert reduce(staged, GoesLive(T0 + 9, basket_open=False)).state == "PROBATION"


def test_a_new_night_renews_the_window_of_the_same_try() -> None:
    """A staged model keeps its place when the controller asks again with a later end."""
    staged = after(ask(desired(not_after=T0)), *STAGED[1:])
    assert due(staged, T0) == "wait"
    again = after(ask(desired(2, not_after=T0 + 10)), record=staged)
    assert (again.state, again.step, due(again, T0)) == ("STAGED", staged.step, "switch")


def test_an_ended_rollout_is_forgotten_until_it_is_live() -> None:
    """Downloads go; what is in probation is proved all the same, and a commit stays."""
    forgotten = after(*STAGED, Heard(permit(2, "ended")))
    assert (forgotten.state, forgotten.pins, forgotten.ended) == ("IDLE", frozenset(), {"r1": 1})
    proved = after(*LIVE, Heard(permit(2, "ended")), Proved())
    assert proved.state == "COMMITTED"
    assert after(Heard(permit(3, "ended")), record=proved).state == "COMMITTED"
    late = after(Heard(permit(5, "ended")), ask())
    assert (late.state, late.ended) == ("IDLE", {"r1": 1})


def test_a_model_that_proved_bad_needs_a_higher_attempt() -> None:
    """Another rollout of the same attempt does not bring it back; a lost report of it is told again."""
    bad = after(*LIVE, Disproved("failures", "blind"))
    assert (bad.state, bad.failing, bad.proved_bad, due(bad, T0)) == (
        "PROBATION",
        "failures: blind",
        NEW,
        "take_back",
    )
    back = reduce(bad, TakenBack())
    assert (back.state, back.reason, back.bad) == ("ROLLED_BACK", "failures: blind", {NEW: 1})
    again = after(ask(desired(2)), record=back)
    assert (again.state, again.reason, again.step) == ("ROLLED_BACK", "failures: blind", back.step + 1)
    elsewhere = after(ask(desired(3, rollout="r2")), record=back)
    assert (elsewhere.state, elsewhere.reason.partition(":")[0]) == ("ROLLED_BACK", "bad")
    assert after(ask(desired(4, attempt=2)), record=back).state == "FETCHING"


def test_a_failed_way_ends_the_try_and_says_why() -> None:
    """What the repository refuses says nothing about the model; what the gate refuses does."""
    refused = after(ask(), Failed("repository", "expired"))
    assert (refused.state, refused.reason, refused.bad) == ("ROLLED_BACK", "repository: expired", {})
    gate = after(*STAGED[:4], Failed("selftest", "it sees nothing"))
    assert gate.bad == {NEW: 1}


def test_nothing_else_begins_while_a_model_is_taken_back() -> None:
    """The order counts afterwards, whichever came first."""
    bad = after(*LIVE, Disproved("stuck", "hangs"))
    order = ask(desired(7, OTHER, rollout=None), NEW)
    assert reduce(bad, order) == bad
    back = after(TakenBack(), replace_running(order, OLD), record=bad)
    assert (back.state, back.target and back.target.manifest) == ("FETCHING", OTHER)


def replace_running(asked: Asked, running: str) -> Asked:
    """Return the same order to a cart that runs another model."""
    return Asked(asked.desired, running)


def test_time_runs_over_starts_but_not_over_pauses_and_wrong_clocks() -> None:
    """From the first reading; off-time by the time of day, unless that is absurd."""
    record = after(Passed(0, T0), ask(desired(timeout_s=100)), Heard(permit()), Passed(40_000, T0 + 40_000))
    assert record.spent_ms == 40_000
    assert after(Booted(OLD, OLD, T0 + 70_000), record=record).spent_ms == 70_000
    assert after(Booted(OLD, OLD, 0), record=record).spent_ms == 40_000
    assert after(Booted(OLD, OLD, T0 * 2), record=record).spent_ms == 40_000
    paused = after(Heard(permit(2, "paused")), Passed(10**9, T0 + 10**9), record=record)
    assert (paused.state, paused.spent_ms) == ("FETCHING", 40_000)
    late = after(Heard(permit(3)), Passed(60_000, T0), record=paused)
    assert (late.state, late.reason.partition(":")[0], late.bad) == ("ROLLED_BACK", "timeout", {})


def test_a_night_without_power_does_not_condemn_what_is_live() -> None:
    """In probation only time counts in which the cart ran."""
    live = after(Passed(0, T0), *LIVE)
    assert after(Booted(NEW, NEW, T0 + 8 * 3_600_000), record=live).failing == ""
    assert after(Passed(3_600_000, T0), record=live).failing.startswith("timeout")


def test_a_loop_of_starts_ends_the_try() -> None:
    """A try that never gets anywhere is given up, and the model with it."""
    record = after(ask(), Heard(permit()), *[Booted(OLD, OLD, T0)] * MAX_BOOTS)
    assert record.state == "FETCHING"
    looped = reduce(record, Booted(OLD, OLD, T0))
    assert (looped.state, looped.reason.partition(":")[0], looped.bad) == ("ROLLED_BACK", "loop", {NEW: 1})


def test_starts_in_probation_are_crashes() -> None:
    """A few are a flat battery; more, one after a hang, or one that passed over the model, are its fault."""
    live = after(*LIVE)
    few = after(*[Booted(NEW, NEW, T0)] * MAX_PROVING_BOOTS, record=live)
    assert (few.state, few.failing) == ("PROBATION", "")
    assert reduce(few, Booted(NEW, NEW, T0)).failing.startswith("crashes")
    assert reduce(live, Booted(NEW, NEW, T0, hung="decide")).failing == "stuck: decide hung"
    assert reduce(live, Booted(OLD, NEW, T0)).failing.startswith("boot")


def test_power_that_goes_around_the_switch() -> None:
    """The slots say whether it came about: before them the try goes on, after a taking back it is over."""
    live = after(*LIVE)
    assert reduce(live, Booted(OLD, OLD, T0)).state == "FETCHING"
    bad = reduce(live, Disproved("failures", "blind"))
    assert reduce(bad, Booted(OLD, OLD, T0)).state == "ROLLED_BACK"
    assert due(reduce(bad, Booted(NEW, NEW, T0)), T0) == "take_back"


def test_a_start_tells_again_where_the_cart_is() -> None:
    """A report may have been lost; telling it twice undoes nothing."""
    committed = after(*COMMITTED)
    again = after(Booted(NEW, NEW, T0), record=committed)
    assert (again.state, again.step) == ("COMMITTED", committed.step + 1)
    assert reduce(Record(), Booted(OLD, None, T0)) == Record(saved_ms=T0)


def test_memory_is_bounded_and_keeps_what_is_under_way() -> None:
    """A thousand rollouts elsewhere do not push out the permit that counts."""
    record = after(*STAGED, *(Heard(permit(rollout=f"x{i}")) for i in range(1000)))
    assert len(record.permits) == MOST_REMEMBERED
    assert due(record, T0) == "switch"


@given(st.permutations([permit(), *(permit(4, "ended", T0, f"x{i}") for i in range(2 * MOST_REMEMBERED))]))
def test_permits_of_the_past_push_out_none_that_holds(permits: list[Permit]) -> None:
    """A cart that connects hears those of all rollouts that ever were, and its order last."""
    record = after(*map(Heard, permits), ask())
    assert len(record.permits) == MOST_REMEMBERED
    assert due(record, T0) == "fetch"


def test_permits_that_ran_out_are_forgotten_before_those_that_hold() -> None:
    """Those of rollouts that nobody drives any more hold nothing up."""
    expired = [Heard(permit(until=T0, rollout=f"x{i}")) for i in range(MOST_REMEMBERED)]
    others = [Heard(permit(rollout=f"y{i}")) for i in range(MOST_REMEMBERED - 1)]
    record = after(Passed(0, T0), Heard(permit()), *expired, *others)
    assert set(record.permits) == {"r1", *(f"y{i}" for i in range(MOST_REMEMBERED - 1))}


def test_permits_of_rollouts_that_ended_elsewhere_write_nothing(tmp_path: Path) -> None:
    """Each connection brings them all again, and flash wears; one that ends what is remembered is written."""
    path = tmp_path / "record.json"
    file = RecordFile(path)
    for _ in range(2):
        for i in range(2 * MOST_REMEMBERED):
            file.save(reduce(file.record, Heard(permit(4, "ended", T0, f"x{i}"))))
    assert not path.exists()
    for heard in (permit(rollout="r2"), permit(2, "ended", rollout="r2")):
        file.save(reduce(file.record, Heard(heard)))
        assert RecordFile(path).record.permits["r2"].state == heard.state


class Life(RuleBasedStateMachine):
    """A cart to which anything happens in any order, beside a model of what it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.record = Record()
        self.now_ms = T0
        self.running, self.before = OLD, OLD
        self.steps: dict[tuple[object, ...], int] = {}
        self.ended: set[tuple[str, int]] = set()
        self.asked: list[Desired] = []
        self.strictest: dict[str, tuple[int, int, int]] = {}

    def happen(self, happened: Happened) -> None:
        """Take one step, and hold it to what is promised."""
        before = self.record
        self.record = after_ = reduce(before, happened)
        begun = before.target is None or after_.target is None or before.target.key != after_.target.key
        assert begun or after_.step >= before.step
        if not begun and after_.state != before.state:
            assert after_.step > before.step
        if after_.state in WORKING and after_.target and after_.target.rollout:
            assert (after_.target.rollout, after_.target.attempt) not in self.ended
        if before.state == "COMMITTED" and not begun:
            assert after_.state == "COMMITTED"
        if after_.target and after_.target.rollout and due(after_, self.now_ms) == "nothing":
            self.ended.add((after_.target.rollout, after_.target.attempt))

    @rule(
        generation=st.integers(0, 12),
        model=st.sampled_from([OLD, NEW, OTHER]),
        rollout=st.sampled_from([None, "r1", "r2"]),
        attempt=st.integers(1, 3),
        window=st.sampled_from([None, 5_000]),
    )
    def ask(self, generation: int, model: str, rollout: str | None, attempt: int, window: int | None) -> None:
        """Ask for a model."""
        order = desired(
            generation,
            model,
            rollout,
            attempt=attempt,
            not_after=None if window is None else self.now_ms + window,
            timeout_s=3_000,
        )
        self.asked.append(order)
        self.happen(Asked(order, self.running))

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        """Deliver an old order once more: it changes nothing."""
        before = self.record
        order = data.draw(st.sampled_from(self.asked))
        self.happen(Asked(order, self.running))
        assert order.generation > before.generation or self.record == before

    @rule(
        generation=st.integers(0, 8),
        state=st.sampled_from(["running", "running", "paused", "ended"]),
        lasts_ms=st.sampled_from([0, 5_000, 10**9]),
        rollout=st.sampled_from(["r1", "r2"]),
    )
    def permit(self, generation: int, state: str, lasts_ms: int, rollout: str) -> None:
        """Tell of a permit."""
        self.happen(Heard(permit(generation, state, self.now_ms + lasts_ms, rollout)))
        rank = (generation, ["running", "paused", "ended"].index(state), self.now_ms + lasts_ms)
        self.strictest[rollout] = max(rank, self.strictest.get(rollout, rank))

    @rule(seconds=st.sampled_from([1, 10, 1_000]))
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.now_ms += seconds * 1000
        self.happen(Passed(seconds * 1000, self.now_ms))

    @precondition(lambda self: due(self.record, self.now_ms) in ("fetch", "prepare"))
    @rule(good=st.sampled_from([True, True, True, False]))
    def work(self, good: bool) -> None:  # noqa: FBT001  # drawn
        """Take the next step towards a staged model, or fail."""
        at = WORKING.index(self.record.state)
        self.happen(Reached(WORKING[at + 1]) if good else Failed("selftest", "no"))

    @precondition(lambda self: due(self.record, self.now_ms) in ("fetch", "prepare"))
    @rule()
    def work_through(self) -> None:
        """Take all steps to a staged model."""
        for state in WORKING[WORKING.index(self.record.state) + 1 :]:
            self.happen(Reached(state))

    @precondition(lambda self: self.record.state == "STAGED")
    @rule(seconds=st.sampled_from([6, 10_000]))
    def wait_staged(self, seconds: int) -> None:
        """Let a permit or a window end while the model waits."""
        self.wait(seconds)

    @rule(basket_open=st.booleans())
    def go_live(self, basket_open: bool) -> None:  # noqa: FBT001  # drawn
        """Try to put the staged model live, whatever the state."""
        before, allowed = self.record, permitted(self.record, self.now_ms)
        self.happen(GoesLive(self.now_ms, basket_open))
        if self.record.state == "PROBATION" and before.state != "PROBATION":
            assert not basket_open
            assert allowed
            assert before.state == "STAGED"
            target = self.record.target
            assert target is not None
            if target.rollout is not None:
                _, strictness, until_ms = self.strictest[target.rollout]
                assert strictness == 0
                assert until_ms > self.now_ms
            assert target.not_after is None or self.now_ms < target.not_after
            self.before, self.running = self.running, target.manifest

    @precondition(lambda self: self.record.state == "PROBATION")
    @rule(good=st.booleans())
    def judge(self, good: bool) -> None:  # noqa: FBT001  # drawn
        """Prove what is live, or not."""
        self.happen(Proved() if good else Disproved("failures", "blind"))

    @precondition(lambda self: due(self.record, self.now_ms) == "take_back")
    @rule()
    def take_back(self) -> None:
        """Go back to the model before."""
        self.running = self.before
        self.happen(TakenBack())
        assert self.record.state == "ROLLED_BACK"

    @rule(seconds=st.sampled_from([0, 100]), lost_switch=st.booleans(), hung=st.sampled_from(["", "decide"]))
    def boot(self, seconds: int, lost_switch: bool, hung: str) -> None:  # noqa: FBT001  # drawn
        """Lose power; perhaps just before the slots were written."""
        self.now_ms += seconds * 1000
        live = self.record.state == "PROBATION" and not self.record.failing
        if live and lost_switch and self.record.proving_boots == 0:
            self.running = self.before
        self.happen(Booted(self.running, self.running, self.now_ms, hung))

    @invariant()
    def a_working_model_is_named(self) -> None:
        """What was live before is known, and a target under way is pinned."""
        assert self.running in (OLD, NEW, OTHER)
        target = self.record.target
        if target is not None and due(self.record, self.now_ms) != "nothing":
            assert target.manifest in self.record.pins


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
