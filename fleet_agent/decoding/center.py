"""The `center` head: `scores` B x C x H x W after sigmoid, and `boxes` B x 4 x H x W.

A cell is a peak of its 3 x 3 neighbourhood or zero; a peak is one item and keeps the scores of all
classes, which say how sure its class is. Boxes are centre x, centre y, width, height as fractions of the
input. Objects as points: Zhou, Wang, Krähenbühl 2019 (arXiv 1904.07850).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from fleet_agent.decoding.detections import (
    Found,
    Indices,
    bounded,
    first_of_each,
    on_frames,
    output,
    seen,
    surest,
)
from fleet_agent.errors import EngineError
from fleet_agent.letterbox import Letterbox
from fleet_agent.manifest import CenterDecoder
from fleet_agent.perception import Tensor

# Offsets of a cell's neighbours and of itself.
AROUND = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1], indexing="ij")).reshape(2, 9)


def decode_center(
    outputs: Mapping[str, Tensor], spec: CenterDecoder, classes: int, letterboxes: Sequence[Letterbox]
) -> Found:
    """Find the peaks of all frames at once.

    Args:
        outputs: Of the engine, by name.
        spec: Names of the outputs and thresholds.
        classes: How many the manifest lists.
        letterboxes: Where each frame lies in the input; their number is that of the frames.

    Raises:
        EngineError: an output is missing or not of the agreed shape.
    """
    scores, boxes = _outputs(outputs, spec, classes, len(letterboxes))
    best = np.asarray(scores.max(axis=1))
    # A score that is not a number is no detection: comparing it gives False.
    frame_ix, rows, columns = np.nonzero((best >= spec.score_threshold) & (best < np.inf))
    centred = boxes[frame_ix, :, rows, columns]
    finite = np.asarray(np.isfinite(centred).all(axis=1))
    corners = on_frames(np.where(finite[:, None], centred, np.float32(0.0)), frame_ix, letterboxes)
    usable = finite & seen(corners)
    order = surest(frame_ix, best[frame_ix, rows, columns])
    order = order[usable[order]]
    order = order[first_of_each(frame_ix[order], spec.max_detections)]
    frame_ix, rows, columns = frame_ix[order], rows[order], columns[order]
    score = np.minimum(best[frame_ix, rows, columns], np.float32(1.0))
    item_ix = scores[frame_ix, :, rows, columns].argmax(axis=1)
    return Found(frame_ix, score, corners[order], _around(scores, frame_ix, rows, columns), item_ix)


def _outputs(
    outputs: Mapping[str, Tensor], spec: CenterDecoder, classes: int, frames: int
) -> tuple[Tensor, Tensor]:
    scores, boxes = output(outputs, spec.scores), output(outputs, spec.boxes)
    if scores.ndim != 4 or scores.shape[0] < frames or scores.shape[1] != classes:
        raise EngineError(f"output {spec.scores!r} is {scores.shape}, not N x {classes} x H x W")
    if boxes.shape != (scores.shape[0], 4, *scores.shape[2:]):
        raise EngineError(f"output {spec.boxes!r} is {boxes.shape}, not N x 4 x H x W")
    return scores[:frames], boxes[:frames]


def _around(scores: Tensor, frame_ix: Indices, rows: Indices, columns: Indices) -> Tensor:
    """Each class's score near a cell, K x C: some heads suppress each class on its own, one cell apart."""
    near_rows = np.clip(rows[:, None] + AROUND[0], 0, scores.shape[2] - 1)
    near_columns = np.clip(columns[:, None] + AROUND[1], 0, scores.shape[3] - 1)
    near = scores[frame_ix[:, None], :, near_rows, near_columns]
    # A neighbour's score that is not a number says nothing about this cell, whose own are numbers.
    return bounded(np.where(np.isfinite(near), near, np.float32(0.0)).max(axis=1))
