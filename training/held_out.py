"""Scenes that no model was trained on: other seeds, other aisles, chosen light. Rendered once, used by all.

Average precision is measured on random frames; naming items on *events*: one item, well in view, seen by
four cameras at one moment.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.dataset import SceneSet, held_out_views, render_set, shrink
from training.scenes import (
    CATALOGUE,
    LensState,
    Light,
    SceneRenderer,
    SceneSampler,
    SceneState,
    Sensor,
    item_index,
    random_gesture,
)

# Far from the training's seeds, which are those of the command line plus thousands.
SCORE_SEED, TEMPERATURE_SEED = 900_001, 900_501
DIM = (0.22, 0.40)
# Whoever fits a temperature must see all lights that the cart will see.
ALL_LIGHTS = (0.25, 1.3)


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which light and lens an item is shown."""

    light_level: tuple[float, float] = (0.6, 1.3)
    smear: float = 0.0


CONDITIONS: dict[str, Conditions] = {
    "ordinary": Conditions(),
    "dim": Conditions(light_level=DIM),
    "smeared": Conditions(smear=0.65),
    "half_lit": Conditions(light_level=(0.40, 0.60)),
}


@dataclass(frozen=True, slots=True)
class EventViews:
    """What the cameras saw of events.

    Attributes:
        images: uint8 (n, cameras, 120, 160, 3), RGB.
        item_class: int (n,), the item of each event.
    """

    images: NDArray[np.uint8]
    item_class: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.item_class)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """All scenes that scores are computed on.

    Attributes:
        all_lights: Random frames, light 0.22 to 1.3, a quarter of the lenses smeared.
        dim: The same in dim light.
        calm: Frames in which no item is carried.
        events: By the name of their conditions.
        for_temperature: Events of all lights that no score is computed on.
    """

    all_lights: SceneSet
    dim: SceneSet
    calm: SceneSet
    events: dict[str, EventViews]
    for_temperature: EventViews


def render_held_out(*, frames: int, events: int, seed: int = SCORE_SEED) -> HeldOut:
    """Render scenes; the same arguments give the same scenes.

    Args:
        frames: Random frames in all lights, as many in dim light, a quarter as many calm ones.
        events: Events per condition.
        seed: Of everything but the events for the temperature.
    """
    views = held_out_views()
    calm = SceneSampler(calm_share=0.5, empty_hand_share=0.5)
    return HeldOut(
        all_lights=render_set(SceneSampler(), frames, seed, views),
        dim=render_set(SceneSampler(light_level=DIM), frames, seed + 1, views),
        calm=render_set(calm, frames // 4, seed + 2, views),
        events={
            name: render_events(conditions, events, seed + 10 + number)
            for number, (name, conditions) in enumerate(CONDITIONS.items())
        },
        for_temperature=render_events(Conditions(ALL_LIGHTS), events, TEMPERATURE_SEED),
    )


def render_events(conditions: Conditions, count: int, seed: int) -> EventViews:
    """Show single items, one after the other through the catalogue, to four held-out cameras."""
    rng = np.random.default_rng(seed)
    renderers = [SceneRenderer(view) for view in held_out_views()]
    images, item_class = [], []
    for number in range(count):
        item = CATALOGUE[number % len(CATALOGUE)].item_id
        state = _event_state(rng, item, conditions)
        images.append(np.stack([shrink(renderer.render(state, rng)) for renderer in renderers]))
        item_class.append(item_index()[item])
    return EventViews(np.stack(images), np.asarray(item_class))


def _event_state(rng: np.random.Generator, item_id: str, conditions: Conditions) -> SceneState:
    gesture = replace(random_gesture(rng, item_id, part=(0.3, 0.62)), lane=float(rng.uniform(-0.7, 0.7)))
    light = Light(float(rng.uniform(*conditions.light_level)), float(rng.uniform(3200, 6500)))
    lens = LensState(conditions.smear, int(rng.integers(40, 60)))
    sensor = Sensor(exposure_s=float(rng.uniform(0.006, 0.016)))
    return SceneState((gesture,), ("eggs-ten", "milk-whole"), light, lens, sensor, float(rng.random()))
