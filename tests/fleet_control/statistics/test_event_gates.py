"""Stories about the gates that count events: they keep their promise, find harm soon, and can be stored."""

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_control.errors import GateInputError
from fleet_control.statistics.blocks import Block, log_e_values, projection
from fleet_control.statistics.evidence import LARGEST_COUNT, LARGEST_MARGIN, Mixture
from fleet_control.statistics.rate import LARGEST_EXPOSURE, LEAST_EXPOSURE
from fleet_control.statistics.sequential import PairedGate, ProportionGate, QuantileGate, RateGate

Counts = tuple[int, int, int, int]


def binomial(k: int, n: int, p: float) -> float:
    """Return the probability of k of n."""
    return float(math.comb(n, k) * p**k * (1 - p) ** (n - k))


def expected(
    sizes: tuple[int, int], rates: tuple[float, float], guess: float, harm: float, margin: float
) -> float:
    """Return the mean e-value of a block over all its outcomes, of canary and control each."""
    (canary, control), (a, b) = sizes, rates
    return sum(
        binomial(ya, canary, a)
        * binomial(yb, control, b)
        * math.exp(
            log_e_values(Block(ya, canary, yb, control), np.array(guess), np.array([harm]), margin).item()
        )
        for ya, yb in itertools.product(range(canary + 1), range(control + 1))
    )


@given(
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 6)),
    rates=st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)),
    guess=st.floats(0.0, 1.0),
    harm=st.sampled_from([0.15, 0.55, 1.8]),
    margin=st.sampled_from([0.0, 0.01, 0.1]),
)
def test_a_healthy_canary_gains_no_evidence_on_average(
    sizes: tuple[int, int], rates: tuple[float, float], guess: float, harm: float, margin: float
) -> None:
    """Over every outcome of a block, for any rates within the margin and any guess: at most one."""
    b, better = rates
    a = max(b - margin, 0.0) + better * (1.0 - max(b - margin, 0.0))
    assert expected(sizes, (a, b), guess, harm, margin) <= 1.0 + 1e-9


def test_the_projection_minimises_the_information() -> None:
    """Against a fine grid: no other pair of rates within the margin is nearer to the harm."""
    theta_a, theta_b, w, margin = 0.9, 0.97, 0.1, 0.02
    found = float(projection(np.array(theta_a), np.array(theta_b), w, margin))
    b = np.linspace(margin + 1e-6, 1 - 1e-6, 200_001)

    def divergence(p: float, q: Any) -> Any:
        return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))

    cost = w * divergence(theta_a, b - margin) + (1 - w) * divergence(theta_b, b)
    assert found == pytest.approx(float(b[cost.argmin()]), abs=1e-5)


@given(share=st.floats(0.01, 0.99), equal=st.floats(0.0, 1.0), errors=st.integers(1, 6))
def test_errors_that_fall_on_both_sides_by_exposure_are_no_evidence(
    share: float, equal: float, errors: int
) -> None:
    """Over every way in which errors can fall, at the control's rate or below it: at most one on average."""
    p = share * equal
    mean = 0.0
    for canary in range(errors + 1):
        gate = RateGate(0.05)
        gate.update(canary, errors - canary, share, 1.0 - share)
        mean += binomial(canary, errors, p) * gate.e_value
    assert mean <= 1.0 + 1e-9


def stream(rng: np.random.Generator, looks: int, loss: float) -> list[Counts]:
    """Return blocks of a canary of 10 % beside its control, whose rate swings through the day."""
    swing = 0.02 * np.sin(2 * np.pi * np.arange(looks) / 200)
    control = np.clip(0.97 + swing, 0.0, 0.999)
    good = rng.binomial(36, control)
    return [
        (int(a), 4, int(b), 36)
        for a, b in zip(rng.binomial(4, np.clip(control - loss, 0, 1)), good, strict=True)
    ]


def test_a_healthy_canary_is_left_alone_though_looked_at_again_and_again() -> None:
    """Two hundred rollouts, a thousand looks each, a daily swing: a false alarm in one of twenty at most."""
    rng = np.random.default_rng(4)
    alarms = 0
    for _ in range(200):
        gate = ProportionGate(0.05)
        for block in stream(rng, 1000, 0.0):
            gate.update(*block)
        alarms += gate.rejected
    # 17 of 200 would be above 5 % with 97.5 % confidence.
    assert alarms < 17


