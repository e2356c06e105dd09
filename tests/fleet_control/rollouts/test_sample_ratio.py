"""The check that canaries are heard as often as they should be."""

import json

import numpy as np
import pytest

from fleet_control.errors import GateInputError
from fleet_control.rollouts.gating.blocks import Shares
from fleet_control.rollouts.gating.sample_ratio import MIN_PAST, TOLERANCE, SampleRatioGate

PAST = {"canary_past": 10_000, "control_past": 30_000}


def trips(rng: np.random.Generator, share: float, count: int = 40) -> Shares:
    """Return the events of a block's trips: each of one cart, up to fifteen events."""
    sizes = rng.integers(1, 16, count)
    is_canary = rng.random(count) < share
    return Shares(int(sizes[is_canary].sum()), int(sizes[~is_canary].sum()), **PAST)


def fed(rng: np.random.Generator, odds: float, blocks: int = 600) -> SampleRatioGate:
    """Return the gate after blocks in which the canaries' odds are so many times the past ones."""
    gate, past = SampleRatioGate(), PAST["canary_past"] / PAST["control_past"]
    share = past * odds / (1 + past * odds)
    for _ in range(blocks):
        gate.update(trips(rng, share))
    return gate


@pytest.mark.parametrize("odds", [1.0, 1 / TOLERANCE, TOLERANCE])
def test_it_keeps_quiet_up_to_the_edge_of_the_tolerance(odds: float) -> None:
    """Forty rollouts of thousands of trips, each cart's trips in one piece: at most two alarms at 1 %."""
    alarms = sum(fed(np.random.default_rng(seed), odds).rejected for seed in range(40))
    assert alarms <= 2


@pytest.mark.parametrize("odds", [0.5, 0.0, 2.5])
def test_it_fires_when_events_vanish_on_either_side(odds: float) -> None:
    """Half the canaries' events, all of them, or more than half the controls'."""
    assert all(fed(np.random.default_rng(seed), odds).rejected for seed in range(5))


def test_too_small_a_past_tells_nothing() -> None:
    """A handful of events yesterday is no expectation."""
    gate = SampleRatioGate()
    assert not gate.update(Shares(0, 10_000, MIN_PAST - 1, 10 * MIN_PAST))
    assert (gate.e_value, gate.counted) == (1.0, (0, 0))


def test_it_is_the_same_after_a_night_in_the_database() -> None:
    """Through JSON and back, it goes on as if nothing had been."""
    rng = np.random.default_rng(4)
    gate = fed(rng, 0.9, blocks=20)
    again = SampleRatioGate.from_state(json.loads(json.dumps(gate.to_state())))
    more = trips(rng, 0.1)
    gate.update(more)
    again.update(more)
    assert again.to_state() == gate.to_state()
    assert gate.expected > gate.counted[0] > 0
    with pytest.raises(GateInputError):
        SampleRatioGate.from_state({**gate.to_state(), "gate": "RateGate"})
