"""Stories about the gate whose unit is a pair of carts: what it promises, finds, and keeps."""

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_control.errors import GateInputError
from fleet_control.statistics.sequential import PairedGate

PAIRS = 30
EVENTS = 3000


def differences(rng: np.random.Generator, spread: float, change: float) -> list[float]:
    """Return pairs of carts that differ of themselves; the lot says which of them is the canary."""
    rates = np.clip(0.95 + rng.normal(0.0, spread, (PAIRS, 2)), 0.0, 1.0)
    swapped = np.where(rng.random(PAIRS)[:, None] < 0.5, rates[:, ::-1], rates)
    seen = rng.binomial(EVENTS, np.clip(swapped + np.array([change, 0.0]), 0.0, 1.0)) / EVENTS
    return [float(canary - control) for canary, control in seen]


@given(
    sizes=st.lists(st.floats(0.0, 0.3), min_size=1, max_size=7),
    change=st.floats(-0.3, 0.3),
    margin=st.sampled_from([0.0, 0.02]),
)
def test_the_lot_alone_gives_no_evidence(sizes: list[float], change: float, margin: float) -> None:
    """Over every outcome of the lot, for pairs that differ however much: at most one on average, either way.

    The canary loses just the margin or less (for harm), or the margin or more (for a promotion).
    """
    loss = abs(change)
    harm = benefit = 0.0
    lots = list(itertools.product((-1.0, 1.0), repeat=len(sizes)))
    for lot in lots:
        pairs = [sign * size for sign, size in zip(lot, sizes, strict=True)]
        tolerable, bad = PairedGate(0.05, margin), PairedGate(0.05, margin)
        tolerable.update([one - margin + loss for one in pairs])
        harm += tolerable.e_value / len(lots)
        # Evidence that it loses less than the margin is evidence of harm of the mirrored differences.
        bad.update([-(one - margin - loss) - 2 * margin for one in pairs])
        benefit += bad.e_value / len(lots)
    assert harm <= 1.0 + 1e-9
    assert benefit <= 1.0 + 1e-9


@pytest.mark.parametrize("spread", [0.005, 0.01, 0.02])
def test_carts_that_differ_do_not_make_verdicts(spread: float) -> None:
    """No change at all: neither harm nor a promotion without a margin in more than one of twenty rollouts."""
    rng = np.random.default_rng(1)
    harmed = promoted = covered = 0
    for _ in range(200):
        gate = PairedGate(0.05, 0.0)
        for one in differences(rng, spread, 0.0):
            gate.update([one])
        harmed += gate.rejected
        promoted += gate.passed
        low, high = gate.interval
        covered += low <= 0.0 <= high
    assert max(harmed, promoted) < 17
    assert covered >= 183


def test_a_canary_that_loses_the_margin_is_not_promoted() -> None:
    """Two points are tolerated and two are lost: the promotion has to be proven, and is not."""
    rng = np.random.default_rng(2)
    promoted = 0
    for _ in range(200):
        gate = PairedGate(0.05, 0.02)
        gate.update(differences(rng, 0.01, -0.02))
        promoted += gate.passed
    assert promoted < 17


def test_thirty_pairs_prove_a_good_canary_and_convict_a_bad_one() -> None:
    """With carts that differ by a point: no loss is proven within a margin of two; four lost are found."""
    rng = np.random.default_rng(3)
    good = bad = 0
    for _ in range(50):
        gate = PairedGate(0.05, 0.02)
        gate.update(differences(rng, 0.01, 0.0))
        good += gate.passed and not gate.rejected
        gate = PairedGate(0.05, 0.02)
        gate.update(differences(rng, 0.01, -0.04))
        bad += gate.rejected and not gate.passed
    assert good >= 48
    assert bad >= 48


def test_the_interval_narrows_around_the_change() -> None:
    """Everything before any pair, a few points after ten, and it agrees with the verdict."""
    rng = np.random.default_rng(4)
    gate = PairedGate(0.05, 0.02)
    assert gate.interval == (-1.0, 1.0)
    widths = []
    for one in differences(rng, 0.01, 0.0):
        gate.update([one])
        low, high = gate.interval
        widths.append(high - low)
    assert widths[0] > 0.5
    assert widths[-1] < 0.03
    assert low < 0.0 < high
    assert gate.passed
    assert low > -0.02


def test_equal_pairs_are_proof_without_a_division_by_nothing() -> None:
    """Every difference is exactly zero: no loss, and not below one."""
    gate = PairedGate(0.05, 0.01)
    gate.update([0.0] * 20)
    assert gate.passed
    low, high = gate.interval
    assert -0.01 < low <= 0.0 <= high < 0.01
    assert not gate.rejected


@given(st.lists(st.floats(-1.0, 1.0), max_size=20), st.integers(0, 20))
def test_pairs_one_by_one_or_together_or_stored_between_are_the_same(pairs: list[float], cut: int) -> None:
    """The order counts, the packing does not; JSON in between changes nothing."""
    together, apart = PairedGate(0.05, 0.02), PairedGate(0.05, 0.02)
    together.update(pairs)
    for number, one in enumerate(pairs):
        apart.update([one])
        if number == cut:
            apart = PairedGate.from_state(json.loads(json.dumps(apart.to_state())))
    assert apart.interval == together.interval
    assert (apart.rejected, apart.passed) == (together.rejected, together.passed)
    assert apart.e_value == pytest.approx(together.e_value)


@pytest.mark.parametrize("wrong", [1.01, -1.01, math.nan, "0.1", True])
def test_a_difference_that_cannot_be_is_refused_and_changes_nothing(wrong: Any) -> None:
    """Shares differ by one at most."""
    gate = PairedGate(0.05, 0.02)
    gate.update([0.01])
    before = gate.to_state()
    with pytest.raises(GateInputError, match="difference"):
        gate.update([0.02, wrong])
    assert gate.to_state() == before


def test_a_damaged_state_is_refused() -> None:
    """Verdicts are not read out of what is no state."""
    state = PairedGate(0.05, 0.02).to_state()
    for damage in (
        {"differences": [2.0]},
        {"peak": math.nan},
        {"passed": 1},
        {"gate": "RateGate"},
        {"alpha": 2},
    ):
        with pytest.raises(GateInputError):
            PairedGate.from_state(state | damage)