def limit(canary_rate: float, control_rate: float, share: float = 0.1, alpha: float = 0.05) -> float:
    """Return the canary events that a gate needs which knows the harm: ln(1 / alpha) over growth rate."""
    both = share * canary_rate + (1 - share) * control_rate

    def divergence(p: float) -> float:
        return p * math.log(p / both) + (1 - p) * math.log((1 - p) / (1 - both))

    growth = share * divergence(canary_rate) + (1 - share) * divergence(control_rate)
    return share * math.log(1 / alpha) / growth


@pytest.mark.parametrize(("control", "loss", "known"), [(0.97, 0.02, 590), (0.92, 0.05, 233)])
def test_harm_is_found_nearly_as_soon_as_by_who_knew_of_it(control: float, loss: float, known: int) -> None:
    """The median of canary events is within a quarter of the limit."""
    rng = np.random.default_rng(5)
    needed = []
    for _ in range(150):
        gate = ProportionGate(0.05)
        while not gate.rejected:
            gate.update(int(rng.binomial(4, control - loss)), 4, int(rng.binomial(36, control)), 36)
        needed.append(gate.canary_events)
    assert limit(control - loss, control) == pytest.approx(known, abs=1)
    assert np.median(needed) <= 1.25 * known


def test_harm_that_begins_after_a_long_healthy_time_is_found_all_the_same() -> None:
    """After 40,000 healthy events; bets that all began with the first would need as many of harm again."""
    rng = np.random.default_rng(8)
    needed = []
    for _ in range(5):
        gate = ProportionGate(0.05, margin=0.02)
        for loss, most in ((0.0, 1_000), (0.05, 500)):
            for _ in range(most):
                gate.update(int(rng.binomial(40, 0.97 - loss)), 40, int(rng.binomial(360, 0.97)), 360)
                if gate.rejected:
                    break
        assert gate.rejected
        needed.append(gate.canary_events - 40_000)
    assert 0 < np.median(needed) < 5_000


def test_bets_on_later_harm_stake_no_more_than_there_is() -> None:
    """Over all ways in which fair blocks can come out, the mean of the evidence is 1 after each of them."""
    for length in range(7):
        evidence = []
        for ways in itertools.product((0.5, 1.5), repeat=length):
            mixture = Mixture.fresh((0.3, 0.7))
            for value in ways:
                mixture = mixture.after(np.log([value, 2.0 - value]))
            evidence.append(math.exp(mixture.log_e))
        assert np.mean(evidence) == pytest.approx(1.0, rel=1e-12)


def test_a_loss_within_the_margin_is_tolerated_and_one_beyond_it_is_found() -> None:
    """A margin of one point: one point less never counts, five points less do within some hundred events."""
    rng = np.random.default_rng(6)
    alarms = 0
    for _ in range(100):
        gate = ProportionGate(0.05, margin=0.01)
        for _ in range(500):
            gate.update(int(rng.binomial(4, 0.96)), 4, int(rng.binomial(36, 0.97)), 36)
        alarms += gate.rejected
    assert alarms <= 10
    gate = ProportionGate(0.05, margin=0.01)
    while not gate.rejected and gate.canary_events < 2000:
        gate.update(int(rng.binomial(4, 0.92)), 4, int(rng.binomial(36, 0.97)), 36)
    assert gate.rejected


def test_a_single_large_block_is_evidence_too() -> None:
    """Whoever looks once a day still sees it: the first block is judged without any past."""
    gate = ProportionGate(0.05)
    gate.update(900, 1000, 8730, 9000)
    assert gate.rejected
    gate = ProportionGate(0.05)
    gate.update(970, 1000, 8730, 9000)
    assert not gate.rejected


def test_three_times_the_errors_are_found_within_some_dozens() -> None:
    """The median of all errors, canary's and control's, is at most 35."""
    rng = np.random.default_rng(7)
    needed = []
    for _ in range(300):
        gate = RateGate(0.05)
        while not gate.rejected:
            canary = int(rng.random() < 0.3 / 1.2)
            gate.update(canary, 1 - canary, 10.0, 90.0)
        needed.append(gate.errors)
    assert np.median(needed) <= 35


