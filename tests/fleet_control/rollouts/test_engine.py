"""Whole rollouts, on doubles and a clock that is turned by hand."""

import dataclasses
from collections.abc import Sequence

import pytest

from fleet_control.errors import (
    ActionRefusedError,
    BrokerRefusedError,
    CartsTakenError,
    FencedError,
    PlanError,
    ReusedKeyError,
    StaleVersionError,
    StoreError,
)
from fleet_control.rollouts.ports import Change, Command
from fleet_control.rollouts.reducer import create, reduce
from fleet_control.rollouts.rollout import CartRecord
from fleet_control.rollouts.states import (
    Action,
    CartStatus,
    DeviceState,
    Role,
    RolloutStatus,
    StageStatus,
    Verdict,
)
from fleet_protocol.rollouts import Desired, Permit
from tests.fleet_control.rollouts.scene import PLAN, Scene
from tests.fleet_control.rollouts.worlds import BASELINE, MODEL


def test_a_good_model_passes_its_stages_by_itself() -> None:
    """Canary, proof, all, done; every cart runs the model, and the log folds to the stored state."""
    scene = Scene()
    scene.create()
    scene.arm()
    scene.turn(5)
    assert scene.head.stages[0].tally == {CartStatus.DONE: 6}
    scene.says("promotion", Verdict.PASS)
    scene.turn(20, step_s=60)
    assert scene.turn(30, step_s=60).status is RolloutStatus.COMPLETED
    assert set(scene.model_of.values()) == {MODEL}
    assert len(scene.model_of) == 24
    _check_log(scene)


def _check_log(scene: Scene) -> None:
    """Fold the log and compare."""
    first, *rest = (entry.event for entry in scene.store.log("autumn", limit=100_000))
    rollout, carts = create(first).rollout, dict[str, CartRecord]()  # type: ignore[arg-type]
    for event in rest:
        step = reduce(rollout, carts, event)
        assert step.ignored == ""
        rollout = step.rollout
        carts.update((cart.cart, cart) for cart in step.carts)
    assert rollout == scene.head
    assert carts == scene.store.carts("autumn")


def test_a_bad_model_is_stopped_in_its_first_stage() -> None:
    """The accuracy gate fails: paused at once, most carts never told, and the permit says so."""
    scene = Scene()
    scene.create()
    scene.arm()
    scene.turn(5)
    scene.says("accuracy", Verdict.FAIL)
    head = scene.turn(1)
    assert head.status is RolloutStatus.PAUSED
    assert head.automatic
    assert head.pool == 18
    assert scene.fleet.permits()["autumn"].state == "paused"


def test_a_rollback_brings_every_cart_back_and_ends() -> None:
    """Carts that run the model go back, and telemetry has to show it."""
    scene = Scene()
    scene.create()
    scene.arm()
    scene.turn(5)
    scene.act(Action.ROLL_BACK)
    scene.turn(5)
    assert scene.head.status is RolloutStatus.ROLLED_BACK
    assert set(scene.model_of.values()) == {BASELINE}
    _check_log(scene)


def test_before_the_gates_are_tried_on_yesterday_no_cart_is_told() -> None:
    """The first stage waits for the replay."""
    scene = Scene()
    scene.create()
    scene.turn(5)
    assert scene.head.current is None
    assert scene.fleet.desired == {}


def test_a_pause_meets_a_stage_that_is_being_told() -> None:
    """After the pause not one more cart is told, and after the resume the rest are."""
    scene = Scene()
    scene.obeys = False
    scene.create(device={"rate_per_min": 2})
    scene.arm()
    scene.turn(2)
    assert len(scene.fleet.desired) == 2
    scene.act(Action.PAUSE)
    scene.turn(3, step_s=70)
    assert len(scene.fleet.desired) == 2
    assert isinstance(scene.fleet.told[-1], Permit)
    scene.act(Action.RESUME)
    scene.turn(3, step_s=70)
    assert len(scene.fleet.desired) == 6


def test_a_click_that_comes_twice_acts_once() -> None:
    """The same key twice is one pause; the same key for something else is a mistake that is named."""
    scene = Scene()
    scene.create()
    first = scene.act(Action.PAUSE, key="click")
    again = scene.act(Action.PAUSE, key="click")
    assert first.version == again.version
    with pytest.raises(ReusedKeyError):
        scene.act(Action.RESUME, key="click")


