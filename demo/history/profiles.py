"""How a model version differed from what the shipped model decides today.

What the present one decides is measured (`pools`). The version before it is made up: a little worse
and slower, so that the change of versions shows on the pages.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.scenes import CATALOGUE, item_index

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Items that look and weigh alike: most errors are between these.
_LOOK_ALIKES = (
    ("cola-classic", "cola-zero"),
    ("milk-whole", "milk-skim"),
    ("cereal-honey", "cereal-choco"),
    ("apple-gala", "apple-granny"),
    ("beans-can", "tomato-can"),
    ("tuna-can", "chips-paprika"),
    ("banana-bunch", "eggs-ten"),
    ("orange-navel", "avocado-hass"),
    ("pasta-penne", "water-still"),
    ("jam-strawberry", "cucumber"),
)


@dataclass(frozen=True, slots=True)
class Profile:
    """One model version.

    Attributes:
        version: Of the model.
        more_errors: Share of its decisions that are wrong beyond the measured ones. For the present
            model: errors too rare to be among the measured movements, as live carts make them.
        doubt: Factor on the distance of posteriors from 1.
        infer_ms: Median time of one inference.
        decision_ms: Median time from the newest frame to the decision.
    """

    version: str
    more_errors: float
    doubt: float
    infer_ms: float
    decision_ms: float


PRESENT = Profile("v1", 0.006, 1.0, 6.0, 230.0)
BEFORE = Profile("v0", 0.03, 1.8, 8.5, 290.0)


def look_alike() -> Ints:
    """Return for every item the index of the one it is most often taken for."""
    index = item_index()
    partner = np.arange(len(CATALOGUE))
    for one, other in _LOOK_ALIKES:
        partner[index[one]], partner[index[other]] = index[other], index[one]
    return partner
