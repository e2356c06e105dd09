"""Measures a model on held-out scenes, through the cart's own decoder."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from fleet_agent.decoding.center import decode_center
from fleet_agent.decoding.detections import detections_of
from fleet_agent.manifest import CenterDecoder
from fleet_agent.perception import Detection
from training.dataset import BAR, FRAME_HEIGHT, INPUT_SIDE, SceneSet, as_input
from training.errors import NothingFoundError
from training.held_out import EventViews
from training.interface import DECODER, LETTERBOX
from training.metrics import (
    Truth,
    calibration_error,
    class_probabilities,
    fit_temperature,
    mean_average_precision,
)
from training.scenes import CATALOGUE

Floats = NDArray[np.float32]

# Scores below this are not looked at when average precision is computed: the curve needs the weak ones too.
_FAINTEST = msgspec.structs.replace(DECODER, score_threshold=0.02)
_SUREST = msgspec.structs.replace(DECODER, max_detections=1)
_FRAMES_PER_CALL = 32


class Network(Protocol):
    """Anything that runs the network; the cart's ONNX Runtime model does."""

    def run(self, batch: Floats) -> Mapping[str, Floats]:
        """Return ``scores`` and ``boxes`` of a batch (n, 3, 160, 160)."""


@dataclass(frozen=True, slots=True)
class Events:
    """One item each, shown to several cameras at one moment.

    Attributes:
        item_class: int (n,).
        peaks: Per event and camera the class scores of the best detection, or ``None`` if nothing was found.
    """

    item_class: NDArray[np.int64]
    peaks: list[list[Floats | None]]


def detections(
    network: Network, images: NDArray[np.uint8], spec: CenterDecoder = DECODER
) -> list[list[Detection]]:
    """Run frames (n, 120, 160, 3) through the network and return what it finds in each."""
    found: list[list[Detection]] = []
    for start in range(0, len(images), _FRAMES_PER_CALL):
        batch = as_input(images[start : start + _FRAMES_PER_CALL])
        places = [LETTERBOX] * len(batch)
        found += detections_of(decode_center(network.run(batch), spec, len(CATALOGUE), places), len(batch))
    return found


def truths_of(scenes: SceneSet, min_visible: float = 0.25) -> list[list[Truth]]:
    """Return the items of every frame of a set; hardly visible ones do not count."""
    frames: list[list[Truth]] = []
    for row in range(len(scenes)):
        places = np.flatnonzero(scenes.classes[row] >= 0)
        frames.append([_truth(scenes, row, int(place), min_visible) for place in places])
    return frames


def _truth(scenes: SceneSet, row: int, place: int, min_visible: float) -> Truth:
    cx, cy, w, h = (float(value) for value in scenes.boxes[row, place])
    top, tall = BAR / INPUT_SIDE, FRAME_HEIGHT / INPUT_SIDE
    box = (cx - w / 2, (cy - h / 2 - top) / tall, cx + w / 2, (cy + h / 2 - top) / tall)
    return Truth(int(scenes.classes[row, place]), box, bool(scenes.visible[row, place] >= min_visible))


def map50(network: Network, scenes: SceneSet) -> float:
    """Return the mean average precision at overlap 0.5."""
    found = detections(network, scenes.images, _FAINTEST)
    return mean_average_precision(found, truths_of(scenes), len(CATALOGUE))


def false_alarm_rate(network: Network, scenes: SceneSet) -> float:
    """Return the share of frames in which an item is found; meant for frames without any."""
    return float(np.mean([len(found) > 0 for found in detections(network, scenes.images)]))


def show(network: Network, views: EventViews) -> Events:
    """Run the network on all cameras of events."""
    count, cameras = views.images.shape[:2]
    found = detections(network, views.images.reshape(-1, *views.images.shape[2:]), _SUREST)
    peaks = [frame[0].class_scores if frame else None for frame in found]
    return Events(views.item_class, [peaks[n * cameras : (n + 1) * cameras] for n in range(count)])


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


def recall_by_item(events: Events) -> dict[str, float]:
    """Return, per item shown, the share of single cameras' views in which it is found and rightly named."""
    rights: dict[int, list[bool]] = {}
    for peaks, item_class in zip(events.peaks, events.item_class, strict=True):
        named = [peak is not None and int(peak.argmax()) == item_class for peak in peaks]
        rights.setdefault(int(item_class), []).extend(named)
    return {
        CATALOGUE[item_class].item_id: float(np.mean(rights[item_class])) for item_class in sorted(rights)
    }


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


def temperature_of(events: Events) -> float:
    """Fit the temperature on events."""
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