def test_who_looked_at_an_older_state_is_told_so() -> None:
    """An action that names the version it looked at is refused when the rollout has moved on."""
    scene = Scene()
    head = scene.create()
    scene.arm()
    scene.turn(3)
    command = Command("k", "olga", Role.OWNER, Action.PAUSE, "autumn", "", expected_version=head.version)
    with pytest.raises(StaleVersionError):
        scene.control.act(command)


def test_refusals_are_in_the_audit_log_with_their_reason() -> None:
    """Who asked for what, with which role, and why it was not done."""
    scene = Scene()
    scene.create()
    with pytest.raises(ActionRefusedError):
        scene.control.act(Command("k", "vera", Role.VIEWER, Action.PAUSE, "autumn", "I am worried"))
    newest = scene.store.audit()[0]
    assert (newest.actor, newest.role, newest.action) == ("vera", Role.VIEWER, Action.PAUSE)
    assert "role on call is needed" in newest.outcome


def test_a_cart_is_in_one_rollout_at_a_time() -> None:
    """A second rollout over the same carts is refused with their names, and goes once the first has ended."""
    scene = Scene()
    scene.create()
    with pytest.raises(CartsTakenError) as caught:
        scene.create(rollout="winter")
    assert len(caught.value.taken) == 24
    scene.act(Action.ABORT_KEEP)
    scene.create(rollout="winter")
    assert scene.store.head("winter").status is RolloutStatus.RUNNING


def test_two_plans_made_at_the_same_time_cannot_both_start() -> None:
    """What creation could not see, the database refuses at the start."""
    scene = Scene()
    scene.control.create(PLAN, key="a", actor="olga", role=Role.OWNER)
    scene.control.create({**PLAN, "rollout": "winter"}, key="b", actor="olga", role=Role.OWNER)
    scene.act(Action.START)
    with pytest.raises(CartsTakenError):
        scene.act(Action.START, rollout_id="winter")


def test_a_plan_that_does_not_fit_the_fleet_is_refused_before_anything_is_written() -> None:
    """Unknown models, stores and carts, and a stage without carts, each with a sentence."""
    scene = Scene()
    for changes, says in (
        ({"model": "c" * 16}, "not published"),
        ({"target": {"stores": ["s099"]}}, "stores without carts"),
        ({"target": {"carts": ["nobody"]}}, "unknown carts"),
        ({"stages": [{"name": "a", "carts": 24}, {"name": "b", "percent": 100}]}, "stage b has no carts"),
    ):
        with pytest.raises(PlanError, match=says):
            scene.create(**changes)
    assert scene.store.heads() == ()


def test_a_rollback_to_a_model_that_is_gone_is_refused_loudly_and_the_pause_stays() -> None:
    """Carts are not sent to something that they cannot fetch."""
    scene = Scene()
    scene.create()
    scene.arm()
    scene.turn(3)
    scene.act(Action.PAUSE)
    scene.shelf.gone.add(BASELINE)
    with pytest.raises(ActionRefusedError, match="cannot be fetched"):
        scene.act(Action.ROLL_BACK)
    assert scene.head.status is RolloutStatus.PAUSED


def test_an_offline_cart_is_told_when_it_is_back() -> None:
    """It waits, leaves the denominator, comes back, and gets the model in its stage."""
    scene = Scene()
    scene.obeys = False
    scene.create()
    scene.arm()
    scene.turn(2)
    members = [cart for cart, record in scene.store.carts("autumn").items() if record.stage == 0]
    lost = members[0]
    scene.offline(lost)
    scene.turn(2, step_s=4000)
    assert scene.store.carts("autumn")[lost].status is CartStatus.UNREACHABLE
    scene.online(lost)
    scene.obeys = True
    scene.turn(3)
    assert scene.store.carts("autumn")[lost].status is not CartStatus.UNREACHABLE


def test_carts_that_join_late_get_the_tail_stage() -> None:
    """A cart that was born after the start is told last."""
    scene = Scene()
    scene.create()
    scene.arm()
    scene.turn(5)
    scene.born(("s001", "s001-c77"))
    scene.says("promotion", Verdict.PASS)
    scene.turn(80, step_s=60)
    assert scene.head.status is RolloutStatus.COMPLETED
    assert scene.model_of["s001-c77"] == MODEL


def test_a_controller_that_lost_its_lease_writes_nothing() -> None:
    """The one that took over has a higher token; the old one is fenced out and says so."""
    scene = Scene()
    scene.create()
    scene.arm()
    old = scene.lease
    scene.now_ms += int(2e9)
    newer = scene.store.acquire("rollouts", "another", 10)
    assert newer is not None
    assert newer.token > old.token
    version = scene.head.version
    with pytest.raises(FencedError):
        scene.engine.run_pass(old)
    assert scene.head.version == version
    scene.engine.run_pass(newer)


