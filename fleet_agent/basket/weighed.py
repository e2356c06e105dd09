r"""What the scale says about a movement: pure.

    p(dw | n pieces of k) = (1 - e) N(|dw|; n mu_k, w^2 + n sd_k^2) + e / W     W: range of the scale
    p(dw | a and b)       = the same with mu_a + mu_b and both variances
    p(dw | unknown)       = 1 / W
    p(dw | shift)         = N(dw; 0, w^2 + v^2); or N(dw; -d, 2 w^2), which takes back an unseen change d

e is the outlier mass: a hand on the rim makes the weight say nothing, and then the cameras decide (or nobody
does). w is the standard deviation of a settled change of nothing, v that of a shift.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fleet_agent.config import FusionConfig
from fleet_agent.manifest import ItemClass

Floats = NDArray[np.float64]

# Odds that after a change which no camera saw the next one takes it back, against all else: a hand that
# leaned on the cart is lifted. Lower asks about every such hand twice; higher overlooks an item of just that
# weight which is taken out unseen.
RETURNING_ODDS = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class ItemWeights:
    """What one piece of each item weighs, in the order of the network's classes.

    Two are the same only if they are one object, so that what follows from one can be kept.

    Attributes:
        mean_g: float64 (K,).
        sd_g: float64 (K,), between pieces.
    """

    mean_g: Floats
    sd_g: Floats


def catalogue_weights(classes: Sequence[ItemClass]) -> ItemWeights:
    """Return the weights of the catalogue."""
    size = len(classes)
    return ItemWeights(
        np.fromiter((item.weight_g for item in classes), np.float64, size),
        np.fromiter((item.weight_sd_g for item in classes), np.float64, size),
    )


def log_singles(change_g: float, weights: ItemWeights, config: FusionConfig) -> Floats:
    """Return the log likelihood of 1 to Q pieces of each item, float64 (Q, K)."""
    mean_g, precision, height = _by_quantity(weights, config.max_quantity, config.scale_sd_g)
    gap_g = mean_g - abs(change_g)
    share = config.weight_outlier_share
    normal = np.exp(gap_g * gap_g * precision) * height
    logs: Floats = np.log((1 - share) * normal + share / config.weight_range_g)
    return logs


@lru_cache(maxsize=4)
def _by_quantity(weights: ItemWeights, most: int, scale_sd_g: float) -> tuple[Floats, Floats, Floats]:
    """Return mean, -1 / (2 variance) and the density's height of 1 to Q pieces, float64 (Q, K) each."""
    n = np.arange(1, most + 1)[:, None]
    variance = scale_sd_g**2 + n * weights.sd_g**2
    return n * weights.mean_g, -0.5 / variance, 1.0 / np.sqrt(2 * math.pi * variance)


def log_pairs(
    change_g: float,
    weights: ItemWeights,
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    config: FusionConfig,
) -> Floats:
    """Return the log likelihood of one piece of each of two items, float64 (P,)."""
    gap_g = abs(change_g) - weights.mean_g[first] - weights.mean_g[second]
    return _log_mixture(gap_g, weights.sd_g[first] ** 2 + weights.sd_g[second] ** 2, config)


def _log_mixture(gap_g: Floats, item_variance: Floats, config: FusionConfig) -> Floats:
    variance = config.scale_sd_g**2 + item_variance
    normal = np.exp(-(gap_g**2) / (2 * variance)) / np.sqrt(2 * math.pi * variance)
    share = config.weight_outlier_share
    logs: Floats = np.log((1 - share) * normal + share / config.weight_range_g)
    return logs


def log_unknown(config: FusionConfig) -> float:
    """Return the log likelihood of any change by something that is not in the catalogue."""
    return -math.log(config.weight_range_g)


def log_shift(change_g: float, returning_g: float | None, config: FusionConfig) -> float:
    """Return the log of share times likelihood of a change although nothing was put in or taken out.

    Args:
        change_g: Signed.
        returning_g: The change that would take back an unseen one before; None: there is none.
        config: Shares, noise.
    """
    scale = config.scale_sd_g**2
    shifted = math.log(config.shift_share) + _log_normal(change_g, scale + config.shift_sd_g**2)
    if returning_g is None:
        return shifted
    returned = math.log(RETURNING_ODDS) + _log_normal(change_g - returning_g, 2 * scale)
    return float(np.logaddexp(shifted, returned))


def _log_normal(gap_g: float, variance: float) -> float:
    return -(gap_g**2) / (2 * variance) - 0.5 * math.log(2 * math.pi * variance)
