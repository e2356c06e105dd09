"""Evidence, from blocks to words."""

import json
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_control.rollouts import events
from fleet_control.rollouts.gating.blocks import Block, Lags, Side, closed_until, first_block, joined
from fleet_control.rollouts.gating.evidence import DAY_MS, GatedEvidence, differences, expected_share
from fleet_control.rollouts.gating.gates import MAX_HISTORY, Gates, alpha_of
from fleet_control.rollouts.gating.sample_ratio import SampleRatio
from fleet_control.rollouts.gating.source import MemoryEvidence, quantile_of
from fleet_control.rollouts.gating.verdicts import changed
from fleet_control.rollouts.plan import Plan
from fleet_control.rollouts.states import Verdict
from tests.fleet_control.rollouts.worlds import BASELINE, MODEL, Told, plan

LAGS = Lags(block_s=60, label_s=300, arrival_s=120)
MINUTE_MS = 60_000
FIRST, SECOND = "s001-c01", "s001-c02"


def gated(mode: str = "enforce") -> Plan:
    """Return a plan with the usual gates."""
    return plan(
        gates=[
            {"metric": "accuracy", "margin": 0.01, "mode": mode},
            {"metric": "errors"},
            {"metric": "latency", "threshold_ms": 250},
        ],
        promotion={"margin": 0.02, "window": "10m", "min_events": 10},
    )


def stream(minutes: int, canary_right: float, *, errors: int = 0, seed: int = 1) -> list[Block]:
    """Return blocks of 20 canary and 80 control events a minute; the control is right in 97 of 100."""
    rng = random.Random(seed)
    return [
        Block(
            minute * MINUTE_MS,
            _side(rng, 20, canary_right, errors),
            _side(rng, 80, 0.97, 0),
        )
        for minute in range(minutes)
    ]


def _side(rng: random.Random, n: int, right: float, errors: int) -> Side:
    wrong = sum(rng.random() > right for _ in range(n))
    slow = sum(rng.random() > 0.99 for _ in range(n))
    return Side(n, wrong, n, slow, errors, n)


def running(mode: str = "enforce") -> Told:
    """Return a rollout whose first stage runs the model, since time zero."""
    told = Told(gated(mode)).start().stage(0, (FIRST, SECOND)).tell(FIRST, SECOND).done(FIRST, SECOND)
    told.happens(events.StageBaking(at_ms=0, stage=0))
    return told


def looked(told: Told, source: MemoryEvidence, now_ms: int) -> dict[str, Verdict]:
    """Look once and write down what was said, as the engine does."""
    states = getattr(told, "states", {})
    look = GatedEvidence(source, LAGS).look(told.rollout, told.carts, states, now_ms)
    told.states = json.loads(json.dumps(look.gates))  # type: ignore[attr-defined]
    told.happens(*look.verdicts)
    return {word.gate: word.verdict for word in look.verdicts}


def test_a_block_is_closed_when_labels_and_rows_can_no_longer_come() -> None:
    """Whichever is behind decides: the clock, or what ingest has heard."""
    assert closed_until(now_ms=1_000_000, received_ms=None, lags=LAGS) is None
    assert closed_until(now_ms=1_000_000, received_ms=900_000, lags=LAGS) == 480_000
    assert closed_until(now_ms=600_000, received_ms=900_000, lags=LAGS) == 180_000
    assert first_block(60_001, LAGS) == 120_000


def test_a_harmful_canary_is_stopped_and_a_harmless_one_is_not() -> None:
    """Ten points less are found within the hour; a thousand blocks without a difference fire nothing."""
    source = MemoryEvidence(known=stream(60, 0.87), heard_ms=2 * 3_600_000)
    assert looked(running(), source, 2 * 3_600_000)["accuracy"] is Verdict.FAIL
    harmless = MemoryEvidence(known=stream(350, 0.97), heard_ms=10**9)
    assert looked(running(), harmless, 6 * 3_600_000 + 10**6)["accuracy"] is Verdict.INCONCLUSIVE


def test_an_engine_that_only_fails_is_an_error_and_no_crash() -> None:
    """Errors without any inference are still errors per try."""
    blocks = [Block(m * MINUTE_MS, Side(errors=30), Side(inferences=80)) for m in range(10)]
    source = MemoryEvidence(known=blocks, heard_ms=3_600_000)
    assert looked(running(), source, 3_600_000)["errors"] is Verdict.FAIL


def test_a_shadow_gate_says_shadow() -> None:
    """It would have failed, and stops nobody."""
    told = running(mode="shadow")
    source = MemoryEvidence(known=stream(60, 0.8), heard_ms=2 * 3_600_000)
    assert looked(told, source, 2 * 3_600_000)["accuracy"] is Verdict.SHADOW