def test_a_controller_that_starts_again_goes_on_where_the_other_was() -> None:
    """Nothing of a rollout lives in memory only."""
    scene = Scene()
    scene.create()
    scene.arm()
    scene.turn(2)
    before = scene.head
    scene.build()
    assert scene.turn(3).version >= before.version
    scene.says("promotion", Verdict.PASS)
    scene.turn(60, step_s=60)
    assert scene.head.status is RolloutStatus.COMPLETED


def test_a_broker_that_is_away_is_told_later_and_a_pause_goes_first() -> None:
    """What could not be told waits; then the newest permit alone is told, before all orders."""
    scene = Scene()
    scene.obeys = False
    scene.create()
    scene.arm()
    scene.fleet.refuses = 5
    scene.turn(2)
    scene.act(Action.PAUSE)
    scene.fleet.refuses = 0
    scene.turn(1)
    permits = [order for order in scene.fleet.told if isinstance(order, Permit)]
    assert [permit.state for permit in permits] == ["paused"]
    assert scene.fleet.told[: len(permits)] == permits


def test_a_permit_that_somebody_stale_overwrote_is_set_right() -> None:
    """The retained permit is what a cart reads that connects now, so it is looked at and told again."""
    scene = Scene()
    scene.create()
    scene.turn(1)
    scene.act(Action.PAUSE)
    scene.turn(1)
    assert scene.publisher.renew(scene.store.heads(open_only=True)) == 0
    scene.fleet.overwrite(Permit(rollout="autumn", generation=1, state="running", until=scene.now_ms * 2))
    assert scene.publisher.renew(scene.store.heads(open_only=True)) == 1
    assert scene.fleet.permits()["autumn"].state == "paused"


def test_a_webhook_that_fails_holds_nothing_up() -> None:
    """People are told best-effort; carts are told in any case."""
    scene = Scene()

    def broken(_rollout: str, _what: str, _text: str) -> None:
        raise RuntimeError("the receiver is on fire")

    scene.publisher._notify = broken
    scene.create()
    scene.turn(1)
    assert scene.fleet.permits()["autumn"].state == "running"
    assert scene.store.outbox() == ()


def test_late_reports_are_counted_as_ignored_and_change_nothing() -> None:
    """A report of a try that is over is not written into the log."""
    scene = Scene()
    ignored: list[str] = []
    scene.create()
    scene.engine._on_ignored = lambda _event, why: ignored.append(why)
    scene.arm()
    scene.turn(3)
    (where, desired), *_ = scene.fleet.desired.items()
    store, cart = where.split("/")
    version = scene.head.version
    scene.fleet.say(scene.report(store, cart, desired, DeviceState.FETCHING, step=0))
    scene.engine.run_pass(scene.lease)
    assert scene.head.version == version
    assert ignored == ["it changes no cart"]


def test_a_verdict_that_is_found_twice_does_not_stop_what_a_person_resumed() -> None:
    """The observer may look again before the engine has written; the same word is said once."""
    scene = Scene()
    scene.create()
    scene.arm()
    scene.turn(5)
    scene.says("accuracy", Verdict.FAIL)
    assert scene.turn(1).status is RolloutStatus.PAUSED
    scene.act(Action.RESUME)
    scene.says("accuracy", Verdict.FAIL)
    assert scene.turn(2).status is RolloutStatus.RUNNING
    scene.says("accuracy", Verdict.INCONCLUSIVE)
    scene.says("accuracy", Verdict.FAIL)
    assert scene.turn(2).status is RolloutStatus.PAUSED


def test_a_controller_that_does_not_know_the_fleet_yet_gives_nobody_up() -> None:
    """After a restart the broker tells what it retains late; until then nothing is concluded."""
    scene = Scene()
    scene.obeys = False
    scene.create(device={"rate_per_min": 2})
    scene.arm()
    scene.turn(3)
    before = scene.head.stages[0].tally
    known, scene.fleet._sightings = scene.fleet._sightings, {}
    scene.turn(2, step_s=1_900)
    assert scene.head.stages[0].tally == before
    scene.fleet._sightings = known
    scene.turn(1, step_s=61)
    assert len(scene.fleet.desired) == 4


