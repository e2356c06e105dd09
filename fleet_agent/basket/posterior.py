"""The hypotheses about one weight change and their probabilities (formulas: see `fusion`): pure."""

import math
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from fleet_agent.basket.evidence import Views, log_uniform
from fleet_agent.basket.prior import Prior
from fleet_agent.basket.weighed import ItemWeights, log_pairs, log_shift, log_singles, log_unknown
from fleet_agent.config import FusionConfig

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

# Log probability of what cannot be, such as a prior of zero: far below all else, and still finite.
IMPOSSIBLE = -1e9


@dataclass(frozen=True, slots=True)
class Posterior:
    """Probabilities of all hypotheses, which sum to 1.

    Attributes:
        singles: float64 (Q, K).
        first: Classes of the pairs' first items, (P,).
        second: Of their second items.
        pairs: float64 (P,).
        unknown: Of something unknown.
        shift: Of nothing.
        everything: All of the above in one array.
    """

    singles: Floats
    first: Indices
    second: Indices
    pairs: Floats
    unknown: float
    shift: float
    everything: Floats

    def by_item(self) -> Floats:
        """Return the probability that each item moved, float64 (K,); sums to at most 1."""
        by_item: Floats = self.singles.sum(axis=0)
        if not len(self.pairs):
            return by_item
        np.add.at(by_item, self.first, self.pairs / 2)
        np.add.at(by_item, self.second, self.pairs / 2)
        return by_item


def posterior_of(
    views: Views | None,
    own: Floats | None,
    *,
    change_g: float,
    weights: ItemWeights,
    prior: Prior,
    returning_g: float | None,
    config: FusionConfig,
) -> Posterior:
    """Return the probability of every hypothesis.

    Args:
        views: What the cameras saw, if they saw anything.
        own: Each camera's log p of each class, float64 (C, K), with it.
        change_g: Signed.
        weights: Of the items.
        prior: Of the items.
        returning_g: The change that would take back an unseen one before.
        config: Correlations, shares, noise.
    """
    classes = len(weights.mean_g)
    alpha = 1.0 if own is None else 1.0 / (1.0 + (len(own) - 1) * config.camera_correlation)
    vision = np.zeros(classes) if own is None else alpha * own.sum(axis=0)
    nothing = 0.0 if views is None else alpha * log_uniform(classes) * float(views.weights.sum())
    first, second, seen_pairs = _pairs(views, alpha, config)
    known = 1.0 - config.unknown_share - config.shift_share - config.pair_share
    singles = _log_singles_prior(prior, known) + log_singles(change_g, weights, config) + vision
    pairs = seen_pairs
    if len(first):
        pairs = _log(config.pair_share * prior.pairs(first, second)) + seen_pairs
        pairs += log_pairs(change_g, weights, first, second, config)
    # What can be no item is unknown or a shift, in the proportion of their own shares.
    no_item = config.unknown_share + config.shift_share
    more = math.log(1.0 + prior.nothing * (1.0 - no_item) / no_item)
    rest = (
        more + math.log(config.unknown_share) + nothing + log_unknown(config),
        more + nothing + log_shift(change_g, returning_g, config),
    )
    joint = np.concatenate([singles.ravel(), pairs, rest])
    p = np.exp(joint - joint.max())
    p /= p.sum()
    cut = singles.size
    return Posterior(p[:cut].reshape(singles.shape), first, second, p[cut:-2], float(p[-2]), float(p[-1]), p)


def _pairs(views: Views | None, alpha: float, config: FusionConfig) -> tuple[Indices, Indices, Floats]:
    """Return the pairs of the best-looking items, and what the cameras say about them.

    Both must have been the best of some detection: else the weight would make up a second item.
    """
    if views is None or len(views.named) < 2:
        nobody = np.empty(0, np.intp)
        return nobody, nobody, np.empty(0)
    # An item that one detection shows well is a candidate, whatever the others show.
    looks = (views.weights[:, None] * np.exp(views.logs[:, views.named])).max(axis=0)
    candidates = views.named[np.argsort(looks)[::-1][: config.pair_candidates]]
    rows, columns = _triangle(len(candidates))
    first, second = candidates[rows], candidates[columns]
    half = np.logaddexp(views.logs[:, first], views.logs[:, second]) - math.log(2.0)
    seen: Floats = alpha * (views.weights @ half)
    return first, second, seen


@cache
def _triangle(size: int) -> tuple[Indices, Indices]:
    rows, columns = np.triu_indices(size, 1)
    return rows, columns


@lru_cache(maxsize=4)
def _log_singles_prior(prior: Prior, known: float) -> Floats:
    """Return the log prior of 1 to Q pieces of each item: of most movements it is the same."""
    return _log(known * prior.singles())


def _log(p: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(p), IMPOSSIBLE)
