"""From what carts did to verdicts, on a source in memory."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fleet_control.errors import WarehouseUnreachableError
from fleet_control.rollouts import events
from fleet_control.rollouts.events import VerdictGiven
from fleet_control.rollouts.gating.blocks import Block, Membership, Timing, blocks_of
from fleet_control.rollouts.gating.evidence import GateEvidence
from fleet_control.rollouts.gating.source import CartErrors, CartOutcomes
from fleet_control.rollouts.gating.source_memory import MemorySource
from fleet_control.rollouts.membership import draw_stage, population
from fleet_control.rollouts.observer import Evidence, Look
from fleet_control.rollouts.policy.stages import needs_arming
from fleet_control.rollouts.states import CartStatus, StageStatus, Verdict
from tests.fleet_control.rollouts.gate_worlds import gated_plan
from tests.fleet_control.rollouts.worlds import BASELINE, HOUR_MS, MODEL, Told, cart_ids, sightings

TIMING = Timing(block_s=60, label_lag_s=120, arrival_s=30, patience_s=1_800)
LAG_MS = TIMING.close_s * 1000
MINUTE_MS = 60_000
DAY_MS = 24 * HOUR_MS
# When the first stage begins.
BEGAN_MS = 1_800_000_000_000
FLEET = cart_ids(2, 24)


class Shop:
    """A rollout whose first stage bakes, the events of its carts, and the gates over them."""

    def __init__(self, *, seed: int = 1, loss: float = 0.0, **plan: object) -> None:
        self.source = MemorySource()
        self.evidence: Evidence = GateEvidence(self.source, TIMING)
        self.rng = np.random.default_rng(seed)
        self.loss = loss
        # Half as busy in the second store.
        self.pace = {cart: 1.0 if store == "s001" else 0.5 for store, cart in FLEET}
        self.told = Told(gated_plan(**plan), at_ms=BEGAN_MS)
        fleet = sightings(2, 24)
        self.told.start(BEGAN_MS, fleet)
        draw = draw_stage(
            "autumn", self.told.rollout.plan.stages[0], population(self.told.rollout.plan, fleet.values()), ()
        )
        self.canaries = tuple(cart.cart for cart in draw.carts)
        self.told.happens(events.StageStarted(at_ms=BEGAN_MS, stage=0, carts=self.canaries, pairs=draw.pairs))
        self.states: dict[str, dict[str, Any]] = {}
        self.given: list[VerdictGiven] = []

    def bakes(self) -> "Shop":
        """Let all canaries run the model."""
        self.told.tell(*self.canaries, at_ms=BEGAN_MS)
        self.told.done(*self.canaries, at_ms=BEGAN_MS + MINUTE_MS)
        self.told.happens(events.StageBaking(at_ms=BEGAN_MS + MINUTE_MS, stage=0))
        assert self.told.rollout.stages[0].status is StageStatus.BAKING
        return self

    def yesterday(self, per_hour: int = 60, *, loss: float = 0.0) -> "Shop":
        """Let all carts have a day with the baseline; canaries may be worse by themselves."""
        for hour in range(25):
            at_ms = BEGAN_MS - DAY_MS - LAG_MS + hour * HOUR_MS
            if at_ms < BEGAN_MS:
                self._put(at_ms, per_hour, {cart: BASELINE for _, cart in FLEET}, loss, ())
        return self

    def minutes(self, first: int, count: int, *, per_minute: int = 6, silent: tuple[str, ...] = ()) -> "Shop":
        """Let carts work, so many events a minute and cart, from a minute after the begin on."""
        models = {cart: MODEL if cart in self.canaries else BASELINE for _, cart in FLEET}
        for minute in range(first, first + count):
            self._put(BEGAN_MS + minute * MINUTE_MS, per_minute, models, self.loss, silent)
        return self

    def _put(
        self, at_ms: int, events_each: int, models: dict[str, str], loss: float, silent: tuple[str, ...]
    ) -> None:
        for store, cart in FLEET:
            if cart in silent:
                continue
            n = int(self.rng.poisson(events_each * self.pace[cart]))
            good = 0.95 - (loss if cart in self.canaries else 0.0)
            wrong, slow = int(self.rng.binomial(n, 1 - good)), int(self.rng.binomial(n, 0.01))
            errors = int(self.rng.binomial(10 * n, 0.002))
            row = CartOutcomes(0, store, cart, models[cart], n, wrong, n, slow)
            self.source.put(at_ms, row, CartErrors(0, store, cart, models[cart], errors, 10 * n))

    def look(self, minute: float) -> Look:
        """Look so many minutes after the begin, and keep what came out as the database would."""
        now_ms = BEGAN_MS + int(minute * MINUTE_MS)
        if not self.source.away and self.source.watermark_ms is None:
            self.source.watermark_ms = 10 * BEGAN_MS
        look = self.evidence.look(self.told.rollout, self.told.carts, self.states, now_ms)
        self.states = {name: dict(state) for name, state in look.gates.items()}
        self.given += look.verdicts
        return look

    def arm(self, minute: float = 0) -> VerdictGiven:
        """Try the gates on the day before, so many minutes after the begin."""
        control = tuple(cart for _, cart in FLEET if cart not in self.canaries)
        return self.evidence.arm(
            self.told.rollout, self.canaries, control, BEGAN_MS + int(minute * MINUTE_MS)
        )


def test_a_harmless_model_passes_by_its_pairs_after_the_bake() -> None:
    """An hour of bake, twelve pairs: PASS with the interval; no gate of events says anything."""
    shop = Shop().yesterday().bakes().minutes(1, 70)
    for minute in range(0, 60, 5):
        shop.look(minute)
    assert shop.given == []
    look = shop.look(70)
    assert [(v.gate, v.verdict, v.stage) for v in shop.given] == [("promotion", Verdict.PASS, 0)]
    readings = {reading.gate: reading for reading in look.readings}
    assert set(readings) == {"accuracy", "errors", "latency", "promotion", "sample_ratio"}
    assert readings["promotion"].pairs == len(shop.canaries)
    interval = readings["promotion"].interval
    assert interval is not None
    assert -0.05 < interval[0] < interval[1]
    accuracy = readings["accuracy"]
    assert accuracy.canary is not None
    assert accuracy.watermark_ms == BEGAN_MS + 67 * MINUTE_MS
    assert (accuracy.needed or 0) > 0
    assert accuracy.history[0][0] == BEGAN_MS + MINUTE_MS
    assert "by the day before about" in readings["sample_ratio"].note


def test_a_harmful_model_is_stopped_long_before_the_bake_is_over() -> None:
    """Ten points worse, looked at each minute: accuracy fails within minutes, and says on what."""
    shop = Shop(loss=0.1).yesterday().bakes().minutes(1, 30)
    for minute in range(30):
        shop.look(minute)
    [verdict] = shop.given
    assert (verdict.gate, verdict.verdict) == ("accuracy", Verdict.FAIL)
    assert verdict.at_ms < BEGAN_MS + 20 * MINUTE_MS
    assert verdict.query.startswith("rollout_outcomes(start=2027-01-15T")
    assert shop.look(31).readings[0].needed == 0


def test_looking_often_or_once_gives_the_same_states() -> None:
    """What is counted depends on what closed, not on when somebody looked."""
    often, once = (Shop().yesterday().bakes().minutes(1, 30) for _ in range(2))
    for minute in range(34):
        often.look(minute)
    once.look(33)
    assert often.states.pop("counting")["counted_ms"] == once.states.pop("counting")["counted_ms"]
    assert often.states == once.states


def test_an_unchanged_look_leaves_the_states_as_they_are() -> None:
    """No block has closed: the database has nothing to write."""
    shop = Shop().yesterday().bakes().minutes(1, 10)
    before = shop.look(10).gates
    assert shop.look(10.2).gates == before


def test_the_replay_passes_fails_and_is_not_possible() -> None:
    """Alike carts pass. Carts that are worse of themselves refuse the gates. Without a past it says so."""
    assert Shop().yesterday().arm().verdict is Verdict.PASS
    uneven = Shop().yesterday(loss=0.1).arm()
    assert (uneven.gate, uneven.verdict) == ("replay", Verdict.FAIL)
    assert "accuracy" in uneven.reason
    assert uneven.numbers["gates"]["accuracy"]["e_value"] > uneven.numbers["gates"]["accuracy"]["threshold"]
    nothing = Shop().arm()
    assert nothing.verdict is Verdict.NO_DATA
    assert nothing.numbers["canary"] == 0


def test_the_replay_waits_for_the_warehouse_and_calls_a_person_when_that_takes_long() -> None:
    """Nothing is armed while nobody answers; after the patience somebody is told, and it is tried on."""
    shop = Shop().yesterday()
    shop.source.away = True
    with pytest.raises(WarehouseUnreachableError):
        shop.arm(minute=29)
    said = shop.arm(minute=31)
    assert (said.gate, said.verdict) == ("replay", Verdict.INCONCLUSIVE)
    assert "has not answered for 31 minutes" in said.reason
    told = Told(gated_plan(), at_ms=BEGAN_MS).start(BEGAN_MS, sightings(2, 24))
    told.happens(said)
    assert needs_arming(told.rollout)
    shop.source.away = False
    told.happens(shop.arm())
    assert not needs_arming(told.rollout)


def test_a_warehouse_that_is_away_from_the_first_look_on_is_no_data_too() -> None:
    """Gates that were never made say NO_DATA all the same; when it answers they count from the begin."""
    gates = [{"metric": "accuracy", "margin": 0.01}, {"metric": "errors"}, {"metric": "latency"}]
    shop = Shop(gates=gates).yesterday().bakes().minutes(1, 60)
    shop.source.away = True
    with pytest.raises(WarehouseUnreachableError):
        shop.look(30)
    shop.look(45)
    assert {(v.gate, v.verdict) for v in shop.given} == {
        (gate, Verdict.NO_DATA) for gate in ("accuracy", "errors", "latency", "promotion")
    }
    assert shop.states == {}
    shop.told.happens(*shop.given)
    shop.source.away = False
    shop.source.quantile_ms = 120.0
    look = shop.look(55)
    assert {v.verdict for v in look.verdicts} == {Verdict.INCONCLUSIVE}
    straight = Shop(gates=gates).yesterday().bakes().minutes(1, 60)
    straight.source.quantile_ms = 120.0
    straight.look(55)
    assert shop.states["accuracy"]["gate"] == straight.states["accuracy"]["gate"]
    assert shop.states["latency"]["gate"] == straight.states["latency"]["gate"]


def test_a_warehouse_that_is_away_is_no_verdict_at_first() -> None:
    """It raises until the patience is over; then NO_DATA, once. What happened meanwhile counts after all."""
    shop = Shop().yesterday().bakes().minutes(1, 60)
    shop.look(10)
    shop.source.away = True
    with pytest.raises(WarehouseUnreachableError):
        shop.look(30)
    shop.look(45)
    shop.look(50)
    assert {(v.gate, v.verdict) for v in shop.given} == {
        (gate, Verdict.NO_DATA) for gate in ("accuracy", "errors", "latency", "promotion")
    }
    shop.source.away = False
    look = shop.look(55)
    assert {v.verdict for v in look.verdicts} == {Verdict.INCONCLUSIVE}
    straight = Shop().yesterday().bakes().minutes(1, 60)
    straight.look(55)
    assert shop.states["accuracy"]["gate"] == straight.states["accuracy"]["gate"]


def test_a_watermark_that_stands_still_counts_nothing_and_says_so() -> None:
    """Ingest is stuck: no block closes on a half-told story, and after the patience that is NO_DATA."""
    shop = Shop().yesterday().bakes().minutes(1, 60)
    shop.source.watermark_ms = BEGAN_MS + 10 * MINUTE_MS
    shop.look(12)
    counted = shop.states["counting"]["counted_ms"]
    assert counted <= BEGAN_MS + 10 * MINUTE_MS - LAG_MS
    shop.look(30)
    assert shop.given == []
    shop.look(50)
    assert {v.verdict for v in shop.given} == {Verdict.NO_DATA}
    assert "nothing was received" in shop.given[0].reason
    assert shop.states["counting"]["counted_ms"] == counted


def test_canaries_that_fall_silent_disturb_the_ratio() -> None:
    """Half the canaries are not heard any more: the check fires, and says what it expected."""
    shop = Shop().yesterday().bakes()
    shop.minutes(1, 200, silent=tuple(sorted(shop.canaries)[::2]))
    for minute in range(0, 200, 20):
        shop.look(minute)
    ratio = next(v for v in shop.given if v.gate == "sample_ratio")
    assert ratio.verdict is Verdict.FAIL
    assert ratio.numbers["canary"] < 0.7 * ratio.numbers["expected"]


def test_stores_may_differ_in_traffic() -> None:
    """The second store is half as busy, yesterday and today; today everything is half as busy: no alarm."""
    for seed in range(3):
        shop = Shop(seed=seed).yesterday(per_hour=120).bakes().minutes(1, 200, per_minute=3)
        for minute in range(0, 203, 20):
            shop.look(minute)
        assert [v for v in shop.given if v.gate == "sample_ratio"] == []
        assert shop.states["sample_ratio"]["checked"] > 100


def test_without_a_past_the_ratio_is_not_checked() -> None:
    """New carts have no volume to compare with; that is said, and is no verdict."""
    shop = Shop().bakes().minutes(1, 30)
    look = shop.look(30)
    assert shop.given == []
    assert next(r.note for r in look.readings if r.gate == "sample_ratio").startswith("not checked")


def test_the_threshold_of_latency_is_frozen_before_the_first_block() -> None:
    """The day before says what is slow, and a later day cannot say otherwise."""
    shop = Shop(gates=[{"metric": "latency", "quantile": 0.9}]).bakes().minutes(1, 10)
    shop.source.quantile_ms = 180.0
    shop.look(5)
    shop.source.quantile_ms = 900.0
    shop.look(10)
    assert shop.states["latency"]["gate"]["threshold"] == 180.0


def test_carts_that_go_back_are_no_evidence() -> None:
    """While a rollback runs, nothing is counted and nothing is said."""
    shop = Shop(loss=0.3).yesterday().bakes().minutes(1, 30)
    shop.look(3)
    before = shop.states
    shop.told.happens(events.RollbackStarted(at_ms=BEGAN_MS + 4 * MINUTE_MS))
    look = shop.look(30)
    assert (look.verdicts, look.gates) == ((), before)
    assert look.readings


def test_pairs_count_in_the_first_window_in_which_both_had_enough() -> None:
    """A canary that is silent in the first window counts in the second; a pair never counts twice."""
    shop = Shop(promotion={"margin": 0.05, "window": "20m", "min_events": 20}).yesterday().bakes()
    late = shop.canaries[0]
    shop.minutes(1, 20, silent=(late,)).minutes(21, 40)
    shop.look(30)
    assert late not in shop.states["promotion"]["counted"]
    assert len(shop.states["promotion"]["counted"]) == len(shop.canaries) - 1
    shop.look(50)
    assert shop.states["promotion"]["counted"][-1] == late
    shop.look(61)
    assert len(shop.states["promotion"]["counted"]) == len(shop.canaries)


def _membership(shop: Shop) -> Membership:
    return Membership.of(shop.told.rollout, shop.told.carts.values())


def _row(cart: str, model: str, events_: int = 10) -> CartOutcomes:
    return CartOutcomes(0, cart[:4], cart, model, events_, 1, 5, 2)


def _block(shop: Shop, start_ms: int, *rows: CartOutcomes) -> Block:
    [block] = blocks_of(TIMING.span(start_ms, 1), rows, (), _membership(shop), {})
    return block


def test_who_counts_on_which_side() -> None:
    """The model of a canary, the baseline of a control; other digests and other carts on neither."""
    shop = Shop().bakes()
    canary, control = shop.canaries[0], next(c for _, c in FLEET if c not in shop.canaries)
    rows = (
        _row(canary, MODEL),
        _row(canary, BASELINE),
        _row(control, BASELINE),
        _row(control, MODEL),
        _row("s001-c99", MODEL),
        _row("s009-c01", BASELINE),
    )
    block = _block(shop, BEGAN_MS, *rows)
    assert (block.canary.events, block.canary.good, block.canary.slow) == (10, 9, 2)
    assert block.control.events == 10


def test_a_cart_is_a_control_until_its_stage_begins() -> None:
    """In the block in which it joins it is on neither side, whenever that block is counted."""
    shop = Shop().bakes()
    joins = next(c for _, c in FLEET if c not in shop.canaries)
    second_ms = BEGAN_MS + 90_000
    shop.told.happens(events.StagePassed(at_ms=second_ms, stage=0, by="early"))
    shop.told.stage(1, [joins], second_ms)
    before, during, after = (
        _block(shop, BEGAN_MS + n * MINUTE_MS, _row(joins, BASELINE), _row(joins, MODEL, 7)) for n in range(3)
    )
    assert (before.control.events, before.canary.events) == (10, 0)
    assert (during.control.events, during.canary.events) == (0, 0)
    assert (after.control.events, after.canary.events) == (0, 7)


def test_only_carts_that_should_be_heard_are_expected() -> None:
    """A canary that is not done, and a control that is away, have no share in what is expected."""
    shop = Shop().bakes()
    first, second = shop.canaries[:2]
    control, away = [c for _, c in FLEET if c not in shop.canaries][:2]
    shop.told.carts[second] = replace(shop.told.carts[second], status=CartStatus.WORKING)
    shop.told.carts[away] = replace(shop.told.carts[away], status=CartStatus.UNREACHABLE)
    past = {(cart[:4], cart): 100 for cart in (first, second, control, away)}
    rows = (_row(first, MODEL), _row(second, MODEL), _row(control, BASELINE), _row(away, BASELINE))
    span = TIMING.span(BEGAN_MS + MINUTE_MS, 1)
    [block] = blocks_of(span, rows, (), _membership(shop), past)
    shares = block.shares
    assert (shares.canary, shares.canary_past, shares.control, shares.control_past) == (10, 100, 10, 100)


def test_blocks_close_at_the_watermark_and_not_before() -> None:
    """A block is closed when its lag is over; a large fleet gets few at once, and never none."""
    assert TIMING.closed(0, MINUTE_MS + LAG_MS - 1, 10) is None
    one = TIMING.closed(0, MINUTE_MS + LAG_MS, 10)
    assert one is not None
    assert (one.blocks, one.closes_ms) == (1, MINUTE_MS + LAG_MS)
    large = TIMING.closed(0, DAY_MS, 10_000_000)
    assert large is not None
    assert large.blocks == 1
