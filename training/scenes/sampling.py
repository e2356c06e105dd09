"""Randomly drawn scenes: what the detector is trained and measured on."""

from dataclasses import dataclass

import numpy as np

from training.scenes.catalogue import CATALOGUE
from training.scenes.state import CARRIED_PART, Direction, Gesture, LensState, Light, SceneState, Sensor


@dataclass(frozen=True, slots=True)
class SceneSampler:
    """Ranges from which scenes are drawn.

    Attributes:
        light_level: Darkest and brightest lamp.
        kelvin: Warmest and coldest lamp.
        smear_share: Share of frames with a dirty lens.
        max_smear: Strongest smear.
        exposure_s: Shortest and longest shutter time.
        noise: Least and most sensor noise.
        calm_share: Share of frames with no hand at all.
        empty_hand_share: Share of frames with an empty hand only; with too few, hands pass as items.
        second_hand_share: Share of frames with a second hand that carries something.
        rare_items: Items that are drawn less often than the others.
        rare_share: How often, relative to the others.
    """

    light_level: tuple[float, float] = (0.22, 1.3)
    kelvin: tuple[float, float] = (2900.0, 7200.0)
    smear_share: float = 0.25
    max_smear: float = 0.75
    exposure_s: tuple[float, float] = (0.004, 0.030)
    noise: tuple[float, float] = (0.3, 2.4)
    calm_share: float = 0.04
    empty_hand_share: float = 0.15
    second_hand_share: float = 0.20
    rare_items: tuple[str, ...] = ()
    rare_share: float = 1.0

    def draw(self, rng: np.random.Generator) -> SceneState:
        """Return one random scene."""
        return SceneState(
            gestures=self._gestures(rng),
            basket=tuple(self._any_item(rng) for _ in range(int(rng.integers(0, 6)))),
            light=Light(float(rng.uniform(*self.light_level)), float(rng.uniform(*self.kelvin))),
            lens=self._lens(rng),
            sensor=Sensor(float(rng.uniform(*self.noise)), float(rng.uniform(*self.exposure_s))),
            aisle=float(rng.random()),
        )

    def _lens(self, rng: np.random.Generator) -> LensState:
        if rng.random() >= self.smear_share:
            return LensState()
        return LensState(float(rng.uniform(0.1, self.max_smear)), int(rng.integers(0, 24)))

    def _gestures(self, rng: np.random.Generator) -> tuple[Gesture, ...]:
        kind = rng.random()
        if kind < self.calm_share:
            return ()
        if kind < self.calm_share + self.empty_hand_share:
            return (random_gesture(rng, None, part=(0.2, 0.9)),)
        first = random_gesture(rng, self._any_item(rng))
        if rng.random() >= self.second_hand_share:
            return (first,)
        side = -1.0 if first.lane > 0 else 1.0
        lane = side * float(rng.uniform(0.5, 1.0))
        return first, random_gesture(rng, self._any_item(rng), lane=lane)

    def _any_item(self, rng: np.random.Generator) -> str:
        while True:
            item_id = CATALOGUE[int(rng.integers(len(CATALOGUE)))].item_id
            if item_id not in self.rare_items or rng.random() < self.rare_share:
                return item_id


def random_gesture(
    rng: np.random.Generator,
    item_id: str | None,
    *,
    part: tuple[float, float] = (0.16, 0.80),
    lane: float | None = None,
) -> Gesture:
    """Return a gesture with random pose, hand and speed.

    Args:
        rng: Source of all randomness.
        item_id: What is carried; ``None`` for an empty hand.
        part: How far along the way into the cart: (0.25, 0.65) shows the item well, (0, 1) all of it.
        lane: Where across the opening; random when not given.
    """
    adds = rng.random() < 0.5
    inward = float(rng.uniform(*part)) * CARRIED_PART
    return Gesture(
        item_id,
        Direction.ADD if adds else Direction.REMOVE,
        phase=inward if adds else 1.0 - inward,
        yaw_deg=float(rng.uniform(0, 360)),
        pitch_deg=float(rng.choice([18.0, 18.0, 48.0])),
        roll_deg=float(rng.normal(0, 26) if rng.random() < 0.8 else rng.uniform(-110, 110)),
        lane=float(rng.uniform(-1, 1)) if lane is None else lane,
        grip=float(rng.uniform(0.1, 0.8)),
        nearness=float(rng.uniform(0.8, 1.25)),
        skin=int(rng.integers(0, 6)),
        sleeve=int(rng.integers(0, 7)),
        duration_s=float(rng.uniform(1.1, 2.4)),
    )
