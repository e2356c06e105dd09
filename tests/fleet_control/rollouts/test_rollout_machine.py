"""A rollout to which anything happens in any order, beside a model of what was promised.

Carts, people and the engine act as they would, and also late, twice, and after it is over. What is checked
after each step is what its owner relies on: a pause sticks, nobody is told without a permit, nobody is done
on their word, and no cart is forgotten on the way back.
"""

from collections.abc import Callable
from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fleet_control.rollouts import events
from fleet_control.rollouts.events import AnyEvent, decode_event, encode_event
from fleet_control.rollouts.reducer import create, reduce
from fleet_control.rollouts.rollout import CartRecord, TellCart, TellPermit
from fleet_control.rollouts.states import Action, CartStatus, DeviceState, RolloutStatus, StageStatus, Verdict
from tests.fleet_control.rollouts.worlds import BASELINE, MODEL, Told, cart_ids, plan

CARTS = [cart for _, cart in cart_ids()]
WAY = (DeviceState.FETCHING, DeviceState.VERIFIED, DeviceState.STAGED, DeviceState.PROBATION)
OUTCOMES: tuple[Literal["completed", "rolled_back"], ...] = ("completed", "rolled_back")
# Entries of the log after which a rollout may end: what ends at once shows nothing.
ENOUGH = 25
GOING = (StageStatus.INSTALLING, StageStatus.BAKING, StageStatus.HOLDING)
_cart = st.sampled_from(CARTS)
_carts = st.sets(_cart, min_size=1, max_size=4).map(lambda names: tuple(sorted(names)))


