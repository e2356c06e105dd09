"""How far weight alone tells the items of a catalogue apart: pure.

Two movements are separable when their mean weights lie `SIGMAS` standard deviations of the difference of
two weighings apart: |n mu_a - m mu_b| > 3 sqrt(2 w^2 + n sd_a^2 + m sd_b^2), w the scale's own. Most pairs
of a catalogue are, and yet the median item has look-alikes: the share of pairs flatters, the list per item
does not. So the manifest carries both, and what only cameras can tell apart is known before a cart is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet_agent.manifest import ItemClass

Floats = NDArray[np.float64]

# Three standard deviations: fewer calls items separable that a cart confuses every hundredth time; more
# calls hardly any separable.
SIGMAS = 3.0


@dataclass(frozen=True, slots=True)
class Separability:
    """What weight can do for a catalogue.

    Attributes:
        scale_sd_g: Standard deviation of a settled weight change that was assumed.
        max_quantity: Pieces of one item in one movement that were considered.
        sigmas: Distance from which two movements count as separable.
        separable_share: Of all pairs of items, one piece each; 1 for a catalogue of one item.
        look_alikes: Per item, in the catalogue's order, the other items that weigh like it: a piece of it
            like 1 to `max_quantity` of them, or as many of it like a piece of them.
        median_look_alikes: Of their numbers.
        max_look_alikes: Of their numbers.
    """

    scale_sd_g: float
    max_quantity: int
    sigmas: float
    separable_share: float
    look_alikes: Mapping[str, tuple[str, ...]]
    median_look_alikes: float
    max_look_alikes: int

    def to_dict(self) -> dict[str, Any]:
        """Return what the manifest's `weight_separability` holds: plain JSON."""
        return {
            "scale_sd_g": self.scale_sd_g,
            "max_quantity": self.max_quantity,
            "sigmas": self.sigmas,
            "separable_share": round(self.separable_share, 4),
            "median_look_alikes": self.median_look_alikes,
            "max_look_alikes": self.max_look_alikes,
            "look_alikes": {item_id: list(others) for item_id, others in self.look_alikes.items()},
        }


def separability(
    classes: Sequence[ItemClass], scale_sd_g: float, *, max_quantity: int = 4, sigmas: float = SIGMAS
) -> Separability:
    """Compare every item of a catalogue with every other by weight.

    Args:
        classes: The catalogue.
        scale_sd_g: Standard deviation of a settled weight change of nothing.
        max_quantity: Most pieces of one item in one movement.
        sigmas: Distance from which two movements are separable.

    Raises:
        ValueError: the catalogue is empty, the deviation is not positive, or there is no quantity.
    """
    if not classes or scale_sd_g <= 0 or max_quantity < 1:
        msg = "separability needs items, a positive scale_sd_g and a quantity of at least 1"
        raise ValueError(msg)
    scale = _Weights(
        np.array([item.weight_g for item in classes]),
        np.array([item.weight_sd_g for item in classes]),
        2 * scale_sd_g**2,
        sigmas,
    )
    alike = [scale.alike(ix, max_quantity) for ix in range(len(classes))]
    ids = [item.item_id for item in classes]
    names = {ids[ix]: tuple(ids[other] for other in np.flatnonzero(row)) for ix, row in enumerate(alike)}
    numbers = [len(others) for others in names.values()]
    pairs = len(classes) * (len(classes) - 1)
    confused = sum(int(scale.close(ix, 1, 1).sum()) - 1 for ix in range(len(classes)))
    return Separability(
        scale_sd_g=scale_sd_g,
        max_quantity=max_quantity,
        sigmas=sigmas,
        separable_share=1.0 - confused / pairs if pairs else 1.0,
        look_alikes=names,
        median_look_alikes=float(np.median(numbers)),
        max_look_alikes=max(numbers),
    )


@dataclass(frozen=True, slots=True)
class _Weights:
    """Means and deviations of all items, as columns."""

    mean_g: Floats
    sd_g: Floats
    scale_variance: float
    sigmas: float

    def close(self, ix: int, pieces: int, of_other: int) -> NDArray[np.bool_]:
        """Tell which items `of_other` pieces are not separable from so many of this one; itself is."""
        gap_g = np.abs(pieces * self.mean_g[ix] - of_other * self.mean_g)
        variance = self.scale_variance + pieces * self.sd_g[ix] ** 2 + of_other * self.sd_g**2
        return np.asarray(gap_g <= self.sigmas * np.sqrt(variance))

    def alike(self, ix: int, max_quantity: int) -> NDArray[np.bool_]:
        """Tell which other items weigh like this one, multiples included."""
        found = np.zeros(len(self.mean_g), np.bool_)
        for n in range(1, max_quantity + 1):
            found |= self.close(ix, 1, n) | self.close(ix, n, 1)
        found[ix] = False
        return found
