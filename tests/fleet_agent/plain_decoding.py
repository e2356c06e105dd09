"""The decoders once more, one box after the other: what the vectorised ones are held against."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fleet_agent.letterbox import Letterbox
from fleet_agent.manifest import CenterDecoder, DetrDecoder, YoloDecoder
from fleet_agent.perception import Detection

Box = tuple[float, float, float, float]
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Plain:
    """One detection before it is cut to the frame."""

    item_ix: int
    score: float
    box: Box
    class_scores: list[float]


def overlap(a: Box, b: Box) -> float:
    """Return intersection over union."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1]) for box in (a, b)]
    union = areas[0] + areas[1] - width * height
    return width * height / union if union > 0 else 0.0


def greedy(boxes: Sequence[Box], scores: Sequence[float], items: Sequence[int], limit: float) -> list[int]:
    """Return which boxes stay, the surest first: non-maximum suppression as everyone writes it down."""
    kept: list[int] = []
    for ix in sorted(range(len(boxes)), key=lambda ix: -scores[ix]):
        if all(items[k] != items[ix] or overlap(boxes[k], boxes[ix]) <= limit for k in kept):
            kept.append(ix)
    return kept


def sigmoid(x: float) -> float:
    """Return the logistic function."""
    return 1.0 / (1.0 + math.exp(-x)) if x > -700 else 0.0


def softmax(logits: Sequence[float]) -> list[float]:
    """Return the softmax."""
    highest = max(logits)
    odds = [math.exp(x - highest) for x in logits]
    return [o / sum(odds) for o in odds]


def on_frame(centred: Sequence[float], letterbox: Letterbox) -> Box:
    """Return the corners on the frame of a box of the input."""
    cx, cy, w, h = (float(v) for v in centred)
    return (
        (cx - w / 2 - letterbox.x) / letterbox.width,
        (cy - h / 2 - letterbox.y) / letterbox.height,
        (cx + w / 2 - letterbox.x) / letterbox.width,
        (cy + h / 2 - letterbox.y) / letterbox.height,
    )


def cut(box: Box) -> Box:
    """Return what of a box is on the frame."""
    x0, y0, x1, y1 = (min(1.0, max(0.0, v)) for v in box)
    return (x0, y0, x1, y1)


def _sound(scores: Sequence[float], centred: Sequence[float]) -> bool:
    finite = all(math.isfinite(float(v)) for v in centred)
    return finite and not any(math.isnan(s) or s == math.inf for s in scores)


def _has_area(box: Box) -> bool:
    return box[2] > box[0] and box[3] > box[1]


def _finish(found: list[Plain], most: int) -> list[Plain]:
    visible = []
    for plain in found:
        box = cut(plain.box)
        if _has_area(box):
            visible.append(Plain(plain.item_ix, min(1.0, plain.score), box, plain.class_scores))
    return sorted(visible, key=lambda plain: -plain.score)[:most]


def _plain(scores: list[float], centred: Sequence[float], letterbox: Letterbox) -> Plain:
    best = max(scores)
    return Plain(scores.index(best), best, on_frame(centred, letterbox), scores)


def plain_yolo(output: Array, spec: YoloDecoder, size: tuple[int, int], letterbox: Letterbox) -> list[Plain]:
    """Decode one frame's anchors."""
    found: list[Plain] = []
    for anchor in output.T if spec.channels_first else output:
        values = [float(v) for v in anchor]
        if not _sound(values[4:], values[:4]):
            continue
        raw = values[4:] if spec.activated else [sigmoid(v) for v in values[4:]]
        scores = [raw[0] * s for s in raw[1:]] if spec.objectness else raw
        unit = (1.0, 1.0) if spec.normalised else size
        centred = [values[0] / unit[0], values[1] / unit[1], values[2] / unit[0], values[3] / unit[1]]
        plain = _plain(scores, centred, letterbox)
        if plain.score >= spec.score_threshold and _has_area(cut(plain.box)):
            found.append(plain)
    kept = greedy([f.box for f in found], [f.score for f in found], [f.item_ix for f in found], spec.overlap)
    return _finish([found[ix] for ix in kept], spec.max_detections)


def plain_detr(logits: Array, boxes: Array, spec: DetrDecoder, letterbox: Letterbox) -> list[Plain]:
    """Decode one frame's queries."""
    found: list[Plain] = []
    for query, centred in zip(logits, boxes, strict=True):
        values, box = [float(v) for v in query], [float(v) for v in centred]
        if not _sound(values, box):
            continue
        exclusive = spec.background and spec.activation != "sigmoid"
        scores = softmax(values) if exclusive else [sigmoid(v) for v in values]
        scores = scores[:-1] if spec.background else scores
        if max(scores) >= spec.score_threshold:
            found.append(_plain(scores, box, letterbox))
    return _finish(found, spec.max_detections)


def plain_center(scores: Array, boxes: Array, spec: CenterDecoder, letterbox: Letterbox) -> list[Plain]:
    """Decode one frame's cells."""
    classes, height, width = scores.shape
    found: list[Plain] = []
    for row in range(height):
        for column in range(width):
            own = [float(s) for s in scores[:, row, column]]
            centred = [float(v) for v in boxes[:, row, column]]
            if _sound(own, centred) and max(own) >= spec.score_threshold:
                around = [_highest_near(scores[c], row, column) for c in range(classes)]
                box = on_frame(centred, letterbox)
                found.append(Plain(own.index(max(own)), max(own), box, around))
    return _finish(found, spec.max_detections)


def _highest_near(scores: Array, row: int, column: int) -> float:
    near = scores[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
    return max(float(s) if math.isfinite(s) else 0.0 for s in near.ravel())


def told_apart(found: Sequence[Plain], threshold: float) -> bool:
    """Return whether no two scores, nor one and the threshold, are so close that rounding may swap them."""
    gaps = np.diff(np.sort([threshold, *(plain.score for plain in found)]))
    return bool(((gaps == 0) | (gaps > 2e-6)).all())


def assert_same(found: Sequence[Detection], wanted: Sequence[Plain]) -> None:
    """Compare item by item."""
    assert [d.item_ix for d in found] == [p.item_ix for p in wanted]
    for detection, plain in zip(found, wanted, strict=True):
        np.testing.assert_allclose(detection.score, plain.score, atol=2e-6)
        np.testing.assert_allclose(detection.box, plain.box, atol=2e-6)
        np.testing.assert_allclose(detection.class_scores, np.clip(plain.class_scores, 0.0, 1.0), atol=2e-6)
