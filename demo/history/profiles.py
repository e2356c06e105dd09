"""How well and how fast a model version recognised things in the past: the statistics history is drawn from.

The figures of the present version are near to what the real agent with the real model measures in
the live demo, so that the pages show no step where history ends; the version before it was a little
worse and slower.
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
# Pairs from the front of the list that even a good picture tells apart badly.
_HARD_PAIRS = 3


@dataclass(frozen=True, slots=True)
class Profile:
    """One model version.

    Attributes:
        version: Of the model.
        error: Share of wrong decisions on an easy item in good light.
        hard_error: The same for look-alikes.
        dark_error: What is added when no light is left (none while the cameras' gain can help).
        smear_error: What a fully smeared camera of three adds.
        sure: Mean posterior of right decisions in good light.
        infer_ms: Median time of one inference.
        decision_ms: Median time from the newest frame to the decision.
    """

    version: str
    error: float
    hard_error: float
    dark_error: float
    smear_error: float
    sure: float
    infer_ms: float
    decision_ms: float


PRESENT = Profile("v1", 0.012, 0.045, 0.42, 0.05, 0.972, 4.2, 780.0)
BEFORE = Profile("v0", 0.022, 0.075, 0.55, 0.07, 0.958, 5.6, 860.0)


def look_alike() -> Ints:
    """Return for every item the index of the one it is most often taken for."""
    index = item_index()
    partner = np.arange(len(CATALOGUE))
    for one, other in _LOOK_ALIKES:
        partner[index[one]], partner[index[other]] = index[other], index[one]
    return partner


def hard_items() -> NDArray[np.bool_]:
    """Return which items are hard to tell from their look-alike."""
    index = item_index()
    hard = np.zeros(len(CATALOGUE), bool)
    for pair in _LOOK_ALIKES[:_HARD_PAIRS]:
        hard[[index[name] for name in pair]] = True
    return hard


def darkness(light: Floats) -> Floats:
    """Return how much the cameras lack light: 0 while their gain makes up for it, 1 in the dark."""
    gained = np.minimum(light * 1.6, 1.0)
    return np.asarray(1.0 - gained)


def error_rate(profile: Profile, item_ix: Ints, light: Floats, smear: Floats) -> Floats:
    """Return the probability of a wrong decision for each event.

    Args:
        profile: The model.
        item_ix: Items, shape (n,).
        light: Light in the store at each event, 1 is well lit, shape (n,).
        smear: Smear of the worst camera at each event, 0 to 1, shape (n,).
    """
    base = np.where(hard_items()[item_ix], profile.hard_error, profile.error)
    rate = base + profile.dark_error * darkness(light) ** 1.5 + profile.smear_error * smear
    return np.asarray(np.clip(rate, 0.0, 0.9))
