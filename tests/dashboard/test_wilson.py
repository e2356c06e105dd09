"""Stories of shares and their intervals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.wilson import rate, wilson_interval


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (960, 1000, 0.9460, 0.9705)],
)
def test_known_values(successes: int, n: int, low: float, high: float) -> None:
    """The 95 % Wilson interval equals published values to four digits."""
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=6e-5)


def test_nothing_is_known_without_events() -> None:
    """Without events the share is unknown, not zero, and the interval says nothing."""
    nothing = rate(0, 0)

    assert nothing.share is None
    assert (nothing.low, nothing.high) == (0.0, 1.0)


def test_more_successes_than_events_are_refused() -> None:
    """Counts that contradict each other are an error, not an interval."""
    with pytest.raises(ValueError, match="11 successes of 10"):
        wilson_interval(11, 10)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_holds_the_share(counts: tuple[int, int]) -> None:
    """The interval lies in 0..1, holds the share, and has width."""
    found = rate(*counts)

    assert found.share is not None
    assert 0.0 <= found.low <= found.share <= found.high <= 1.0
    assert found.high > found.low
