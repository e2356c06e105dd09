"""What all decoders share: boxes on the frame, the surest of each frame, and `Detection` values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleet_agent.errors import EngineError
from fleet_agent.letterbox import Letterbox
from fleet_agent.perception import Detection, Tensor

Indices = NDArray[np.intp]
# 64 bits: differences of boxes as large as a float32 can be do not overflow.
Boxes = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Found:
    """Detections of all frames as columns, in the order of frames, the surest of each frame first.

    Attributes:
        frame_ix: K, which frame.
        score: K, 0..1.
        corners: K x 4, x0 y0 x1 y1 as fractions of the frame, inside it.
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
        centred: K x 4, centre x, centre y, width, height as fractions of the input; finite.
        frame_ix: K, the frame of each.
        letterboxes: Where the frames lie.

    Returns:
        K x 4, x0 y0 x1 y1 as fractions of the frame; not cut to it.
    """
    edges = np.array([(box.x, box.y, box.width, box.height) for box in letterboxes])
    lying = edges.reshape(-1, 4)[frame_ix]
    middle, half = centred[:, :2] - lying[:, :2], centred[:, 2:] / 2.0
    corners = np.concatenate([middle - half, middle + half], axis=1)
    return np.asarray(corners / np.tile(lying[:, 2:], 2), np.float64)


def seen(corners: Boxes) -> NDArray[np.bool_]:
    """Return which boxes have some area on their frame."""
    inside = np.clip(corners, 0.0, 1.0)
    return np.asarray((inside[:, 2:] > inside[:, :2]).all(axis=1))


def surest(frame_ix: Indices, score: Tensor) -> Indices:
    """Return the order of `Found`: by frame, then by score, equal scores as they came."""
    return np.lexsort((-score, frame_ix))


def first_of_each(frame_ix: Indices, most: int) -> NDArray[np.bool_]:
    """Return which entries are among the first of their frame; `frame_ix` is in order."""
    place = np.arange(len(frame_ix)) - np.searchsorted(frame_ix, frame_ix)
    return np.asarray(place < most)


def detections_of(found: Found, frames: int) -> list[list[Detection]]:
    """Return the detections of each frame."""
    if not len(found.frame_ix):
        return [[] for _ in range(frames)]
    boxes = np.clip(found.corners, 0.0, 1.0).tolist()
    columns = zip(found.item_ix.tolist(), found.score.tolist(), boxes, found.class_scores, strict=True)
    built = [Detection(item_ix, score, tuple(box), own) for item_ix, score, box, own in columns]
    ends = np.searchsorted(found.frame_ix, np.arange(frames + 1)).tolist()
    return [built[ends[ix] : ends[ix + 1]] for ix in range(frames)]


def bounded(class_scores: Tensor) -> Tensor:
    """Return scores within 0..1: half precision rounds a little beyond, and a negative infinity is a no."""
    return np.clip(class_scores, np.float32(0.0), np.float32(1.0))
