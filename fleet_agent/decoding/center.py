"""The `center` head: `scores` B x C x H x W after sigmoid, and `boxes` B x 4 x H x W.

A cell is a peak of its 3 x 3 neighbourhood or zero; a peak is one item and keeps the scores of all
classes, which say how sure its class is. Boxes are centre x, centre y, width, height as fractions of the
input. Objects as points: Zhou, Wang, Krähenbühl 2019 (arXiv 1904.07850).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from fleet_agent.decoding.detections import (
    ZERO,
    Flags,
    Found,
    Indices,
    bounded,
    cut,
    on_frames,
    output,
    surest,
    within,
)
from fleet_agent.errors import EngineError
from fleet_agent.letterbox import Letterbox
from fleet_agent.manifest import CenterDecoder
from fleet_agent.perception import Tensor

# Some heads suppress each class on its own, one cell apart: of each class, the highest score of a cell's
# neighbourhood of nine counts. The cell itself is the fifth.
SELF = 4


def decode_center(
    outputs: Mapping[str, Tensor], spec: CenterDecoder, classes: int, letterboxes: Sequence[Letterbox]
) -> Found | None:
    """Find the peaks of all frames at once; None when there are none.

    Args:
        outputs: Of the engine, by name.
        spec: Names of the outputs and thresholds.
        classes: How many the manifest lists.
        letterboxes: Where each frame lies in the input; their number is that of the frames.

    Raises:
        EngineError: an output is missing or not of the agreed shape.
    """
    scores, boxes, around = _outputs(outputs, spec, classes, len(letterboxes))
    best = np.maximum.reduce(scores, axis=1)
    # A score that is not a number is no detection: comparing it gives False.
    frame_ix, cell_ix = (best >= spec.score_threshold).nonzero()
    if not frame_ix.size:
        return None
    corners, usable = cut(on_frames(boxes[frame_ix, :, cell_ix], frame_ix, letterboxes))
    score = best[frame_ix, cell_ix]
    near = scores[frame_ix[:, None], :, around[cell_ix]]
    class_scores = np.maximum.reduce(near, axis=1)
    if not within(class_scores, 0.0, 1.0):
        usable &= score < np.inf
        class_scores = _bounded(near)
    found = Found(frame_ix, score, corners, class_scores, near[:, SELF].argmax(axis=1))
    single = len(set(frame_ix.tolist())) == frame_ix.size
    return found if single and all(usable.tolist()) else _best(found, usable, spec.max_detections)


def _best(found: Found, usable: Flags, most: int) -> Found:
    """Leave out what is not usable, and put the surest of each frame first."""
    frame_ix, score = found.frame_ix[usable], found.score[usable]
    order = usable.nonzero()[0][surest(frame_ix, score, most)]
    return Found(
        found.frame_ix[order],
        found.score[order],
        found.corners[order],
        found.class_scores[order],
        found.item_ix[order],
    )


def _outputs(
    outputs: Mapping[str, Tensor], spec: CenterDecoder, classes: int, frames: int
) -> tuple[Tensor, Tensor, Indices]:
    """Return scores B x C x cells and boxes B x 4 x cells of the frames, and each cell's neighbours."""
    scores, boxes = output(outputs, spec.scores), output(outputs, spec.boxes)
    if scores.ndim != 4 or scores.shape[0] < frames or scores.shape[1] != classes:
        raise EngineError(f"output {spec.scores!r} is {scores.shape}, not N x {classes} x H x W")
    if boxes.shape != (scores.shape[0], 4, *scores.shape[2:]):
        raise EngineError(f"output {spec.boxes!r} is {boxes.shape}, not N x 4 x H x W")
    batch, _, height, width = scores.shape
    cells = height * width
    flat = scores.reshape(batch, classes, cells)[:frames], boxes.reshape(batch, 4, cells)[:frames]
    return *flat, _neighbours(height, width)


@lru_cache(maxsize=16)
def _neighbours(height: int, width: int) -> Indices:
    """Return, cells x 9, each cell's neighbours and itself; on the border some come twice."""
    rows, columns = np.mgrid[0:height, 0:width].reshape(2, -1, 1)
    down, right = np.mgrid[-1:2, -1:2].reshape(2, 1, -1)
    near_rows, near_columns = np.clip(rows + down, 0, height - 1), np.clip(columns + right, 0, width - 1)
    return np.asarray(near_rows * width + near_columns)


def _bounded(near: Tensor) -> Tensor:
    """Each class's score near a cell, K x C, where some are beyond one or not finite.

    A neighbour's score that is not a number says nothing about the cell, whose own are numbers.
    """
    return bounded(np.where(np.isfinite(near), near, ZERO).max(axis=1))