def test_a_fifth_more_latency_is_found_within_300_inferences() -> None:
    """Of a canary of 10 %, with the threshold at the control's 99th percentile."""
    rng = np.random.default_rng(8)
    threshold = math.exp(0.35 * 2.326348)
    needed = []
    for _ in range(100):
        gate = QuantileGate(0.05, 0.99, threshold)
        while not gate.rejected:
            canary, control = rng.lognormal(math.log(1.2), 0.35, 4), rng.lognormal(0.0, 0.35, 36)
            gate.update(int((canary > threshold).sum()), 4, int((control > threshold).sum()), 36)
        needed.append(gate.canary_events)
    assert np.median(needed) <= 300


def test_an_alarm_stays() -> None:
    """Evidence may shrink again; the verdict was given."""
    gate = RateGate(0.05)
    gate.update(20, 0, 10.0, 90.0)
    assert gate.rejected
    gate.update(0, 5000, 10.0, 90.0)
    assert gate.e_value < 1.0
    assert gate.rejected
    assert RateGate.from_state(gate.to_state()).rejected


def test_blocks_that_compare_nothing_are_no_evidence() -> None:
    """No canary yet, no control yet, nothing at all: one, for ever."""
    gate = ProportionGate(0.05)
    for block in [(0, 0, 0, 0), (0, 0, 35, 36), (0, 4, 0, 0)]:
        gate.update(*block)
    assert gate.e_value == 1.0
    rate = RateGate(0.05)
    for exposure in [(0.0, 0.0), (0.0, 5.0), (5.0, 0.0)]:
        rate.update(0, 0, *exposure)
    rate.update(3, 0, 5.0, 0.0)
    assert rate.e_value == 1.0
    over = QuantileGate(0.05, 0.99, 100.0)
    over.update(0, 0, 1, 50)
    assert over.e_value == 1.0


def test_evidence_beyond_all_numbers_is_a_number() -> None:
    """A canary that is always wrong, for a year."""
    gate = ProportionGate(0.05)
    for _ in range(50):
        gate.update(0, 10_000, 90_000, 90_000)
    assert math.isfinite(gate.e_value)
    assert gate.rejected
    json.dumps(gate.to_state(), allow_nan=False)


BLOCKS = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 200), st.integers(0, 200)), max_size=12
)


@given(blocks=BLOCKS, cut=st.integers(0, 12), margin=st.sampled_from([0.0, 0.02]))
def test_a_gate_that_is_stored_goes_on_as_if_nothing_had_been(
    blocks: list[Counts], cut: int, margin: float
) -> None:
    """Through JSON and back at any block, of all three: the same evidence to the last bit."""
    sorted_blocks = [(min(a, b), max(a, b), min(c, d), max(c, d)) for a, b, c, d in blocks]
    for whole in (ProportionGate(0.05, margin), QuantileGate(0.01, 0.99, 250.0), RateGate(0.1)):
        cut_gate: Any = type(whole).from_state(whole.to_state())
        for number, (good_a, n_a, good_b, n_b) in enumerate(sorted_blocks):
            if isinstance(whole, RateGate):
                block: tuple[float, ...] = (good_a, good_b, n_a + 0.5, n_b + 0.5)
            else:
                block = (good_a, n_a, good_b, n_b)
            whole.update(*block)  # type: ignore[arg-type]
            cut_gate.update(*block)
            if number == cut:
                cut_gate = type(whole).from_state(json.loads(json.dumps(cut_gate.to_state())))
        assert cut_gate.e_value == whole.e_value
        assert cut_gate.rejected == whole.rejected
        assert cut_gate.to_state() == whole.to_state()


@pytest.mark.parametrize(
    "block",
    [
        (-1, 4, 30, 36),
        (5, 4, 30, 36),
        (3, 4, 37, 36),
        (1.5, 4, 30, 36),
        (3, math.nan, 30, 36),
        ("3", 4, 30, 36),
        (10**400, 10**400, 30, 36),
        (3, 10**400, 30, 36),
        (3, 4, 30, 1e308),
        (3, 4, 30, 2**53 + 1),
        (3, 4, math.inf, math.inf),
    ],
)
def test_counts_that_cannot_be_are_refused_and_change_nothing(block: Any) -> None:
    """More good than all, less than none, parts of one, no number, and more than there can be."""
    gates: list[Any] = [ProportionGate(0.05), QuantileGate(0.05, 0.99, 1.0)]
    for gate in gates:
        before = gate.to_state()
        with pytest.raises(GateInputError):
            gate.update(*block)
        assert gate.to_state() == before


