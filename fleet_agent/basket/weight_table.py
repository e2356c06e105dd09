r"""What items really weigh, learned from movements that a barcode has confirmed: pure.

A catalogue's weights are nominal; packaging changes, fruit has seasons. A weighing of one piece whose barcode
was scanned updates the item by a normal model with the catalogue as prior (Gelman et al., Bayesian Data
Analysis, section 3.3): the catalogue's mean counts as `PRIOR_WEIGHINGS`, its variance as `PRIOR_SPREADS`.

    mean = (k0 mu0 + n xbar) / (k0 + n)
    total variance = (v0 (sd0^2 + w^2) + S + k0 n (xbar - mu0)^2 / (k0 + n)) / (v0 + n),  sd^2 = total - w^2

n, xbar and S are kept after Welford; w is the scale's own standard deviation. From movements that nobody
confirmed nothing is learned: the cart would teach itself its errors. What lies too far off is refused, what
lies off counts only up to a limit, and no item leaves the neighbourhood of its catalogue weight: one wrong
scan moves little, and a hundred wrong scans stay bounded.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fleet_agent.basket.weighed import ItemWeights
from fleet_agent.manifest import ItemClass

# How many weighings the catalogue counts for. Lower follows a single wrong scan, higher learns too late.
PRIOR_WEIGHINGS = 5.0
# The same of its spread, which takes longer to know than a mean.
PRIOR_SPREADS = 10.0
# Weighings remembered: of more, the older fade, so that a new packaging is followed.
MEMORY = 50
# A weighing this far from the catalogue's weight, as a share of it, is of something else. It must also be
# beyond the standard deviations below, or else the share would refuse light items on a noisy scale.
REFUSED_SHARE = 0.25
REFUSED_SDS = 6.0
# A weighing counts as at most this many standard deviations off: bounds what one scan can do.
LARGEST_SDS = 4.0
# How far from the catalogue a learned mean may be, as a share, and a learned deviation, as a factor.
FARTHEST_SHARE = 0.2
SD_FACTORS = (0.5, 3.0)
# A catalogue that claims no spread between pieces is not believed.
LEAST_SD_G = 0.5


@dataclass(frozen=True, slots=True)
class Weighings:
    """What was weighed of one item.

    Attributes:
        n: How many, at most `MEMORY`.
        mean_g: Their mean.
        squares: Sum of squared differences from it, in square grams.
        catalogue_g: The catalogue's weight at that time: when it changes, the past says nothing.
    """

    n: int
    mean_g: float
    squares: float
    catalogue_g: float


@dataclass(frozen=True, slots=True)
class WeightTable:
    """The catalogue's weights and what was learned of them.

    Attributes:
        catalogue: (mean, standard deviation) in grams, by item.
        weighings: By item; items without any have the catalogue's weight.
        scale_sd_g: Of a settled change.
    """

    catalogue: Mapping[str, tuple[float, float]]
    weighings: Mapping[str, Weighings]
    scale_sd_g: float

    def weight_of(self, item_id: str) -> tuple[float, float] | None:
        """Return mean and standard deviation between pieces in grams; None of an item nobody knows."""
        nominal = self.catalogue.get(item_id)
        weighed = self.weighings.get(item_id)
        if nominal is None or weighed is None:
            return nominal
        return _posterior(nominal, weighed, self.scale_sd_g)

    def weights(self, classes: Sequence[ItemClass]) -> ItemWeights:
        """Return the weights of a catalogue as arrays, in its order."""
        pairs = [self.weight_of(item.item_id) or (item.weight_g, item.weight_sd_g) for item in classes]
        return ItemWeights(np.array([mean for mean, _ in pairs]), np.array([sd for _, sd in pairs]))


def weight_table(
    classes: Sequence[ItemClass], weighings: Mapping[str, Weighings], scale_sd_g: float
) -> WeightTable:
    """Return the table of a catalogue; weighings of items whose catalogue weight has changed are dropped."""
    catalogue = {item.item_id: (item.weight_g, item.weight_sd_g) for item in classes}
    still = {
        item_id: weighed
        for item_id, weighed in weighings.items()
        if item_id in catalogue and weighed.catalogue_g == catalogue[item_id][0]
    }
    return WeightTable(catalogue, still, scale_sd_g)


def learn(table: WeightTable, item_id: str, weighed_g: float) -> WeightTable | None:
    """Return the table with one more confirmed weighing of one piece.

    Returns:
        None when the weighing is refused: the item is unknown, or this is no piece of it.
    """
    weight = table.weight_of(item_id)
    if weight is None or not math.isfinite(weighed_g):
        return None
    nominal_g = table.catalogue[item_id][0]
    sd_g = math.hypot(weight[1], table.scale_sd_g)
    off_g = weighed_g - weight[0]
    if abs(weighed_g - nominal_g) > max(REFUSED_SHARE * nominal_g, REFUSED_SDS * sd_g):
        return None
    counted_g = weight[0] + max(-LARGEST_SDS * sd_g, min(LARGEST_SDS * sd_g, off_g))
    past = table.weighings.get(item_id) or Weighings(0, 0.0, 0.0, nominal_g)
    return replace(table, weighings={**table.weighings, item_id: _welford(past, counted_g)})


def _welford(past: Weighings, weighed_g: float) -> Weighings:
    """Add one weighing; at the limit of memory the older ones fade in proportion."""
    kept = min(past.n, MEMORY - 1)
    squares = past.squares * (kept / past.n if past.n else 0.0)
    n = kept + 1
    mean_g = past.mean_g + (weighed_g - past.mean_g) / n
    squares += (weighed_g - past.mean_g) * (weighed_g - mean_g)
    return replace(past, n=n, mean_g=mean_g, squares=squares)


def _posterior(nominal: tuple[float, float], weighed: Weighings, scale_sd_g: float) -> tuple[float, float]:
    mean0_g, sd0_g = nominal
    n, k0, v0 = weighed.n, PRIOR_WEIGHINGS, PRIOR_SPREADS
    mean_g = (k0 * mean0_g + n * weighed.mean_g) / (k0 + n)
    between = k0 * n * (weighed.mean_g - mean0_g) ** 2 / (k0 + n)
    scale = scale_sd_g**2
    total = (v0 * (sd0_g**2 + scale) + weighed.squares + between) / (v0 + n)
    farthest_g = FARTHEST_SHARE * mean0_g
    believed_g = max(sd0_g, LEAST_SD_G)
    sd_g = math.sqrt(max(total - scale, 0.0))
    return (
        min(max(mean_g, mean0_g - farthest_g), mean0_g + farthest_g),
        min(max(sd_g, SD_FACTORS[0] * believed_g), SD_FACTORS[1] * believed_g),
    )
