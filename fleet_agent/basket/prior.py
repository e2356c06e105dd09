r"""What is likely before anything was seen or weighed: pure.

Into the cart, any item of the catalogue: P(k, n) = pi(k) g^(n-1) / sum. Out of it, what lies in it:

    P(k, n) = (1 - l) c_k / sum(c) * g^(n-1) / sum_{m <= c_k} g^(m-1)   for n <= c_k, else 0
            + l pi(k) g^(n-1) / sum

c_k pieces of k are booked. l is the leak: without it one wrongly booked item would make its true removal
impossible to recognise, and every later one of the same item. It is small while all that lies in the cart is
known, and large while an asked item is unconfirmed or no trip has begun, when the books say little. Of an
empty cart that is known completely only the leak is left: the rest is of something unknown, or a shift.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fleet_agent.config import FusionConfig

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Inside:
    """What the books say lies in the cart, in the order of the network's classes.

    Attributes:
        pieces: float64 (K,), not negative.
        complete: Nothing else does: the trip has begun and no asked item is unconfirmed.
    """

    pieces: Floats
    complete: bool


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """Before the evidence, and before the shares of unknown things, pairs and shifts.

    Two are the same only if they are one object, so that what follows from one can be kept.

    Attributes:
        anything: float64 (K,), of the catalogue's items.
        quantity: float64 (Q,), of 1 to Q pieces.
        inside: What can be taken out; None when something is put in, or nothing is known.
        leak: Share of removals that the books do not know of.
        nothing: Share of movements that can be no item: nothing lies there to be taken out.
    """

    anything: Floats
    quantity: Floats
    inside: Inside | None
    leak: float
    nothing: float = 0.0

    def singles(self) -> Floats:
        """Return P(k, n), float64 (Q, K), which sums to 1 less `nothing`."""
        free = np.outer(self.quantity, self.anything)
        if self.inside is None:
            return (1.0 - self.nothing) * free
        pieces = self.inside.pieces
        allowed = self.quantity[:, None] * (np.arange(1, len(self.quantity) + 1)[:, None] <= pieces)
        per_item = allowed / np.maximum(allowed.sum(axis=0), self.quantity[0])
        booked: Floats = per_item * (pieces / pieces.sum())
        return (1.0 - self.leak) * booked + self.leak * free

    def pairs(self, first: NDArray[np.intp], second: NDArray[np.intp]) -> Floats:
        """Return P(a, b) of unordered pairs of different items; all sum to 1 less `nothing`."""
        free = _pair_share(self.anything, first, second)
        if self.inside is None:
            return (1.0 - self.nothing) * free
        booked = _pair_share(self.inside.pieces / self.inside.pieces.sum(), first, second)
        return (1.0 - self.leak) * booked + self.leak * free


def _pair_share(share: Floats, first: NDArray[np.intp], second: NDArray[np.intp]) -> Floats:
    """Return the probability that two draws give these two, given that they differ."""
    differ = 1.0 - float((share**2).sum())
    if differ <= 0.0:
        return np.zeros(len(first))
    pairs: Floats = 2.0 * share[first] * share[second] / differ
    return pairs


def prior_of(
    classes: int,
    config: FusionConfig,
    *,
    removal: bool,
    inside: Inside | None,
    anything: Sequence[float] | Floats | None,
) -> Prior:
    """Return the prior of one movement.

    Args:
        classes: Size of the catalogue.
        config: Shares.
        removal: The weight became less.
        inside: What lies in the cart, if that is known.
        anything: Probability of each item of the catalogue; None makes them equal.
    """
    free = _free(classes, config.multiple_share, config.max_quantity)
    known = free.anything if anything is None else np.asarray(anything, np.float64)
    quantity = free.quantity
    if removal and inside is not None and inside.complete and inside.pieces.sum() <= 0.0:
        return Prior(known, quantity, None, 1.0, nothing=1.0 - config.removal_leak)
    if not removal or inside is None or inside.pieces.sum() <= 0.0:
        return free if anything is None else Prior(known, quantity, None, 1.0)
    leak = config.removal_leak if inside.complete else config.open_removal_leak
    return Prior(known, quantity, inside, leak)


@lru_cache(maxsize=4)
def _free(classes: int, multiple_share: float, max_quantity: int) -> Prior:
    """Return the prior of anything in the catalogue: a cart needs one, again and again."""
    quantity: Floats = np.power(multiple_share, np.arange(max_quantity), dtype=np.float64)
    quantity /= quantity.sum()
    return Prior(np.full(classes, 1.0 / classes), quantity, None, 1.0)
