"""The gates of a rollout: what they count, and what they say of it."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_control.errors import GateInputError
from fleet_control.rollouts.events import VerdictGiven
from fleet_control.rollouts.gating.blocks import Block, Tally
from fleet_control.rollouts.gating.gatekeeper import Gatekeeper, stop_alpha, update
from fleet_control.rollouts.gating.history import MAX_POINTS, History
from fleet_control.rollouts.gating.needed import needed
from fleet_control.rollouts.gating.pairs import Round
from fleet_control.rollouts.states import Verdict
from fleet_control.statistics.sequential import ProportionGate, QuantileGate, RateGate
from tests.fleet_control.rollouts.gate_worlds import (
    BAKING,
    BLOCK_MS,
    START_MS,
    at,
    blocks,
    found,
    fresh,
    gated_plan,
)

PLAN = gated_plan()
BAKED = at(BAKING, START_MS + 3_600_000, bake_over_ms=START_MS + 3_600_000)
COUNTS = st.integers(0, 30)


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    """Return what one side may have done."""
    events, inferences, timed = draw(COUNTS), draw(COUNTS), draw(COUNTS)
    return Tally(
        events=events,
        good=draw(st.integers(0, events)),
        timed=timed,
        slow=draw(st.integers(0, timed)),
        errors=draw(st.integers(0, inferences)),
        inferences=inferences,
    )


@st.composite
def streams(draw: st.DrawFn) -> list[Block]:
    """Return blocks that follow each other."""
    sides = draw(st.lists(st.tuples(tallies(), tallies()), max_size=12))
    starts = [START_MS + index * BLOCK_MS for index in range(len(sides))]
    return [Block(s, s + BLOCK_MS, *side) for s, side in zip(starts, sides, strict=True)]


def rounds_of(differences: list[float], *, stage: int = 0, number: int = 0) -> Round:
    """Return pairs that came out like that in one window."""
    names = [f"c{stage}{number}{index:03}" for index in range(len(differences))]
    return Round(stage, number, START_MS + BLOCK_MS, tuple(zip(names, differences, strict=True)))


@given(streams(), st.data())
def test_blocks_one_by_one_or_in_one_go_give_the_same(stream: list[Block], data: st.DataObject) -> None:
    """A controller that was away counts what one that was not has counted, through JSON after each look."""
    whole, _ = update(PLAN, fresh(PLAN), found(*stream), BAKING)
    states: dict[str, dict[str, object]] = fresh(PLAN)
    rest = list(stream)
    while rest:
        n = data.draw(st.integers(1, len(rest)))
        states, _ = update(PLAN, json.loads(json.dumps(states)), found(*rest[:n]), BAKING)
        rest = rest[n:]
    assert json.loads(json.dumps(states)) == whole if stream else states == whole


@given(streams())
def test_a_block_that_comes_again_changes_nothing(stream: list[Block]) -> None:
    """What was found twice, because the first finding was never written, counts once."""
    once, _ = update(PLAN, fresh(PLAN), found(*stream), BAKING)
    twice, verdicts = update(PLAN, once, found(*stream), BAKING)
    assert twice == once
    assert not verdicts


def test_a_missing_block_is_refused() -> None:
    """Evidence with a hole is none."""
    later = Block(START_MS + BLOCK_MS, START_MS + 2 * BLOCK_MS)
    with pytest.raises(GateInputError, match="is next"):
        update(PLAN, fresh(PLAN), found(later), BAKING)


@pytest.mark.parametrize(
    "harm", [{"loss": 0.1}, {"error_ratio": 8.0}, {"slow_ratio": 6.0}], ids=["accuracy", "errors", "latency"]
)
def test_a_harmful_model_fails_once_and_for_ever(
    harm: dict[str, float], request: pytest.FixtureRequest
) -> None:
    """Each gate finds its harm, says so once with its numbers, and does not take it back."""
    gate = request.node.callspec.id
    rng = np.random.default_rng(5)
    states = fresh(PLAN)
    given_verdicts: list[VerdictGiven] = []
    for block in blocks(rng, 400, **harm):  # type: ignore[arg-type]
        states, verdicts = update(PLAN, states, found(block), at(BAKING, block.end_ms))
        given_verdicts += verdicts
    [verdict] = given_verdicts
    assert (verdict.gate, verdict.verdict) == (gate, Verdict.FAIL)
    assert verdict.numbers["e_value"] >= verdict.numbers["threshold"] == pytest.approx(4 / PLAN.alpha)
    assert verdict.numbers["counted_ms"] == verdict.at_ms
    assert verdict.query == "rollout_outcomes(...)"


def test_a_harmless_model_is_never_stopped() -> None:
    """Twenty rollouts of the same model, each looked at after every block of a day: no FAIL."""
    for seed in range(20):
        states = fresh(PLAN)
        stream = tuple(blocks(np.random.default_rng(seed), 400))
        for index in range(0, len(stream), 20):
            states, verdicts = update(PLAN, states, found(*stream[index : index + 20]), BAKING)
            assert not verdicts, seed


def test_a_shadow_gate_only_watches() -> None:
    """It would have failed: SHADOW. Without data it says nothing."""
    plan = gated_plan(gates=[{"metric": "accuracy", "mode": "shadow"}], promotion={"margin": 0.05})
    stream = tuple(blocks(np.random.default_rng(5), 200, loss=0.2))
    _, verdicts = update(plan, fresh(plan), found(*stream), BAKING)
    assert [(v.gate, v.verdict) for v in verdicts] == [("accuracy", Verdict.SHADOW)]
    long_after = at(BAKING, START_MS + 10**8, blind="away")
    _, verdicts = update(plan, fresh(plan), found(), long_after)
    assert [(v.gate, v.verdict) for v in verdicts] == [("promotion", Verdict.NO_DATA)]


def test_no_data_never_passes_and_never_fails() -> None:
    """Closed blocks without a canary: NO_DATA after the patience, not before; then data again."""
    quiet = [
        Block(START_MS + i * BLOCK_MS, START_MS + (i + 1) * BLOCK_MS, Tally(), Tally(50, 50, 50, 0, 0, 600))
        for i in range(62)
    ]
    states, verdicts = update(PLAN, fresh(PLAN), found(*quiet[:60]), BAKED, pairs_left=1)
    assert not verdicts
    states, verdicts = update(PLAN, states, found(*quiet[60:]), BAKED, pairs_left=1)
    assert {(v.gate, v.verdict) for v in verdicts} == {
        (gate, Verdict.NO_DATA) for gate in ("accuracy", "errors", "latency")
    }
    assert "canaries" in verdicts[0].reason
    again = tuple(blocks(np.random.default_rng(1), 1, start_ms=quiet[-1].end_ms))
    _, verdicts = update(PLAN, states, found(*again), BAKED, pairs_left=1)
    assert {v.verdict for v in verdicts} == {Verdict.INCONCLUSIVE}


def test_before_the_bake_nothing_is_missed() -> None:
    """While carts install, or without controls, there is nothing to count, and that is no verdict."""
    for situation in (
        at(BAKED, BAKED.now_ms, watched=False),
        at(BAKED, BAKED.now_ms, watched=False, blind="away"),
    ):
        assert update(PLAN, fresh(PLAN), found(), situation)[1] == ()


def test_latency_without_a_threshold_says_so() -> None:
    """No decisions the day before, none in the plan: the gate has nothing to compare with."""
    plan = gated_plan(gates=[{"metric": "latency"}])
    stream = tuple(blocks(np.random.default_rng(5), 5, slow_ratio=50))
    states, [verdict] = update(plan, fresh(plan), found(*stream), BAKING)
    assert (verdict.gate, verdict.verdict) == ("latency", Verdict.NO_DATA)
    assert "threshold_ms" in verdict.reason
    assert update(plan, states, found(), BAKING)[1] == ()


def test_only_pairs_promote_and_only_after_the_bake() -> None:
    """Thirty equal pairs prove it; before the bake is over, or with too few carts, that is no PASS."""
    rng = np.random.default_rng(3)
    first = rounds_of([float(d) for d in rng.normal(0.0, 0.02, 30)])
    states, verdicts = update(PLAN, fresh(PLAN), found(rounds=(first,)), BAKING)
    assert not verdicts
    _, verdicts = update(PLAN, states, found(), at(BAKED, BAKED.now_ms, enough=False), pairs_left=1)
    assert not verdicts
    states, [verdict] = update(PLAN, states, found(), BAKED)
    assert (verdict.gate, verdict.verdict, verdict.numbers["pairs"]) == ("promotion", Verdict.PASS, 30)
    assert verdict.numbers["interval"][0] > -0.05
    assert verdict.query == "pairs(...)"
    # It stays in the next stage's bake, and is taken back when its pairs speak against it.
    next_stage = at(BAKED, BAKED.now_ms, stage=1, bake_over_ms=START_MS + 10**9)
    assert update(PLAN, states, found(), next_stage)[1] == ()
    against = rounds_of([-0.15] * 12, stage=1)
    _, [taken_back] = update(PLAN, states, found(rounds=(against,)), next_stage)
    assert taken_back.verdict in {Verdict.INCONCLUSIVE, Verdict.FAIL}


def test_pairs_that_lose_stop_the_rollout() -> None:
    """A loss beyond the margin in every pair is proof of harm, at the stoppers' share of alpha."""
    lost = rounds_of([-0.2] * 30)
    _, [verdict] = update(PLAN, fresh(PLAN), found(rounds=(lost,)), BAKING)
    assert (verdict.gate, verdict.verdict) == ("promotion", Verdict.FAIL)
    assert verdict.numbers["e_value"] >= 1 / stop_alpha(PLAN) == pytest.approx(80.0)


