"""What all decoders share: boxes on the frame, the surest of each frame, and `Detection` values.

Most frames show one item or none, and what is here runs for every batch between two inferences, with cold
caches: the first call of each NumPy function costs 20 us, whatever it computes. So there are few of them,
always the same ones, and none where nothing was found.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet_agent.errors import EngineError
from fleet_agent.letterbox import Letterbox
from fleet_agent.perception import Detection, Tensor

Indices = NDArray[np.intp]
Flags = NDArray[np.bool_]
# 64 bits: differences of boxes as large as a float32 can be do not overflow.
Boxes = NDArray[np.float64]

# Centre and size to corners: x0 = x - width / 2, y0 = y - height / 2, x1 = x + width / 2, ...
TO_CORNERS = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [-0.5, 0, 0.5, 0], [0, -0.5, 0, 0.5]])
ONE = np.float32(1.0)
ZERO = np.float32(0.0)


@dataclass(frozen=True, slots=True)
class Found:
    """Detections of all frames as columns, the surest of each frame first.

    Attributes:
        frame_ix: K, which frame.
        score: K, 0..1 or a rounding more.
        corners: K x 4, x0 y0 x1 y1 as fractions of the frame, cut to it.
        class_scores: K x C, 0..1.
        item_ix: K, the class.
    """

    frame_ix: Indices
    score: Tensor
    corners: Boxes
    class_scores: Tensor
    item_ix: Indices


def output(outputs: Mapping[str, Tensor], name: str) -> Tensor:
    """Return an output by name.

    Raises:
        EngineError: the model has none of this name.
    """
    try:
        return outputs[name]
    except KeyError:
        raise EngineError(f"the model has no output {name!r}; it has {sorted(outputs)}") from None


def on_frames(centred: Tensor, frame_ix: Indices, letterboxes: Sequence[Letterbox]) -> Boxes:
    """Turn boxes of the input into corners on their frames.

    Args:
        centred: K x 4, centre x, centre y, width, height as fractions of the input.
        frame_ix: K, the frame of each.
        letterboxes: Where the frames lie.

    Returns:
        K x 4, x0 y0 x1 y1 as fractions of the frame, not cut to it; all zero where a box is not finite.
    """
    if not within(centred, -np.inf, np.inf):
        finite = np.asarray(np.isfinite(centred).all(axis=1))
        centred = np.where(finite[:, None], centred, ZERO)
    matrix, shift = _to_frames(tuple(letterboxes))
    if len(matrix) == 1:
        return np.asarray(centred @ matrix[0] + shift[0])
    return np.asarray((centred[:, None, :] @ matrix[frame_ix])[:, 0] + shift[frame_ix])


def within(values: NDArray[Any], least: float, most: float) -> bool:
    """Return whether all values are finite and between two bounds.

    For a handful of values Python's own functions are faster than three calls into NumPy.
    """
    plain = values.ravel().tolist()
    return math.isfinite(sum(plain)) and min(plain) >= least and max(plain) <= most


def cut(corners: Boxes) -> tuple[Boxes, Flags]:
    """Return what of boxes is on their frames, and which of them have some area there."""
    inside = np.minimum(np.maximum(corners, 0.0), 1.0)
    return inside, np.asarray((inside[:, 2:] > inside[:, :2]).all(axis=1))


@lru_cache(maxsize=64)
def _to_frames(letterboxes: tuple[Letterbox, ...]) -> tuple[Boxes, Boxes]:
    """Return for each frame the matrix and the shift from centre and size to its corners, n x 4 (x 4).

    Cameras seldom change their letterbox, and mostly all have the same: then n is 1.
    """
    if len(set(letterboxes)) == 1:
        letterboxes = letterboxes[:1]
    size = np.array([(box.width, box.height) * 2 for box in letterboxes]).reshape(-1, 4)
    origin = np.array([(box.x, box.y) * 2 for box in letterboxes]).reshape(-1, 4)
    return TO_CORNERS / size[:, None, :], -origin / size


def surest(frame_ix: Indices, score: Tensor, most: int | None = None) -> Indices:
    """Return the order of `Found`: by frame, then by score, equal scores as they came.

    Of each frame at most `most`.
    """
    order = np.lexsort((-score, frame_ix))
    if most is None or len(order) <= most:
        return order
    ordered = frame_ix[order]
    place = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    return order[place < most]


def detections_of(found: Found | None, frames: int) -> list[list[Detection]]:
    """Return the detections of each frame; `found` is None where nothing was."""
    detections: list[list[Detection]] = [[] for _ in range(frames)]
    if found is None:
        return detections
    columns = zip(
        found.frame_ix.tolist(),
        found.item_ix.tolist(),
        found.score.tolist(),
        found.corners.tolist(),
        found.class_scores,
        strict=True,
    )
    for frame_ix, item_ix, score, box, class_scores in columns:
        # Half precision rounds a little beyond one.
        detections[frame_ix].append(Detection(item_ix, min(score, 1.0), tuple(box), class_scores))
    return detections


def bounded(scores: Tensor) -> Tensor:
    """Bring scores into 0..1, in place: half precision rounds a little beyond, minus infinity is a no."""
    np.minimum(scores, ONE, out=scores)
    return np.maximum(scores, ZERO, out=scores)
