"""Measures a model on scenes it has not seen: other seeds, other aisles, chosen light."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.dataset import SceneSet, as_input, held_out_views, render_set, shrink
from training.decode import Found, class_probabilities, decode
from training.errors import NothingFoundError
from training.metrics import Truth, calibration_error, fit_temperature, mean_average_precision
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

Floats = NDArray[np.float32]

# Scores below this are not looked at when average precision is computed: the curve needs the weak ones too.
_FAINTEST = 0.02
_FRAMES_PER_CALL = 32
# Scenes for scores and for the temperature come from seeds far from the training's.
SCORE_SEED, TEMPERATURE_SEED = 900_001, 900_501


class Network(Protocol):
    """Anything that runs the network; the cart's engines do."""

    def infer(self, batch: Floats) -> Mapping[str, Floats]:
        """Return ``scores`` and ``boxes`` of a batch (n, 3, 160, 160)."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which light and lens an item is shown."""

    light_level: tuple[float, float] = (0.6, 1.3)
    smear: float = 0.0


@dataclass(frozen=True, slots=True)
class Events:
    """One item each, shown to four cameras at one moment.

    Attributes:
        item_class: int (n,).
        peaks: Per event and camera the class scores of the best detection, or ``None`` if nothing was found.
    """

    item_class: NDArray[np.int64]
    peaks: list[list[Floats | None]]


def detections(
    network: Network, images: NDArray[np.uint8], threshold: float, limit: int = 8
) -> list[list[Found]]:
    """Run frames (n, 120, 160, 3) through the network and return what it finds in each."""
    found: list[list[Found]] = []
    for start in range(0, len(images), _FRAMES_PER_CALL):
        outputs = network.infer(as_input(images[start : start + _FRAMES_PER_CALL]))
        pairs = zip(outputs["scores"], outputs["boxes"], strict=True)
        found += [decode(scores, boxes, threshold=threshold, limit=limit) for scores, boxes in pairs]
    return found


def truths_of(scenes: SceneSet, min_visible: float) -> list[list[Truth]]:
    """Return the items of every frame of a set; hardly visible ones do not count."""
    frames: list[list[Truth]] = []
    for row in range(len(scenes)):
        places = np.flatnonzero(scenes.classes[row] >= 0)
        frames.append([_truth(scenes, row, int(place), min_visible) for place in places])
    return frames


def _truth(scenes: SceneSet, row: int, place: int, min_visible: float) -> Truth:
    cx, cy, w, h = scenes.boxes[row, place]
    edges = np.asarray([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], np.float32)
    counts = bool(scenes.visible[row, place] >= min_visible)
    return Truth(int(scenes.classes[row, place]), edges, counts)


def map50(
    network: Network, sampler: SceneSampler, *, frames: int, seed: int, min_visible: float = 0.25
) -> float:
    """Return the mean average precision at overlap 0.5 on held-out scenes."""
    scenes = render_set(sampler, frames, seed, held_out_views())
    found = detections(network, scenes.images, _FAINTEST)
    return mean_average_precision(found, truths_of(scenes, min_visible), len(CATALOGUE))


def false_alarm_rate(network: Network, *, frames: int, seed: int, threshold: float) -> float:
    """Return the share of frames without an item in which one is found."""
    sampler = SceneSampler(calm_share=0.5, empty_hand_share=0.5)
    scenes = render_set(sampler, frames, seed, held_out_views())
    return float(np.mean([len(found) > 0 for found in detections(network, scenes.images, threshold)]))