@pytest.mark.parametrize(
    ("pairs_left", "now_ms", "why"),
    [
        (0, BAKED.now_ms, "3 pairs have counted, and none is left"),
        (5, BAKED.now_ms + int(PLAN.max_wait_s * 1000), "nothing is proved 168 h after"),
    ],
)
def test_nothing_proved_in_time_is_inconclusive(pairs_left: int, now_ms: int, why: str) -> None:
    """Three pairs prove nothing: a person is called, once all have counted or the time is over."""
    few = rounds_of([0.0, 0.01, -0.01])
    states, [verdict] = update(
        PLAN, fresh(PLAN), found(rounds=(few,)), at(BAKED, now_ms), pairs_left=pairs_left
    )
    assert (verdict.gate, verdict.verdict) == ("promotion", Verdict.INCONCLUSIVE)
    assert why in verdict.reason
    assert update(PLAN, states, found(), at(BAKED, now_ms + 1), pairs_left=pairs_left)[1] == ()


def test_a_pair_and_a_window_count_once() -> None:
    """The same window found again, or a pair in a later window, is no news."""
    first = rounds_of([0.0, 0.1])
    once, _ = update(PLAN, fresh(PLAN), found(rounds=(first,)), BAKING)
    assert update(PLAN, once, found(rounds=(first,)), BAKING)[0] == once
    again = Round(0, 1, START_MS + 2 * BLOCK_MS, first.differences)
    states, _ = update(PLAN, once, found(rounds=(again,)), BAKING)
    assert states["promotion"]["gate"] == once["promotion"]["gate"]
    assert states["promotion"]["windows"] == {"0": 2}


