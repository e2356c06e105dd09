"""YOLO's head: one output of anchors, each a box and the scores of all classes; we suppress the overlaps.

Layouts: B x (4 + C) x N as YOLOv8 to v12 are exported, or B x N x (4 + C); with objectness one more channel
after the box (YOLOv5, YOLOX). Boxes are centre x, centre y, width, height.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fleet_agent.decoding.activations import sigmoid
from fleet_agent.decoding.detections import Boxes, Found, Indices, bounded, cut, on_frames, output, surest
from fleet_agent.decoding.nms import suppress
from fleet_agent.errors import EngineError
from fleet_agent.letterbox import Letterbox
from fleet_agent.manifest import YoloDecoder
from fleet_agent.perception import Tensor


def decode_yolo(
    outputs: Mapping[str, Tensor],
    spec: YoloDecoder,
    classes: int,
    size: tuple[int, int],
    letterboxes: Sequence[Letterbox],
) -> Found | None:
    """Find the anchors of all frames that are sure enough, and of those that overlap the surest.

    None when there are none.

    Args:
        outputs: Of the engine, by name.
        spec: Layout and thresholds.
        classes: How many the manifest lists.
        size: Width and height of the input in pixels.
        letterboxes: Where each frame lies in the input; their number is that of the frames.

    Raises:
        EngineError: the output is missing or not of the agreed shape.
    """
    anchors = _anchors(outputs, spec, classes, len(letterboxes))
    frame_ix, anchor_ix = _likely(anchors, spec)
    if not frame_ix.size:
        return None
    frame_ix, rows = _sound(frame_ix, anchors[frame_ix, :, anchor_ix])
    if not frame_ix.size:
        return None
    class_scores = _class_scores(rows[:, 4:], spec)
    score, item_ix = class_scores.max(axis=1), class_scores.argmax(axis=1)
    unit = (1.0, 1.0) if spec.normalised else size
    corners = on_frames(rows[:, :4] / np.tile(unit, 2), frame_ix, letterboxes)
    inside, usable = cut(corners)
    order = surest(frame_ix, score)
    order = order[(usable & (score >= spec.score_threshold))[order]]
    order = order[_standing(corners[order], score[order], item_ix[order], frame_ix[order], spec)]
    return Found(
        frame_ix[order], bounded(score[order]), inside[order], bounded(class_scores[order]), item_ix[order]
    )


def _anchors(outputs: Mapping[str, Tensor], spec: YoloDecoder, classes: int, frames: int) -> Tensor:
    """Return the output as B x channels x N, whichever way it lies in memory."""
    anchors, channels = output(outputs, spec.output), 4 + spec.objectness + classes
    axis = 1 if spec.channels_first else 2
    if anchors.ndim != 3 or anchors.shape[0] < frames or anchors.shape[axis] != channels:
        wanted = f"N x {channels} x anchors" if spec.channels_first else f"N x anchors x {channels}"
        raise EngineError(f"output {spec.output!r} is {anchors.shape}, not {wanted}")
    anchors = anchors[:frames]
    return anchors if spec.channels_first else anchors.transpose(0, 2, 1)


def _likely(anchors: Tensor, spec: YoloDecoder) -> tuple[Indices, Indices]:
    """Return frame and anchor of those whose score may reach the threshold.

    Objectness alone is an upper bound of the score, and so the classes of most anchors are never read.
    """
    bound = anchors[:, 4] if spec.objectness else anchors[:, 4:].max(axis=1)
    least = spec.score_threshold if spec.activated else _logit(spec.score_threshold)
    frame_ix, anchor_ix = np.nonzero(bound >= least)
    return frame_ix, anchor_ix


def _logit(share: float) -> float:
    # A hair lower than exact: whether the score reaches the threshold is decided after the sigmoid.
    return -math.inf if share <= 0 else math.log(share) - math.log1p(-min(share, 1 - 1e-7)) - 1e-4


def _sound(frame_ix: Indices, rows: Tensor) -> tuple[Indices, Tensor]:
    """Return those whose box is finite and whose scores, before any sigmoid, are; minus infinity is a no."""
    sound = np.isfinite(rows[:, :4]).all(axis=1) & (rows[:, 4:] < np.inf).all(axis=1)
    return frame_ix[sound], rows[sound]


def _class_scores(raw: Tensor, spec: YoloDecoder) -> Tensor:
    scores = raw if spec.activated else sigmoid(raw)
    return np.asarray(scores[:, :1] * scores[:, 1:]) if spec.objectness else scores


def _standing(
    corners: Boxes, score: Tensor, item_ix: Indices, frame_ix: Indices, spec: YoloDecoder
) -> Indices:
    """Return which boxes stay, frame by frame; frames come in order."""
    frames = np.unique(frame_ix)
    begins, ends = np.searchsorted(frame_ix, frames), np.searchsorted(frame_ix, frames, side="right")
    kept = [
        begin
        + suppress(
            corners[begin:end],
            score[begin:end],
            item_ix[begin:end],
            overlap=spec.overlap,
            most=spec.max_detections,
        )
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
    ]
    return np.concatenate(kept) if kept else np.zeros(0, np.intp)
