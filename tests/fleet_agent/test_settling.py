"""Stories about the scale: steps are found with the right size, drift and noise are not steps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_agent.ports import ScaleReading
from fleet_agent.settling import SettleLimits, SettleState, WeightChange, step

LIMITS = SettleLimits(settle_s=0.5, noise_g=5.0, min_change_g=10.0)


def run(weights: list[float], rate_per_s: float = 10.0, **flags: list[bool]) -> list[WeightChange]:
    """Feed readings and return the changes."""
    state, changes = SettleState(), []
    for i, grams in enumerate(weights):
        stable = flags["stable"][i] if "stable" in flags else None
        overload = flags["overload"][i] if "overload" in flags else False
        reading = ScaleReading(grams, i / rate_per_s, stable=stable, overload=overload)
        state, change = step(state, reading, LIMITS)
        if change is not None:
            changes.append(change)
    return changes


def noisy(levels: list[float], each: int, sd_g: float, seed: int) -> list[float]:
    """Return each level for a while, with noise."""
    rng = np.random.default_rng(seed)
    return [float(level + rng.normal(0, sd_g)) for level in levels for _ in range(each)]


@settings(max_examples=80, deadline=None)
@given(
    steps=st.lists(st.one_of(st.floats(20, 3000), st.floats(-3000, -20)), min_size=1, max_size=6),
    sd_g=st.floats(0, 2),
    seed=st.integers(0, 1000),
    rate_per_s=st.sampled_from([5.0, 10.0, 20.0, 80.0]),
)
def test_every_step_is_found_once_with_its_size(
    steps: list[float], sd_g: float, seed: int, rate_per_s: float
) -> None:
    """Items put in and taken out are found, each once, within noise."""
    levels = [5000.0, *np.cumsum([5000.0 + steps[0], *steps[1:]]).tolist()]
    changes = run(noisy(levels, round(3 * rate_per_s), sd_g, seed), rate_per_s)
    assert [c.change_g for c in changes] == pytest.approx(steps, abs=4 * sd_g + 0.5)
    assert all(c.started_s <= c.moved_s <= c.settled_s for c in changes)


@settings(max_examples=40, deadline=None)
@given(drift_g_per_s=st.floats(-0.4, 0.4), sd_g=st.floats(0, 2.5), seed=st.integers(0, 1000))
def test_drift_and_noise_are_no_items(drift_g_per_s: float, sd_g: float, seed: int) -> None:
    """A scale that warms up, on a cart that trembles, puts nothing into the basket."""
    rng = np.random.default_rng(seed)
    weights = [1000 + drift_g_per_s * i / 10 + float(rng.normal(0, sd_g)) for i in range(1200)]
    assert run(weights) == []


def test_a_bump_that_goes_away_is_nothing() -> None:
    """A hand that leans on the rim and leaves changes nothing."""
    assert run(noisy([1000], 30, 1.0, 1) + [4000.0] * 4 + noisy([1000], 30, 1.0, 2)) == []


def test_a_spike_is_nothing() -> None:
    """One absurd reading is no item."""
    weights = noisy([1000], 60, 1.0, 2)
    weights[30] = 90_000.0
    assert run(weights) == []


def test_a_shaking_scale_waits_until_it_is_quiet() -> None:
    """While the cart rolls over a threshold nothing is decided; afterwards the change is right."""
    rng = np.random.default_rng(3)
    shaking = [1500 + float(rng.normal(0, 60)) for _ in range(60)]
    changes = run(noisy([1000], 20, 1.0, 3) + shaking + noisy([1500], 30, 1.0, 4))
    assert [round(c.change_g, -1) for c in changes] == [500]


def test_a_slow_placement_is_one_change_of_full_size() -> None:
    """An item lowered over two seconds is one change, not a staircase."""
    ramp = [1000 + 800 * i / 20 for i in range(20)]
    changes = run([1000.0] * 20 + ramp + [1800.0] * 20)
    assert [round(c.change_g) for c in changes] == [800]


def test_the_scale_may_say_that_it_is_unstable() -> None:
    """A scale's own flag is believed: no change while it says unstable."""
    weights = [1000.0] * 20 + [1500.0] * 40
    stable = [True] * 20 + [False] * 30 + [True] * 10
    changes = run(weights, stable=stable)
    assert len(changes) == 1
    assert changes[0].settled_s >= 5.0


def test_overload_is_not_weight() -> None:
    """What an overloaded scale shows is no reading."""
    weights = [1000.0] * 20 + [float("nan")] * 10 + [1000.0] * 20
    overload = [False] * 20 + [True] * 10 + [False] * 20
    assert run(weights, overload=overload) == []


def test_what_lies_in_the_cart_at_the_start_is_no_item() -> None:
    """A cart that starts half full has made no event."""
    assert run([3210.0] * 50) == []


def test_a_slow_scale_settles_too() -> None:
    """Two readings a second are enough, only later."""
    changes = run([1000.0] * 10 + [1400.0] * 10, rate_per_s=2.0)
    assert [c.change_g for c in changes] == [400.0]
