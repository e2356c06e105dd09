"""Exponential histograms: accuracy, merging, wire form."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_protocol.histogram import (
    LARGEST_MS,
    SMALLEST_MS,
    ExponentialHistogram,
    bucket_midpoint_ms,
    bucket_of,
)

durations = st.floats(min_value=SMALLEST_MS, max_value=LARGEST_MS)
samples = st.lists(durations, max_size=60)


@given(durations)
def test_every_duration_lies_in_its_bucket_and_within_1_1_percent_of_its_midpoint(value: float) -> None:
    """The promise of scale 5."""
    bucket = bucket_of(value)

    assert 2 ** (bucket / 32) * (1 - 1e-12) <= value <= 2 ** ((bucket + 1) / 32) * (1 + 1e-12)
    assert abs(bucket_midpoint_ms(bucket) / value - 1) <= 0.011


def test_a_power_of_two_belongs_to_the_bucket_it_closes() -> None:
    """Buckets are open below and closed above, as in OpenTelemetry."""
    assert bucket_of(1.0) == -1
    assert bucket_of(2.0) == 31
    assert bucket_of(2.0 + 1e-9) == 32


@given(samples, samples)
def test_merging_equals_counting_together(left: list[float], right: list[float]) -> None:
    """Merging is exact."""
    merged = ExponentialHistogram.of(left)
    merged.merge(ExponentialHistogram.of(right))

    assert merged == ExponentialHistogram.of([*left, *right])


@given(samples)
def test_the_wire_form_reads_back(values: list[float]) -> None:
    """Dense counts lose nothing."""
    histogram = ExponentialHistogram.of(values)

    assert ExponentialHistogram.from_dense(*histogram.to_dense()) == histogram
    assert histogram.count == len(values)


@given(st.lists(durations, min_size=1, max_size=200), st.floats(min_value=0.01, max_value=1))
def test_a_quantile_is_within_1_1_percent_of_the_exact_one(values: list[float], q: float) -> None:
    """The exact quantile is the smallest value with at least q of the values at or below it."""
    exact = sorted(values)[math.ceil(q * len(values)) - 1]
    estimate = ExponentialHistogram.of(values).quantile(q)

    assert estimate == pytest.approx(exact, rel=0.0112)


def test_values_out_of_range_are_counted_in_the_end_buckets() -> None:
    """A stuck clock loses no count."""
    histogram = ExponentialHistogram.of([0.0, -5.0, math.inf])

    assert histogram.count == 3
    assert set(histogram.counts()) == {bucket_of(SMALLEST_MS), bucket_of(LARGEST_MS)}


def test_an_empty_histogram_has_no_quantile_and_nonsense_is_refused() -> None:
    """Unknown is never zero."""
    histogram = ExponentialHistogram()

    assert histogram.quantile(0.5) is None
    assert histogram.to_dense() == (0, [])
    with pytest.raises(ValueError, match="quantile"):
        histogram.quantile(1.5)
    with pytest.raises(ValueError, match="duration"):
        histogram.add(math.nan)