@given(st.integers(0, 40), st.lists(st.integers(1, 10), max_size=6))
def test_looks_at_any_times_end_in_the_same_state(seed: int, steps: Sequence[int]) -> None:
    """One look at everything and many looks at parts count the same, and survive JSON."""
    blocks = stream(30, 0.95, seed=seed)
    whole = Gates.fresh(gated())
    whole.count(blocks, 30 * MINUTE_MS, 0.2)
    parts = Gates.fresh(gated())
    done = 0
    for step in (*steps, 30):
        chunk = blocks[done : done + step]
        done += len(chunk)
        parts.count(chunk, done * MINUTE_MS, 0.2)
        parts = Gates.from_states(gated(), json.loads(json.dumps(parts.to_states())))
    for metric, (gate, tally) in whole.events.items():
        other, other_tally = parts.events[metric]
        assert other.e_value == pytest.approx(gate.e_value)
        assert (other_tally.canary, other_tally.control) == (tally.canary, tally.control)
    assert parts.ratio.e_value == pytest.approx(whole.ratio.e_value)


def test_a_look_counts_each_block_once() -> None:
    """Looking again at the same time adds nothing."""
    told = running()
    source = MemoryEvidence(known=stream(30, 0.97), heard_ms=3_600_000)
    looked(told, source, 3_600_000)
    before = told.states  # type: ignore[attr-defined]
    looked(told, source, 3_600_000)
    assert told.states == before  # type: ignore[attr-defined]


def test_silence_is_no_data_and_neither_passes_nor_fails() -> None:
    """Half an hour of nothing is said once, and taken back when data come."""
    told = running()
    source = MemoryEvidence(heard_ms=4_000_000)
    assert looked(told, source, 1_000_000) == {}
    words = looked(told, source, 4_000_000)
    assert words == dict.fromkeys(("accuracy", "errors", "latency"), Verdict.NO_DATA)
    assert looked(told, source, 4_100_000) == {}
    source.known = [Block(m.at_ms + 3_600_000, m.canary, m.control) for m in stream(10, 0.97)]
    source.heard_ms = 5_000_000
    assert looked(told, source, 5_000_000)["accuracy"] is Verdict.INCONCLUSIVE


def test_pairs_are_counted_once_when_their_window_has_closed() -> None:
    """Only pairs with enough events on both sides count; then the stage is done with."""
    told = Told(gated()).start()
    canaries = tuple(cart for cart in told.carts if cart < "s001-c03")
    pairs = tuple((c, f"s001-c{int(c[-2:]) + 2:02}") for c in canaries)
    told.happens(events.StageStarted(at_ms=0, stage=0, carts=canaries, pairs=pairs))
    told.tell(*canaries).done(*canaries)
    told.happens(events.StageBaking(at_ms=0, stage=0))
    source = MemoryEvidence(
        by_cart={FIRST: (96, 100), "s001-c03": (97, 100), SECOND: (9, 9), "s001-c04": (50, 50)},
        heard_ms=10**7,
    )
    assert "promotion" not in looked(told, source, 900_000)
    assert looked(told, source, 10 * MINUTE_MS + LAGS.total_ms)["promotion"] is Verdict.INCONCLUSIVE
    gates = Gates.from_states(told.rollout.plan, told.states)  # type: ignore[attr-defined]
    assert gates.paired is not None
    assert (gates.paired[0].pairs, gates.paired_stages) == (1, (0,))
    looked(told, source, 10**7)
    again = Gates.from_states(told.rollout.plan, told.states)  # type: ignore[attr-defined]
    assert again.paired is not None
    assert again.paired[0].pairs == 1


def test_differences_are_in_the_order_of_pairs_whatever_they_are() -> None:
    """A pair without enough events is left out, and shares are subtracted, not counts."""
    ours, theirs = {"a": (9, 10), "b": (20, 20), "c": (5, 5)}, {"x": (19, 20), "y": (10, 20)}
    found = differences([("a", "x"), ("b", "y"), ("c", "z")], ours, theirs, 5)
    assert found == pytest.approx([0.9 - 0.95, 0.5])


def test_yesterday_must_be_quiet_before_the_gates_are_armed() -> None:
    """The same carts with one model: a difference that is there already refuses, silence arms untried."""
    told = Told(gated()).start()
    day = [Block(DAY_MS + m.at_ms, m.canary, m.control) for m in stream(60, 0.97)]
    now_ms = 2 * DAY_MS
    evidence = GatedEvidence(MemoryEvidence(known=day, by_cart={FIRST: (9, 10)}, quantile_ms=180.0), LAGS)
    look = evidence.arm(told.rollout, (FIRST,), (SECOND,), now_ms)
    assert [word.verdict for word in look.verdicts] == [Verdict.PASS]
    assert look.gates["clock"]["volumes"] == {FIRST: 10}
    crooked = [Block(DAY_MS + m.at_ms, m.canary, m.control) for m in stream(60, 0.87)]
    fires = GatedEvidence(MemoryEvidence(known=crooked), LAGS).arm(told.rollout, (FIRST,), (SECOND,), now_ms)
    assert [word.verdict for word in fires.verdicts] == [Verdict.FAIL]
    assert "accuracy" in fires.verdicts[0].reason
    nothing = GatedEvidence(MemoryEvidence(), LAGS).arm(told.rollout, (FIRST,), (SECOND,), now_ms)
    assert [word.verdict for word in nothing.verdicts] == [Verdict.NO_DATA]