def show_events(
    network: Network, conditions: Conditions, *, count: int, seed: int, threshold: float
) -> Events:
    """Show single items, well in view, to four held-out cameras."""
    rng = np.random.default_rng(seed)
    renderers = [SceneRenderer(view) for view in held_out_views()]
    images, item_class = [], []
    for number in range(count):
        item = CATALOGUE[number % len(CATALOGUE)].item_id
        state = _event_state(rng, item, conditions)
        images += [shrink(renderer.render(state, rng)) for renderer in renderers]
        item_class.append(item_index()[item])
    found = detections(network, np.stack(images), threshold, limit=1)
    peaks = [frame[0].class_scores if frame else None for frame in found]
    cameras = len(renderers)
    return Events(np.asarray(item_class), [peaks[n * cameras : (n + 1) * cameras] for n in range(count)])


def _event_state(rng: np.random.Generator, item_id: str, conditions: Conditions) -> SceneState:
    gesture = replace(random_gesture(rng, item_id, part=(0.3, 0.62)), lane=float(rng.uniform(-0.7, 0.7)))
    light = Light(float(rng.uniform(*conditions.light_level)), float(rng.uniform(3200, 6500)))
    lens = LensState(conditions.smear, int(rng.integers(40, 60)))
    sensor = Sensor(exposure_s=float(rng.uniform(0.006, 0.016)))
    return SceneState((gesture,), ("eggs-ten", "milk-whole"), light, lens, sensor, float(rng.random()))


def posteriors(events: Events, cameras: int, temperature: float) -> Floats:
    """Return the class probabilities (n, c) of each event from its first cameras, taken as independent."""
    out = np.full((len(events.peaks), len(CATALOGUE)), 1 / len(CATALOGUE), np.float64)
    for number, peaks in enumerate(events.peaks):
        # Which cameras are the first ones goes around, so that no single view decides the score.
        order = [peaks[(number + step) % len(peaks)] for step in range(cameras)]
        for peak in order:
            if peak is not None:
                out[number] *= np.maximum(class_probabilities(peak, temperature), 1e-9)
    return np.asarray(out / out.sum(axis=1, keepdims=True), np.float32)


def top1(events: Events, cameras: int, temperature: float = 1.0) -> float:
    """Return the share of events whose most likely item is the true one; nothing found counts as wrong."""
    chances = posteriors(events, cameras, temperature)
    seen = chances.max(axis=1) > 1.5 / len(CATALOGUE)
    return float(np.mean((chances.argmax(axis=1) == events.item_class) & seen))


def single_views(events: Events) -> tuple[Floats, NDArray[np.int64]]:
    """Return class scores (m, c) and true classes (m,) of every camera that found something.

    Raises:
        NothingFoundError: None did.
    """
    rows = [
        (peak, item_class)
        for peaks, item_class in zip(events.peaks, events.item_class, strict=True)
        for peak in peaks
        if peak is not None
    ]
    if not rows:
        raise NothingFoundError(len(events.item_class))
    return np.stack([row[0] for row in rows]), np.asarray([row[1] for row in rows])


def temperature_of(network: Network, *, count: int, threshold: float) -> float:
    """Fit the temperature on events of all lights that no score is computed on."""
    events = show_events(
        network, Conditions((0.25, 1.3)), count=count, seed=TEMPERATURE_SEED, threshold=threshold
    )
    return fit_temperature(*single_views(events))


def view_calibration(events: Events, temperature: float) -> float:
    """Return the calibration error of single cameras' best class."""
    peaks, item_class = single_views(events)
    chances = class_probabilities(peaks, temperature)
    return calibration_error(chances.max(axis=1).astype(np.float64), chances.argmax(axis=1) == item_class)


def confusions(events: Events, most: int = 5) -> list[str]:
    """Return the commonest single-camera mistakes as ``truth -> mistaken for (count)``."""
    peaks, item_class = single_views(events)
    wrong: Sequence[tuple[int, int]] = [
        (int(truth), int(peak.argmax()))
        for peak, truth in zip(peaks, item_class, strict=True)
        if peak.argmax() != truth
    ]
    names = [item.item_id for item in CATALOGUE]
    return [f"{names[a]} -> {names[b]} ({n})" for (a, b), n in Counter(wrong).most_common(most)]
