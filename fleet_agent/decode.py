"""The network's outputs to detections, for the `center` head.

Outputs: `scores` B x C x H x W after sigmoid, zero where a cell is not a peak of its 3 x 3
neighbourhood; a peak is one item and keeps the scores of all classes, which say how sure its class is.
`boxes` B x 4 x H x W with centre x, centre y, width, height as fractions of the
input. Objects as points: Zhou, Wang, Krähenbühl 2019 (arXiv 1904.07850).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from fleet_agent.errors import EngineError
from fleet_agent.manifest import CenterDecoder
from fleet_agent.perception import Detection, Tensor
from fleet_agent.preprocess import Letterbox


def decode_center(
    outputs: Mapping[str, Tensor], spec: CenterDecoder, classes: int, letterboxes: Sequence[Letterbox]
) -> list[list[Detection]]:
    """Return the detections of each frame, the surest first.

    Args:
        outputs: Of the engine, by name.
        spec: Names of the outputs and thresholds.
        classes: How many the manifest lists.
        letterboxes: Where each frame lies in the input; their number is that of the frames.

    Raises:
        EngineError: an output is missing or not of the agreed shape.
    """
    scores, boxes = _outputs(outputs, spec, classes, len(letterboxes))
    return [_frame(scores[ix], boxes[ix], spec, letterbox) for ix, letterbox in enumerate(letterboxes)]


def _outputs(
    outputs: Mapping[str, Tensor], spec: CenterDecoder, classes: int, frames: int
) -> tuple[Tensor, Tensor]:
    for name in (spec.scores, spec.boxes):
        if name not in outputs:
            raise EngineError(f"the model has no output {name!r}")
    scores, boxes = outputs[spec.scores], outputs[spec.boxes]
    if scores.ndim != 4 or scores.shape[0] < frames or scores.shape[1] != classes:
        raise EngineError(f"output {spec.scores!r} is {scores.shape}, not N x {classes} x H x W")
    if boxes.shape != (scores.shape[0], 4, *scores.shape[2:]):
        raise EngineError(f"output {spec.boxes!r} is {boxes.shape}, not N x 4 x H x W")
    return scores, boxes


def _frame(scores: Tensor, boxes: Tensor, spec: CenterDecoder, letterbox: Letterbox) -> list[Detection]:
    threshold, most = spec.score_threshold, spec.max_detections
    best = scores.max(axis=0)
    # A score that is not a number is no detection: comparing it gives False.
    cells = np.flatnonzero(best >= threshold)
    if not cells.size:
        return []
    cells = cells[np.argsort(-best.ravel()[cells], kind="stable")[:most]]
    rows, columns = np.unravel_index(cells, best.shape)
    items = scores[:, rows, columns].argmax(axis=0)
    corners = _corners(boxes[:, rows, columns], letterbox)
    return [
        Detection(
            item_ix=int(item),
            score=float(best[row, column]),
            box=(float(corner[0]), float(corner[1]), float(corner[2]), float(corner[3])),
            class_scores=_around(scores, int(row), int(column)),
        )
        for item, row, column, corner in zip(items, rows, columns, corners, strict=True)
    ]


def _corners(centred: Tensor, letterbox: Letterbox) -> Tensor:
    """Turn 4 x N centred boxes of the input into N x 4 corners as fractions of the frame."""
    half = centred[2:] / 2
    offset = np.array([[letterbox.x], [letterbox.y]], np.float32)
    size = np.array([[letterbox.width], [letterbox.height]], np.float32)
    low = (centred[:2] - half - offset) / size
    high = (centred[:2] + half - offset) / size
    return np.asarray(np.clip(np.concatenate([low, high]), 0.0, 1.0).T, np.float32)


def _around(scores: Tensor, row: int, column: int) -> Tensor:
    """Each class's score near a cell: some heads suppress each class on its own, one cell apart."""
    near = scores[:, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
    return np.asarray(near.max(axis=(1, 2)), np.float32)