def test_alpha_is_shared_by_whoever_may_stop() -> None:
    """Shadow gates cost nothing; the promotion gate's FAIL is one of the stoppers."""
    assert stop_alpha(PLAN) == pytest.approx(0.05 / 4)
    only_shadow = gated_plan(gates=[{"metric": "errors", "mode": "shadow"}])
    assert stop_alpha(only_shadow) == pytest.approx(0.05)


@pytest.mark.parametrize("damage", ["missing", "foreign", "text", "verdict"])
def test_a_damaged_state_is_refused(damage: str) -> None:
    """Better no gate than one that counts on with somebody else's numbers."""
    states = fresh(PLAN)
    match damage:
        case "missing":
            del states["errors"]
        case "foreign":
            states["errors"] = states["accuracy"]
        case "text":
            states["accuracy"]["history"] = {"points": "x"}
        case _:
            states["accuracy"]["verdict"] = "perhaps"
    with pytest.raises(GateInputError):
        Gatekeeper.restored(PLAN, states)


@given(st.lists(st.floats(0, 1e300), max_size=3 * MAX_POINTS))
@settings(max_examples=30)
def test_history_is_bounded_and_begins_at_the_beginning(values: list[float]) -> None:
    """However long it goes, a chart of a few hundred points from the first block on."""
    history = History()
    for index, value in enumerate(values):
        history.add(index, value)
    assert len(history.points) <= MAX_POINTS
    assert [at_ms for at_ms, _ in history.points] == list(range(0, len(values), history.stride))[
        : len(history.points)
    ]
    assert History.from_state(json.loads(json.dumps(history.to_state()))) == history


def test_what_is_needed_shrinks_with_what_is_known() -> None:
    """About the known-effect limit of a two-point loss at 97 % (590 events), fewer once evidence is there."""
    gate = ProportionGate(0.05)
    assert needed(gate) is None
    gate.update(97, 100, 873, 900)
    assert 350 < (needed(gate) or 0) < 900
    before = needed(gate) or 0
    gate.update(50, 100, 873, 900)
    assert (needed(gate) or 0) < before
    rate = RateGate(0.05)
    rate.update(1, 9, 1_000.0, 9_000.0)
    assert 3_000 < (needed(rate) or 0) < 20_000
    slow = QuantileGate(0.05, 0.99, 250.0)
    slow.update(1, 100, 9, 900)
    assert 100 < (needed(slow) or 0) < 500
    slow.update(100, 100, 9, 900)
    assert needed(slow) == 0
