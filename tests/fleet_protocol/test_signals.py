"""Drift signals: fixed bins and their counts."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_protocol.signals import BRIGHTNESS, SIGNALS, Signal, SignalCounter, add_counts, trim

counts = st.lists(st.integers(min_value=0, max_value=1000), max_size=30)


@pytest.mark.parametrize("signal", SIGNALS.values(), ids=str)
def test_the_bins_of_a_signal_tile_the_line(signal: Signal) -> None:
    """Each bin starts where the last one ends, and the ends are open."""
    bounds = [signal.bounds(i) for i in range(signal.bins)]

    assert bounds[0][0] is None
    assert bounds[-1][1] is None
    assert [upper for _, upper in bounds[:-1]] == [lower for lower, _ in bounds[1:]]
    assert list(signal.inner_edges) == sorted(set(signal.inner_edges))


@given(st.floats(allow_nan=False), st.sampled_from(sorted(SIGNALS)))
def test_a_value_falls_into_the_bin_that_bounds_it(value: float, name: str) -> None:
    """Lower edges are included, upper ones are not."""
    signal = SIGNALS[name]
    lower, upper = signal.bounds(signal.bin_of(value))

    assert lower is None or lower <= value
    assert upper is None or value < upper


def test_a_signal_that_is_not_a_number_is_refused() -> None:
    """A NaN would hide in some bin for ever."""
    with pytest.raises(ValueError, match="brightness"):
        SignalCounter(BRIGHTNESS).add(math.nan)


def test_draining_returns_the_counts_once() -> None:
    """The next window starts from zero."""
    counter = SignalCounter(BRIGHTNESS)
    counter.add(30)
    counter.add(30)

    assert counter.drain() == [0, 0, 2]
    assert counter.drain() == []


@given(counts, counts)
def test_adding_counts_ignores_cut_zeros(left: list[int], right: list[int]) -> None:
    """Trimmed and untrimmed counts add up to the same."""
    assert trim(add_counts(left, right)) == trim(add_counts(trim(right), trim(left)))
    assert sum(add_counts(left, right)) == sum(left) + sum(right)
