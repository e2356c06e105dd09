"""How different two distributions over the same bins are. Pure.

The Jensen-Shannon distance, base 2: the square root of the Jensen-Shannon divergence in bits. 0 is
equal, 1 is nothing in common. Source: J. Lin, "Divergence measures based on the Shannon entropy",
IEEE Trans. Inf. Theory 37 (1991); the square root is a metric: Endres & Schindelin (2003).

A first version: it measures, it does not test. `chance_level` says what two samples of one and the
same distribution would show on average if every count were independent. Neighbouring frames are
not independent, so the true level is higher.
"""

import math

import numpy as np
import numpy.typing as npt

# Below this many counts on either side a distance says little; the page says so.
FEW_COUNTS = 100


def js_distance(left: npt.ArrayLike, right: npt.ArrayLike) -> float | None:
    """Return the distance of two rows of counts, 0..1; None when either counts nothing.

    Raises:
        ValueError: the rows differ in length.
    """
    p, q = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if p.shape != q.shape:
        raise ValueError(f"{p.size} bins against {q.size}")
    if p.sum() <= 0 or q.sum() <= 0:
        return None
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    divergence = (_divergence_bits(p, middle) + _divergence_bits(q, middle)) / 2
    return math.sqrt(min(1.0, max(0.0, divergence)))


def _divergence_bits(p: npt.NDArray[np.float64], of: npt.NDArray[np.float64]) -> float:
    some = p > 0
    return float(np.sum(p[some] * np.log2(p[some] / of[some])))


def chance_level(bins: int, n_left: int, n_right: int) -> float | None:
    """Return the distance to expect of two independent samples of one distribution.

    The divergence of two such samples is about chi-squared: (bins - 1)(1/n + 1/m) / (8 ln 2) bits.
    """
    if n_left <= 0 or n_right <= 0:
        return None
    divergence = (max(1, bins) - 1) * (1 / n_left + 1 / n_right) / (8 * math.log(2))
    return math.sqrt(min(1.0, divergence))
