"""What the cameras' brightness and sharpness look like in a light: measured on rendered frames, not guessed.

The same renderer and the same measurement as the live carts', so that the drift page shows a dim
lamp or a smeared lens and nothing else.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from demo.carts.camera import FRAME_WIDTH, view_of
from demo.world.faults import SMEAR_LEVEL, SMEAR_PRINT
from fleet_agent.quality import Quality
from fleet_protocol.signals import BLUR, BRIGHTNESS, Signal
from training.scenes import LensState, Light, SceneRenderer, SceneState

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]
Measure = Callable[[Pixels], Quality]

# Light levels that are measured; between two of them the nearest counts. Finer costs start-up time.
LEVEL_STEP = 0.04
LEVELS: tuple[float, ...] = tuple(round(0.08 + LEVEL_STEP * i, 2) for i in range(28))
# Places along the shelves that are looked at per camera: each shows another background.
PLACES = 4
FRAMES_PER_PLACE = 1


class Eyes(Protocol):
    """Distribution of brightness and sharpness per camera."""

    def bins(self, signal: Signal, camera: str, light: float, smear: float) -> Floats:
        """Return the probability of each bin of the signal; sums to 1."""
        ...


class MeasuredEyes:
    """Distributions measured on rendered frames.

    Args:
        tables: By signal and camera: probabilities of shape (levels, clean or smeared, bins).
    """

    def __init__(self, tables: dict[tuple[str, str], Floats]) -> None:
        self._tables = tables
        # Asked for every hour of every cart, with few different answers.
        self._known: dict[tuple[str, str, int, float], Floats] = {}

    def bins(self, signal: Signal, camera: str, light: float, smear: float) -> Floats:
        """Return the probability of each bin, for the nearest measured light, blended by smear."""
        level = min(max(round((light - LEVELS[0]) / LEVEL_STEP), 0), len(LEVELS) - 1)
        share = round(min(1.0, smear / SMEAR_LEVEL), 2)
        key = signal.name, camera, level, share
        if key not in self._known:
            clean, smeared = self._tables[signal.name, camera][level]
            self._known[key] = np.asarray((1 - share) * clean + share * smeared)
        return self._known[key]


def measure_eyes(cameras: Sequence[str], kelvin: float, measure: Measure, seed: int) -> MeasuredEyes:
    """Render frames in every light and count what the agent would measure.

    Args:
        cameras: Names.
        kelvin: Colour of the light.
        measure: The agent's own measurement.
        seed: Of places and noise.
    """
    tables: dict[tuple[str, str], Floats] = {}
    for camera in cameras:
        rng = np.random.default_rng([seed, len(tables)])
        for signal in (BRIGHTNESS, BLUR):
            tables[signal.name, camera] = np.zeros((len(LEVELS), 2, signal.bins))
        _measure_camera(camera, kelvin, measure, rng, tables)
    return MeasuredEyes(tables)


def _measure_camera(
    camera: str,
    kelvin: float,
    measure: Measure,
    rng: np.random.Generator,
    tables: dict[tuple[str, str], Floats],
) -> None:
    renderer = SceneRenderer(view_of(camera), width=FRAME_WIDTH)
    weight = 1.0 / (PLACES * FRAMES_PER_PLACE)
    for place in rng.random(PLACES):
        scene = SceneState(aisle=float(place))
        for level, light in enumerate(LEVELS):
            for smeared, lens in enumerate((LensState(), LensState(SMEAR_LEVEL, SMEAR_PRINT))):
                lit = replace(scene, light=Light(light, kelvin), lens=lens)
                for _ in range(FRAMES_PER_PLACE):
                    seen = measure(renderer.render(lit, rng))
                    tables[BRIGHTNESS.name, camera][level, smeared, BRIGHTNESS.bin_of(seen.brightness)] += (
                        weight
                    )
                    tables[BLUR.name, camera][level, smeared, BLUR.bin_of(seen.sharpness)] += weight