def test_errors_without_exposure_are_refused() -> None:
    """They happened somewhere: whoever counts has lost the inferences."""
    gate = RateGate(0.05)
    with pytest.raises(GateInputError, match="2 errors need some exposure"):
        gate.update(2, 0, 0.0, 90.0)
    with pytest.raises(GateInputError, match=r"canary_exposure.*0 or a number from"):
        gate.update(0, 0, -1.0, 90.0)
    assert gate.to_state() == RateGate(0.05).to_state()


@pytest.mark.parametrize("exposure", [1e308, 10**400, 1e-308, math.inf, math.nan, True])
@pytest.mark.parametrize("side", [0, 1])
def test_exposure_that_no_rate_can_be_made_of_is_refused(exposure: Any, side: int) -> None:
    """Said with the name of the side, and nothing is counted."""
    gate = RateGate(0.05)
    with pytest.raises(GateInputError, match=("canary_exposure", "control_exposure")[side]):
        gate.update(1, 0, *((exposure, 1.0), (1.0, exposure))[side])
    with pytest.raises(GateInputError, match="canary_errors"):
        gate.update(10**400, 0, 1.0, 1.0)
    assert gate.to_state() == RateGate(0.05).to_state()


# Warnings are errors here: none of these may overflow on the way.
@settings(deadline=None)
@given(
    margin=st.sampled_from([0.0, 0.5, LARGEST_MARGIN]),
    blocks=st.lists(st.tuples(*[st.sampled_from([0, 1, 10**6, LARGEST_COUNT])] * 4), max_size=5),
    exposure=st.tuples(*[st.sampled_from([LEAST_EXPOSURE, 1.0, LARGEST_EXPOSURE])] * 2),
)
def test_the_largest_input_of_every_kind_gives_a_number(
    margin: float, blocks: list[Counts], exposure: tuple[float, float]
) -> None:
    """Evidence is finite, and can be stored and read back."""
    gates: list[Any] = [ProportionGate(0.05, margin), QuantileGate(0.05, 0.99, 1.0), RateGate(0.05)]
    for gate in gates:
        for a, b, c, d in blocks:
            block = (
                (a, c, *exposure)
                if isinstance(gate, RateGate)
                else (min(a, b), max(a, b), min(c, d), max(c, d))
            )
            gate.update(*block)
        stored = json.loads(json.dumps(gate.to_state(), allow_nan=False))
        assert type(gate).from_state(stored).e_value == gate.e_value
        assert 0.0 <= gate.e_value < math.inf
        if isinstance(gate, RateGate):
            assert gate.ratio is None or math.isfinite(gate.ratio)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan, True, "0.05"])
def test_an_alpha_that_is_no_probability_is_refused(alpha: Any) -> None:
    """Nothing is guessed in its place."""
    for make in (ProportionGate, RateGate, lambda a: QuantileGate(a, 0.99, 1.0)):
        with pytest.raises(GateInputError, match="alpha"):
            make(alpha)


def test_settings_out_of_range_are_refused() -> None:
    """A margin of everything, a quantile that is none, a threshold without end."""
    for margin in (1.0, 0.999_999_5, -0.01, 10**400, math.nan):
        for make in (ProportionGate, PairedGate):
            with pytest.raises(GateInputError, match="margin"):
                make(0.05, margin)
    with pytest.raises(GateInputError, match="quantile"):
        QuantileGate(0.05, 99, 1.0)
    with pytest.raises(GateInputError, match="threshold"):
        QuantileGate(0.05, 0.99, math.inf)
    with pytest.raises(GateInputError, match="threshold"):
        QuantileGate(0.05, 0.99, 10**400)


def test_a_state_of_another_gate_or_damaged_is_refused() -> None:
    """Evidence is not taken over from what it does not belong to."""
    state = ProportionGate(0.05).to_state()
    with pytest.raises(GateInputError, match="that of a RateGate"):
        RateGate.from_state(state)
    for damage in (
        {"logs": [0.0]},
        {"logs": [math.nan] * 5},
        {"logs": "evidence"},
        {"peak": -1.0},
        {"canary": [5, 4]},
        {"canary": 4},
        {"version": 99},
    ):
        with pytest.raises(GateInputError):
            ProportionGate.from_state(state | damage)
    with pytest.raises(GateInputError, match="lacks 'peak'"):
        ProportionGate.from_state({name: value for name, value in state.items() if name != "peak"})
