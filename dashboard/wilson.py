"""Shares with their Wilson intervals.

Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
JASA 22 (1927). Unlike the normal interval it stays inside 0..1 and has width at 0 of n and n of n.
"""

import math
from dataclasses import dataclass

# Two-sided 95 %.
Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with its 95 % Wilson interval.

    Attributes:
        successes: What was counted.
        n: Out of how many.
        share: successes / n, or None when n is 0.
        low: Lower bound, 0..1; 0 when n is 0.
        high: Upper bound, 0..1; 1 when n is 0.
    """

    successes: int
    n: int
    share: float | None
    low: float
    high: float


def wilson_interval(successes: int, n: int, z: float = Z_95) -> tuple[float, float]:
    """Return the bounds of a share; (0, 1), all that is known, when n is 0.

    Raises:
        ValueError: successes is not in 0..n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return max(0.0, low), min(1.0, high)


def rate(successes: int, n: int) -> Rate:
    """Return a share with its interval."""
    low, high = wilson_interval(successes, n)
    return Rate(successes, n, successes / n if n else None, low, high)
