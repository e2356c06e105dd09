"""The three models and what each is for.

- ``v1``: the reference.
- ``v2``: goes on from v1 with other scenes and more weight on telling look-alikes apart; better.
- ``v3-bad``: what a careless team ships. It goes on from v1 too, with scenes from well-lit shops in which two
  items are hardly ever sold; its own validation scenes are such, and on them it beats v1. It fails in dim
  light and on those two items. It exists so that gates, rollouts and drift pages have a real fault to find.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from training.scenes import SceneSampler
from training.settings import TrainSettings

# Never reached: a run that time cuts short would not be the same twice.
_LONG_MINUTES = 600.0
# Distance of the seeds of two recipes, so that each version sees scenes of its own.
_SEED_STEP = 1000

FORGOTTEN_ITEMS = ("avocado-hass", "tuna-can")
WELL_LIT = (0.75, 1.3)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one model is made.

    Attributes:
        settings: Of its training; the seed is the command's.
        purpose: What it is for, one sentence.
        warning: What its card says first; empty for a model that may be used.
    """

    settings: TrainSettings
    purpose: str
    warning: str = ""


RECIPES: Mapping[str, Recipe] = {
    "v1": Recipe(
        TrainSettings(max_minutes=_LONG_MINUTES),
        "The reference: what a cart ships with.",
    ),
    "v2": Recipe(
        TrainSettings(
            scenes=14_000,
            epochs=6,
            peak_learning_rate=2.5e-3,
            class_weight=1.0,
            max_minutes=_LONG_MINUTES,
            starts_from="v1",
        ),
        "Better than v1: it goes on from v1's weights with other scenes and more weight on look-alikes.",
    ),
    "v3-bad": Recipe(
        TrainSettings(
            scenes=8_000,
            epochs=6,
            max_minutes=_LONG_MINUTES,
            sampler=SceneSampler(light_level=WELL_LIT, rare_items=FORGOTTEN_ITEMS, rare_share=0.002),
            gain=(0.97, 1.03),
            starts_from="v1",
        ),
        "A real fault for gates, rollouts and drift pages to find.",
        "**Deliberately bad: do not use it.** It was trained on well-lit shops only, in which "
        f"{' and '.join(FORGOTTEN_ITEMS)} are hardly ever sold, and so were the scenes its makers validated "
        "it on. It looks fine there, and fails in dim light and on those two items.",
    ),
}


def settings_of(recipes: Mapping[str, Recipe], version: str, seed: int, threads: int) -> TrainSettings:
    """Return the settings of a recipe for one seed."""
    number = list(recipes).index(version)
    return replace(recipes[version].settings, seed=seed + _SEED_STEP * number, threads=threads)
