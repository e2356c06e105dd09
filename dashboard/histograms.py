"""Quantiles of merged base-2 exponential histograms, scale 5. Pure.

Bucket i covers (2^(i/32), 2^((i+1)/32)] ms. A bucket answers with its geometric midpoint, so a quantile
is off by at most 1.09 %. Source: OpenTelemetry metrics data model, "ExponentialHistogram".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

BUCKETS_PER_DOUBLING = 32
# p99 of fewer observations is the maximum in disguise.
MIN_N_FOR_P99 = 100


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Three percentiles of a latency.

    Attributes:
        p50_ms: Median; None when n is 0.
        p95_ms: 95th percentile; None when n is 0.
        p99_ms: 99th percentile; None when n is below `MIN_N_FOR_P99`.
        n: Observations.
    """

    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    n: int


def quantiles(frame: pd.DataFrame, probabilities: Sequence[float]) -> list[float] | None:
    """Return quantiles in ms of a frame with bucket and n; None when it counts nothing."""
    buckets, counts = _merged(frame)
    if counts.sum() == 0:
        return None
    places = np.searchsorted(np.cumsum(counts), np.asarray(probabilities) * counts.sum(), side="left")
    return [float(2.0 ** ((buckets[p] + 0.5) / BUCKETS_PER_DOUBLING)) for p in places]


def percentiles(frame: pd.DataFrame) -> Percentiles:
    """Return p50, p95 and p99 of a frame with bucket and n."""
    n = int(frame["n"].sum())
    found = quantiles(frame, (0.50, 0.95, 0.99))
    if found is None:
        return Percentiles(None, None, None, 0)
    return Percentiles(found[0], found[1], found[2] if n >= MIN_N_FOR_P99 else None, n)


def share_within(frame: pd.DataFrame, limit_ms: float) -> float | None:
    """Return the share of observations up to a limit; a bucket counts where its midpoint lies."""
    buckets, counts = _merged(frame)
    total = counts.sum()
    if total == 0:
        return None
    midpoints = 2.0 ** ((buckets + 0.5) / BUCKETS_PER_DOUBLING)
    return float(counts[midpoints <= limit_ms].sum() / total)


def _merged(frame: pd.DataFrame) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    if frame.empty:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    buckets, place = np.unique(frame["bucket"].to_numpy(dtype=np.int64), return_inverse=True)
    counts = np.bincount(place, weights=frame["n"].to_numpy(dtype=np.float64)).astype(np.int64)
    return buckets, counts