def test_the_threshold_of_latency_is_frozen_from_the_day_before() -> None:
    """Without one in the plan it is the controls' own quantile, and the rows are asked for with it."""
    told = Told(plan(gates=[{"metric": "latency", "quantile": 0.99}])).start()
    source = MemoryEvidence(quantile_ms=181.0)
    look = GatedEvidence(source, LAGS).arm(told.rollout, (FIRST,), (SECOND,), 2 * DAY_MS)
    assert look.gates["clock"]["threshold_ms"] == 181.0
    assert source.asked[-1].threshold_ms == 181.0
    assert source.asked[-1].model == source.asked[-1].baseline == BASELINE


def test_a_quantile_of_a_histogram_is_the_upper_bound_of_its_bucket() -> None:
    """At most 2.2 percent above the truth."""
    assert quantile_of([], 0.5) is None
    assert quantile_of([(0, 99), (32, 1)], 0.99) == pytest.approx(2 ** (1 / 32))
    assert quantile_of([(0, 98), (32, 2)], 0.99) == pytest.approx(2 ** (33 / 32))


def test_alpha_is_shared_by_the_gates_that_may_stop() -> None:
    """Three gates have a third each; those in shadow take nothing from the others."""
    assert alpha_of(gated()) == pytest.approx(0.05 / 3)
    shadow = [{"metric": "accuracy"}, {"metric": "errors", "mode": "shadow"}]
    assert alpha_of(plan(gates=shadow)) == pytest.approx(0.05)


def test_the_ratio_check_fires_when_canary_events_vanish_and_not_for_busy_stores() -> None:
    """A tenth of the events that should be there is proof; half or twice as many is traffic."""
    lost, busy, idle = SampleRatio(), SampleRatio(), SampleRatio()
    for _ in range(100):
        lost, busy, idle = lost.after(1, 80, 0.2), busy.after(40, 80, 0.2), idle.after(10, 80, 0.2)
    assert lost.fired
    assert not busy.fired
    assert not idle.fired
    assert SampleRatio.from_state(json.loads(json.dumps(lost.to_state()))) == lost
    flood = SampleRatio().after(900, 80, 0.2)
    assert flood.fired


def test_the_expected_share_is_that_of_the_day_before_or_of_the_numbers() -> None:
    """Busy carts count for more, where yesterday is known."""
    assert expected_share({"a": 30, "b": 10}, ["a"], ["b"]) == pytest.approx(0.75)
    assert expected_share({}, ["a"], ["b", "c", "d"]) == pytest.approx(0.25)


def test_curves_for_people_stay_short() -> None:
    """A rollout of weeks has no more points than one of a day, and ends at the newest."""
    gates = Gates.fresh(gated())
    for minute, block in enumerate(stream(1_000, 0.97)):
        gates.count([block], (minute + 1) * MINUTE_MS, 0.2)
    history = gates.events["accuracy"][1].history
    assert len(history) <= MAX_HISTORY
    assert history[-1][0] == 1_000 * MINUTE_MS


def test_a_word_is_said_again_only_when_it_is_another() -> None:
    """What the rollout knows already is not repeated."""
    told = running()
    gates = Gates.fresh(gated())
    gates.count(stream(5, 0.97), 5 * MINUTE_MS, 0.2)
    words = changed(told.rollout, gates, 6 * MINUTE_MS)
    told.happens(*words)
    assert changed(told.rollout, gates, 7 * MINUTE_MS) == ()
    assert {word.query for word in words} == {"rollout_events", "rollout_errors"}


def test_readings_say_what_is_still_needed() -> None:
    """About as many canary events as the known-effect limit says, and fewer as evidence grows."""
    told = running()
    source = MemoryEvidence(known=stream(30, 0.97), heard_ms=10**7)
    look = GatedEvidence(source, LAGS).look(told.rollout, told.carts, {}, 10**7)
    reading = {reading.gate: reading for reading in look.readings}["accuracy"]
    assert reading.threshold == pytest.approx(60.0)
    assert reading.needed is not None
    assert 200 < reading.needed < 2_000
    assert [r.gate for r in look.readings][-2:] == ["sample_ratio", "replay"]


def test_parts_of_a_block_are_joined() -> None:
    """Outcomes and errors of one minute are one block."""
    blocks = joined([(0, "canary", Side(events=3)), (0, "canary", Side(errors=1)), (0, "control", Side(5))])
    assert blocks == (Block(0, Side(events=3, errors=1), Side(5)),)
    assert MODEL != BASELINE