def test_a_person_who_resumes_during_a_look_has_not_seen_what_it_finds() -> None:
    """A verdict counts from when it is written: a look that began before the resume still stops it."""
    scene = Scene()
    scene.create()
    scene.arm()
    scene.turn(5)
    scene.says("errors", Verdict.FAIL)
    scene.turn(1)
    scene.says("accuracy", Verdict.FAIL)
    scene.now_ms += 60_000
    scene.act(Action.RESUME)
    assert scene.turn(1).status is RolloutStatus.PAUSED


def test_reports_are_kept_while_the_database_is_away() -> None:
    """What a cart said counts when the database is back."""
    scene = Scene()
    scene.obeys = False
    scene.create()
    scene.arm()
    scene.turn(2)
    (where, desired), *_ = scene.fleet.desired.items()
    store, cart = where.split("/")
    scene.fleet.say(scene.report(store, cart, desired, DeviceState.STAGED))
    commit = scene.store.commit

    def away(change: Change) -> None:
        raise StoreError(f"away, with {len(change.events)} entries")

    scene.store.commit = away  # type: ignore[method-assign]
    scene.turn(1)
    scene.store.commit = commit  # type: ignore[method-assign]
    scene.turn(1)
    assert scene.store.carts("autumn")[cart].device is DeviceState.STAGED


def test_the_rollout_ends_only_when_no_cart_is_on_its_way() -> None:
    """Ninety percent are enough to bake, and the last ones are not left behind in silence."""
    scene = Scene()
    scene.create(stages=[{"name": "all", "percent": 100, "bake": "1m", "min_done_share": 0.5}])
    scene.arm()
    scene.obeys = False
    scene.turn(3)
    late = min(scene.fleet.desired)
    for where, desired in scene.fleet.desired.items():
        store, cart = where.split("/")
        if where != late:
            scene.model_of[cart] = desired.model
            scene.fleet.say(scene.report(store, cart, desired, DeviceState.COMMITTED))
    for _ in range(30):
        scene.prove()
        scene.turn(1, step_s=60)
    statuses = [scene.head.stages[0].status.value, scene.head.status.value]
    assert statuses == [StageStatus.PASSED.value, RolloutStatus.RUNNING.value]
    for _ in range(250):
        scene.prove()
        scene.turn(1, step_s=60)
    assert scene.head.status is RolloutStatus.COMPLETED
    assert scene.head.stages[0].tally[CartStatus.FAILED] == 1


def test_a_rollback_reaches_a_cart_that_moved_to_another_store() -> None:
    """It is out of the denominator, and may still run the model: it is told where it is now."""
    scene = Scene()
    scene.create()
    scene.arm()
    scene.turn(5)
    moved = next(name for name, cart in scene.store.carts("autumn").items() if cart.stage == 0)
    scene.fleet.see([dataclasses.replace(scene.fleet.carts()[moved], store="s099")])
    scene.turn(1)
    assert scene.store.carts("autumn")[moved].status is CartStatus.EXCLUDED
    scene.act(Action.ROLL_BACK)
    scene.turn(5)
    assert scene.head.status is RolloutStatus.ROLLED_BACK
    assert scene.fleet.desired[f"s099/{moved}"].model == BASELINE


def test_without_a_baseline_to_fetch_a_failing_gate_pauses_and_does_not_roll_back() -> None:
    """Carts are not sent to what they cannot get."""
    scene = Scene()
    scene.create(on_fail="roll_back")
    scene.arm()
    scene.turn(5)
    scene.engine._can_go_back = lambda _: False
    scene.says("accuracy", Verdict.FAIL)
    assert scene.turn(2).status is RolloutStatus.PAUSED
    scene.engine._can_go_back = lambda _: True


def test_an_order_that_the_broker_refuses_does_not_hold_up_the_others() -> None:
    """One cart's topic is forbidden: it runs out of time by name, and all others are told."""
    scene = Scene()
    scene.obeys = False
    scene.create()
    scene.arm()
    tell = scene.fleet.tell
    refused: list[str] = []

    def picky(orders: Sequence[tuple[str, Desired] | Permit], timeout_s: float) -> int:
        for order in orders:
            if not isinstance(order, Permit) and (not refused or order[0] == refused[0]):
                refused.append(order[0])
                raise BrokerRefusedError("mqtt://b", f"{order[0]}: not allowed")
        return tell(orders, timeout_s)

    scene.fleet.tell = picky  # type: ignore[method-assign]
    scene.turn(3)
    assert len(scene.fleet.desired) == 5
    assert refused[0] not in scene.fleet.desired
    assert scene.store.outbox() == ()
