"""From the network's maps to detections, for measuring the model. NumPy only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleet_agent.fusion import SCORE_FLOOR

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Found:
    """One detection.

    Attributes:
        item_class: Best class.
        score: Its score, 0..1.
        box: float32 (4,), x0, y0, x1, y1 as fractions of the network's input.
        class_scores: float32 (c,), scores of all classes at the peak.
    """

    item_class: int
    score: float
    box: Floats
    class_scores: Floats


def decode(scores: Floats, boxes: Floats, *, threshold: float, limit: int) -> list[Found]:
    """Return the detections of one frame, best first.

    Args:
        scores: (c, 20, 20), zero except at peaks.
        boxes: (4, 20, 20), cx, cy, w, h.
        threshold: Least score.
        limit: Most detections.
    """
    best = scores.max(axis=0)
    flat = np.flatnonzero(best.ravel() >= threshold)
    order = flat[np.argsort(-best.ravel()[flat], kind="stable")][:limit]
    found = []
    for row, column in zip(*np.unravel_index(order, best.shape), strict=True):
        cx, cy, w, h = boxes[:, row, column]
        edges = np.asarray([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], np.float32)
        at_peak = scores[:, row, column]
        found.append(Found(int(at_peak.argmax()), float(best[row, column]), edges, at_peak))
    return found


def class_probabilities(class_scores: Floats, temperature: float) -> Floats:
    """Return what the scores say about which item it is, given that it is one: softmax of their logits.

    With the bounds the cart's fusion uses, so that a temperature fitted here fits there.
    """
    bounded = np.clip(class_scores.astype(np.float64), SCORE_FLOOR, 1 - SCORE_FLOOR)
    logits = (np.log(bounded) - np.log1p(-bounded)) / temperature
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=-1, keepdims=True), np.float32)
