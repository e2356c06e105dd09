"""Base-2 exponential histograms of scale 5: exactly mergeable distributions.

Bucket i covers (2^(i/32), 2^((i+1)/32)], the layout of OpenTelemetry exponential histograms and of
Prometheus native histograms at schema 5. The value reported for a bucket is its geometric midpoint,
so a quantile is off by at most 2^(1/64) - 1 = 1.09 %. Source: OpenTelemetry metrics data model,
"ExponentialHistogram".
"""

import math
from collections.abc import Iterable, Mapping, Sequence

SCALE = 5
BUCKETS_PER_DOUBLING = 2**SCALE
# One microsecond and one hour, in milliseconds: what any stage of a cart can honestly take.
# Values outside are counted in the end buckets rather than lost.
SMALLEST_MS = 0.001
LARGEST_MS = 3_600_000.0


def bucket_of(value_ms: float) -> int:
    """Return the index of the bucket that holds a duration.

    Raises:
        ValueError: the value is NaN.
    """
    if math.isnan(value_ms):
        msg = "a duration is a number"
        raise ValueError(msg)
    clamped = min(max(float(value_ms), SMALLEST_MS), LARGEST_MS)
    upper: int = math.ceil(math.log2(clamped) * BUCKETS_PER_DOUBLING)
    return upper - 1


def bucket_midpoint_ms(bucket: int) -> float:
    """Return the geometric midpoint of a bucket, in the unit of the values."""
    return float(2.0 ** ((bucket + 0.5) / BUCKETS_PER_DOUBLING))


class ExponentialHistogram:
    """Counts per bucket; adding and merging never lose a count."""

    __slots__ = ("_counts",)

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self._counts: dict[int, int] = {i: n for i, n in (counts or {}).items() if n}

    @classmethod
    def of(cls, values_ms: Iterable[float]) -> "ExponentialHistogram":
        """Count values."""
        histogram = cls()
        for value in values_ms:
            histogram.add(value)
        return histogram

    @classmethod
    def from_dense(cls, offset: int, counts: Sequence[int]) -> "ExponentialHistogram":
        """Read the wire form: counts of consecutive buckets from an offset."""
        return cls({offset + i: n for i, n in enumerate(counts)})

    def add(self, value_ms: float, n: int = 1) -> None:
        """Count a value n times."""
        bucket = bucket_of(value_ms)
        self._counts[bucket] = self._counts.get(bucket, 0) + n

    def merge(self, other: "ExponentialHistogram") -> None:
        """Add another histogram's counts to this one."""
        for bucket, n in other.counts().items():
            self._counts[bucket] = self._counts.get(bucket, 0) + n

    def clear(self) -> None:
        """Forget all counts."""
        self._counts.clear()

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self._counts.values())

    def counts(self) -> dict[int, int]:
        """Return a copy of the non-zero counts by bucket, in bucket order."""
        return dict(sorted(self._counts.items()))

    def to_dense(self) -> tuple[int, list[int]]:
        """Return the wire form; (0, []) when empty."""
        if not self._counts:
            return 0, []
        low, high = min(self._counts), max(self._counts)
        return low, [self._counts.get(i, 0) for i in range(low, high + 1)]

    def quantile(self, q: float) -> float | None:
        """Return the q-quantile (0 <= q <= 1) within 1.1 %, or None when empty."""
        if not 0.0 <= q <= 1.0:
            msg = f"a quantile lies in 0..1, not {q}"
            raise ValueError(msg)
        total = self.count
        seen = 0
        for bucket, n in sorted(self._counts.items()):
            seen += n
            if seen >= q * total:
                return bucket_midpoint_ms(bucket)
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExponentialHistogram) and self._counts == other._counts

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"ExponentialHistogram({self.counts()!r})"