class Rolling(RuleBasedStateMachine):
    """The reducer, and what it promised."""

    def __init__(self) -> None:
        super().__init__()
        self.told = Told(plan(device={"retries": 1}))
        self.now_ms = 0
        self.permit = ""
        self.tries: dict[str, int] = {}
        self.last_order: dict[str, str] = {}
        self.shown: set[str] = set()
        self.reports: list[events.CartReported] = []

    def happen(self, event: AnyEvent) -> None:
        """Let one thing happen, and hold it to what is promised."""
        before, carts = self.told.rollout, dict(self.told.carts)
        from_effect = len(self.told.effects)
        ignored = self.told.happens(event)
        after, effects = self.told.rollout, self.told.effects[from_effect:]
        if ignored:
            assert (after, effects, self.told.carts) == (before, [], carts)
            return
        assert not before.status.final
        assert after.version == before.version + 1
        for effect in effects:
            self._heard(effect)
        moved = {name for name, cart in self.told.carts.items() if carts.get(name) != cart}
        for name in moved & carts.keys():
            self._moved(carts[name], self.told.carts[name], event)

    def _heard(self, effect: object) -> None:
        if isinstance(effect, TellPermit):
            assert effect.generation == self.told.rollout.generation
            self.permit = effect.state
        if isinstance(effect, TellCart):
            self.last_order[effect.cart] = effect.model
            if effect.attempt:
                # Between a pause and whoever resumes it, nobody is told to take the model.
                assert self.permit == "running"
                assert effect.attempt > self.tries.get(effect.cart, 0)
                self.tries[effect.cart] = effect.attempt
                self.shown.discard(effect.cart)

    def _moved(self, before: CartRecord, after: CartRecord, event: AnyEvent) -> None:
        assert after.attempt in (before.attempt, before.attempt + 1)
        assert after.attempt <= after.allowed
        if after.status is CartStatus.DONE and before.status is not CartStatus.DONE:
            # Also a cart that is back after it was unreachable: it had proved it before.
            assert after.cart in self.shown or before.before is CartStatus.DONE
        if before.stage is not None:
            assert after.stage == before.stage
        if isinstance(event, events.CartReported) and before.status is CartStatus.DONE:
            assert event.state is DeviceState.ROLLED_BACK or after.status is CartStatus.DONE

    @initialize()
    def begin(self) -> None:
        """Start it, with a stage whose carts were told: there the stories begin."""
        self.start_again()
        self.begin_stage(tuple(CARTS[:3]), 0, next_one=True)
        self.tell(tuple(CARTS[:3]))

    @rule()
    def start_again(self) -> None:
        """Start it: the second time changes nothing."""
        self.happen(Told(plan()).start().log[-1])

    @rule()
    def reach_the_next_stage(self) -> None:
        """Pass the stage, begin the next one with half of the carts that are left, and tell them."""
        index = self.told.rollout.current
        assert index is not None
        self.happen(events.StageBaking(at_ms=self.now_ms, stage=index))
        self.happen(events.StagePassed(at_ms=self.now_ms, stage=index, by="gates"))
        left = [name for name, cart in self.told.carts.items() if cart.status is CartStatus.POOL]
        some = tuple(left[: max(1, len(left) // 2)])
        self.happen(events.StageStarted(at_ms=self.now_ms, stage=index + 1, carts=some))
        if not left and index + 1 == len(self.told.rollout.stages) - 1:
            self.happen(events.StageSkipped(at_ms=self.now_ms, stage=index + 1))
        self.tell(some or tuple(CARTS))

    @rule(wanted=_carts, index=st.integers(0, 3), next_one=st.booleans())
    def begin_stage(self, wanted: tuple[str, ...], index: int, next_one: bool) -> None:  # noqa: FBT001  # drawn
        """Begin a stage, mostly the next one, with any carts."""
        current = self.told.rollout.current
        following = 0 if current is None else current + 1
        number = following if next_one else index
        self.happen(events.StageStarted(at_ms=self.now_ms, stage=number, carts=wanted))

    @rule(wanted=_carts)
    def tell(self, wanted: tuple[str, ...]) -> None:
        """Tell carts to take the model."""
        self.happen(events.CartsTold(at_ms=self.now_ms, carts=wanted))

    @rule(data=st.data(), state=st.sampled_from([*WAY, DeviceState.COMMITTED, DeviceState.ROLLED_BACK]))
    def report(self, data: st.DataObject, state: DeviceState) -> None:
        """Let a cart report a step of its newest try."""
        name = data.draw(st.sampled_from(sorted(self.tries)))
        cart = self.told.carts[name]
        runs = MODEL if state in (DeviceState.PROBATION, DeviceState.COMMITTED) else BASELINE
        report = events.CartReported(
            at_ms=self.now_ms,
            cart=name,
            attempt=cart.attempt,
            step=cart.step + data.draw(st.integers(1, 2)),
            state=state,
            running=runs,
        )
        self.reports.append(report)
        self.happen(report)

    @precondition(lambda self: self.reports)
    @rule(data=st.data())
    def report_again(self, data: st.DataObject) -> None:
        """Deliver an old report once more, in any order: it changes nothing."""
        report = data.draw(st.sampled_from(self.reports))
        before = self.told.rollout, dict(self.told.carts)
        cart = self.told.carts[report.cart]
        self.happen(report)
        old = report.attempt < cart.attempt or report.step <= cart.step
        assert not old or (self.told.rollout, self.told.carts) == before

    @rule(cart=_cart, model=st.sampled_from([MODEL, BASELINE]), windows=st.sampled_from([1, 2, 10]))
    def show(self, cart: str, model: str, windows: int) -> None:
        """Let telemetry show what a cart runs."""
        if model == MODEL:
            self.shown.add(cart)
        seen = events.CartSeen(at_ms=self.now_ms, cart=cart, running=model, windows=windows, inferences=5)
        self.happen(seen)

    @rule(data=st.data())
    def work_through(self, data: st.DataObject) -> None:
        """Let a cart take all steps and prove it."""
        name = data.draw(st.sampled_from(sorted(self.tries)))
        for state in (*WAY, DeviceState.COMMITTED):
            cart = self.told.carts[name]
            self.happen(
                events.CartReported(
                    at_ms=self.now_ms,
                    cart=name,
                    attempt=cart.attempt,
                    step=cart.step + 1,
                    state=state,
                    running=MODEL if state is DeviceState.COMMITTED else None,
                )
            )
        self.show(name, MODEL, 2)

    @rule(cart=_cart, what=st.sampled_from(["time", "lost", "back", "out"]))
    def happens_to(self, cart: str, what: str) -> None:
        """Let time run out for a cart, or let it vanish, come back, or be retired."""
        kinds: dict[str, Callable[..., AnyEvent]] = {
            "time": events.CartTimedOut,
            "lost": events.CartUnreachable,
            "back": events.CartBack,
            "out": events.CartExcluded,
        }
        self.happen(kinds[what](at_ms=self.now_ms, cart=cart))

    @rule(what=st.sampled_from([events.StageBaking, events.StageHeld, events.StagePassed]))
    def goes_on(self, what: type) -> None:
        """Let the stage take its next step, be it its turn or not."""
        extra = {"by": "early"} if what is events.StagePassed else {}
        self.happen(what(at_ms=self.now_ms, stage=self.told.rollout.current, **extra))

    @rule(verdict=st.sampled_from(Verdict))
    def judge(self, verdict: Verdict) -> None:
        """Let a gate speak."""
        self.happen(events.VerdictGiven(at_ms=self.now_ms, stage=0, gate="accuracy", verdict=verdict))

    @rule(automatic=st.booleans())
    def pause(self, automatic: bool) -> None:  # noqa: FBT001  # drawn
        """Pause it."""
        self.happen(events.Paused(at_ms=self.now_ms, automatic=automatic))

    @rule()
    def tell_everybody(self) -> None:
        """Tell all carts that wait."""
        self.tell(tuple(CARTS))

    @rule()
    def resume(self) -> None:
        """Go on."""
        self.happen(events.Resumed(at_ms=self.now_ms))

    @rule(wanted=_carts)
    def retry(self, wanted: tuple[str, ...]) -> None:
        """Give carts more tries."""
        self.happen(events.RetryAsked(at_ms=self.now_ms, carts=wanted))

    @precondition(lambda self: len(self.told.log) > ENOUGH)
    @rule(how=st.sampled_from([Action.ROLL_BACK, Action.ABORT_REVERT, Action.ABORT_KEEP]))
    def end(self, how: Action) -> None:
        """End it, one way or another, when something has happened."""
        if how is Action.ABORT_KEEP:
            self.happen(events.Aborted(at_ms=self.now_ms))
        else:
            self.happen(events.RollbackStarted(at_ms=self.now_ms, abort=how is Action.ABORT_REVERT))

    @rule(wanted=_carts, everybody=st.booleans())
    def recall(self, wanted: tuple[str, ...], everybody: bool) -> None:  # noqa: FBT001  # drawn
        """Call carts back."""
        self.happen(events.CartsRecalled(at_ms=self.now_ms, carts=tuple(CARTS) if everybody else wanted))

    @rule(outcome=st.sampled_from(OUTCOMES))
    def finish(self, outcome: Literal["completed", "rolled_back"]) -> None:
        """Let it be over, as the engine does when nothing is left to do."""
        carts = self.told.carts.values()
        waits = any(cart.status is CartStatus.REVERTING or _to_recall(cart) for cart in carts)
        if outcome == "completed" or not waits:
            self.happen(events.Finished(at_ms=self.now_ms, outcome=outcome))

    @precondition(lambda self: len(self.told.log) > ENOUGH)
    @rule(whole=st.booleans())
    def come_back(self, whole: bool) -> None:  # noqa: FBT001  # drawn
        """Go back, with everybody or with whoever does in time, and end."""
        self.happen(events.RollbackStarted(at_ms=self.now_ms))
        self.recall(tuple(CARTS), everybody=True)
        for cart in CARTS:
            self.show(cart, BASELINE, 1)
            if not whole:
                self.happens_to(cart, "time")
        self.finish("rolled_back")

    @precondition(lambda self: len(self.told.log) > ENOUGH)
    @rule()
    def reach_the_end(self) -> None:
        """Pass all stages, and end."""
        for _ in self.told.rollout.stages:
            self.reach_the_next_stage()
        self.finish("completed")

    @rule()
    def wait(self) -> None:
        """Let time pass."""
        self.now_ms += 1_000

    @invariant()
    def a_permit_says_what_the_status_says(self) -> None:
        """Carts may go on if, and only if, the rollout runs."""
        status = self.told.rollout.status
        assert (self.permit == "running") == (status is RolloutStatus.RUNNING)
        assert (self.permit == "ended") == status.final

    @invariant()
    def counts_are_the_carts(self) -> None:
        """Every count of the head is that of its carts."""
        rollout, carts = self.told.rollout, self.told.carts.values()
        for index, stage in enumerate(rollout.stages):
            for status in CartStatus:
                here = sum(cart.stage == index and cart.status is status for cart in carts)
                assert stage.tally.get(status, 0) == here
        assert rollout.pool == sum(cart.status is CartStatus.POOL for cart in carts)
        assert rollout.standing.live == sum(cart.running == MODEL for cart in carts)

    @invariant()
    def what_an_action_is_said_to_do_is_what_it_does(self) -> None:
        """As many carts are told by a rollback, or by an abort, as were counted before it."""
        rollout, carts = self.told.rollout, self.told.carts
        if rollout.status.final:
            return
        told = [e for e in reduce(rollout, carts, events.Aborted(at_ms=0)).effects if isinstance(e, TellCart)]
        assert len(told) == rollout.standing.under_way
        back = reduce(rollout, carts, events.RollbackStarted(at_ms=0)).rollout
        if back.status is RolloutStatus.ROLLING_BACK:
            step = reduce(back, carts, events.CartsRecalled(at_ms=0, carts=tuple(carts)))
            failed = rollout.count(CartStatus.REVERT_FAILED)
            assert len(step.carts) == rollout.standing.to_recall + failed

    @invariant()
    def nobody_is_forgotten_on_the_way_back(self) -> None:
        """Of a rollout that went back, whoever was ever told was told last to run the baseline."""
        rollout = self.told.rollout
        gone_back = rollout.status is RolloutStatus.ROLLED_BACK
        if gone_back:
            assert all(self.last_order[cart] == BASELINE for cart in self.tries)

    @invariant()
    def at_most_one_stage_goes_on(self) -> None:
        """Stages come one after the other."""
        going = [index for index, stage in enumerate(self.told.rollout.stages) if stage.status in GOING]
        assert going in ([], [self.told.rollout.current])

    def teardown(self) -> None:
        """What is stored is all there is: the log, read again, gives the same state."""
        log = [decode_event(encode_event(event)) for event in self.told.log]
        first = log[0]
        assert isinstance(first, events.Created)
        rollout, carts = create(first).rollout, dict[str, CartRecord]()
        for event in log[1:]:
            step = reduce(rollout, carts, event)
            rollout = step.rollout
            carts.update((cart.cart, cart) for cart in step.carts)
        assert (rollout, carts) == (self.told.rollout, self.told.carts)


def _to_recall(cart: CartRecord) -> bool:
    settled = (CartStatus.POOL, CartStatus.REVERTING, CartStatus.REVERTED, CartStatus.REVERT_FAILED)
    on_its_way = cart.status is CartStatus.UNREACHABLE and cart.before is CartStatus.REVERTING
    return cart.attempt > 0 and cart.status not in settled and not on_its_way


TestRolling = Rolling.TestCase
TestRolling.settings = settings(max_examples=150, stateful_step_count=60)
