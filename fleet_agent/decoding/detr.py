"""DETR's head: `logits` B x Q x C' and `boxes` B x Q x 4; each query is one item or nothing, none overlap.

Scores are a softmax whose last entry is "no object" (Carion et al. 2020, arXiv 2005.12872), or a sigmoid for
each class (Deformable DETR, RT-DETR); RF-DETR has a sigmoid, too, and a last logit that stands for nothing.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from fleet_agent.decoding.activations import sigmoid, softmax
from fleet_agent.decoding.detections import Found, bounded, cut, on_frames, output, surest
from fleet_agent.errors import EngineError
from fleet_agent.letterbox import Letterbox
from fleet_agent.manifest import DetrDecoder
from fleet_agent.perception import Tensor


def decode_detr(
    outputs: Mapping[str, Tensor], spec: DetrDecoder, classes: int, letterboxes: Sequence[Letterbox]
) -> Found | None:
    """Find the queries of all frames that are sure enough; None when there are none.

    Args:
        outputs: Of the engine, by name.
        spec: Names of the outputs and thresholds.
        classes: How many the manifest lists.
        letterboxes: Where each frame lies in the input; their number is that of the frames.

    Raises:
        EngineError: an output is missing or not of the agreed shape.
    """
    logits, boxes = _outputs(outputs, spec, classes, len(letterboxes))
    scores = softmax(logits) if spec.exclusive else sigmoid(logits)
    if spec.background:
        scores = scores[..., :-1]
    best = scores.max(axis=2)
    frame_ix, query_ix = ((best >= spec.score_threshold) & (logits < np.inf).all(axis=2)).nonzero()
    if not frame_ix.size:
        return None
    corners, usable = cut(on_frames(boxes[frame_ix, query_ix], frame_ix, letterboxes))
    frame_ix, query_ix, corners = frame_ix[usable], query_ix[usable], corners[usable]
    order = surest(frame_ix, best[frame_ix, query_ix], spec.max_detections)
    frame_ix, query_ix = frame_ix[order], query_ix[order]
    class_scores, score = scores[frame_ix, query_ix], best[frame_ix, query_ix]
    item_ix = class_scores.argmax(axis=1)
    return Found(frame_ix, score, corners[order], bounded(class_scores), item_ix)


def _outputs(
    outputs: Mapping[str, Tensor], spec: DetrDecoder, classes: int, frames: int
) -> tuple[Tensor, Tensor]:
    logits, boxes = output(outputs, spec.logits), output(outputs, spec.boxes)
    wanted = classes + spec.background
    if logits.ndim != 3 or logits.shape[0] < frames or logits.shape[2] != wanted:
        raise EngineError(f"output {spec.logits!r} is {logits.shape}, not N x queries x {wanted}")
    if boxes.shape != (*logits.shape[:2], 4):
        raise EngineError(f"output {spec.boxes!r} is {boxes.shape}, not N x queries x 4")
    return logits[:frames], boxes[:frames]
