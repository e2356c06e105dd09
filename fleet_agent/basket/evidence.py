r"""What the cameras say about a movement, as arrays: pure.

    log p_d(k) = log softmax_k(logit(score_dk) / T)          one detection
    log p_c(k) = beta_c sum_d q_d log p_d(k)                 one camera, all detections of all frames
    beta_c = 1 / (1 + (F_c - 1) rho_frames)

q_d, the surest score of a detection, is its quality: a blurred, dark or occluded view says little. beta
discounts frames whose errors go together, as the effective sample size of equicorrelated observations (Kish
1965). Detections of one frame lie at different places and are discounted together with their frame only: two
items in a frame are two witnesses, and no single item explains both.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from fleet_agent.config import FusionConfig
from fleet_agent.perception import Detection

Floats = NDArray[np.float64]

# Scores are clipped to this far from 0 and 1: one frame never rules an item out for good.
SCORE_FLOOR = 0.01
# A detection this much over one that was there before the movement is clutter, not the moved item.
CLUTTER_OVERLAP = 0.5
# Keeps the division by the union of two empty boxes finite.
LEAST_AREA = 1e-12


@dataclass(frozen=True, slots=True)
class CameraEvidence:
    """What one camera saw during one movement.

    Attributes:
        camera: Its name.
        frames: Detections of each frame looked at; frames without any say nothing.
        clutter: Detections from before the movement.
    """

    camera: str
    frames: tuple[tuple[Detection, ...], ...]
    clutter: tuple[Detection, ...] = ()


@dataclass(frozen=True, slots=True)
class Views:
    """All detections of what moved, camera after camera.

    Attributes:
        cameras: Names of the C cameras that saw something.
        starts: int (C,), row of each camera's first detection.
        logs: float64 (D, K), log p of each class per detection.
        weights: float64 (D,), quality of the detection times its camera's beta.
        named: int (N,), classes that were the best of some detection.
    """

    cameras: tuple[str, ...]
    starts: NDArray[np.intp]
    logs: Floats
    weights: Floats
    named: NDArray[np.intp]

    def by_camera(self) -> Floats:
        """Return each camera's log p of each class, float64 (C, K)."""
        sums: Floats = np.add.reduceat(self.weights[:, None] * self.logs, self.starts, axis=0)
        return sums


def views_of(
    evidence: Sequence[CameraEvidence], classes: int, temperature: float, config: FusionConfig
) -> Views | None:
    """Return what the cameras saw; None when none of them saw anything that moved."""
    moved = _moved(evidence)
    if not moved:
        return None
    frames = Counter(camera for camera, _ in moved)
    seen = [(camera, detection) for camera, frame in moved for detection in frame]
    counts = Counter(camera for camera, _ in seen)
    beta = {camera: 1.0 / (1.0 + (n - 1) * config.frame_correlation) for camera, n in frames.items()}
    scores = _clipped_scores([detection for _, detection in seen], classes)
    return Views(
        cameras=tuple(evidence[camera].camera for camera in counts),
        starts=np.array([0, *accumulate(counts.values())][:-1]),
        logs=_log_softmax(np.log(scores / (1.0 - scores)) / temperature),
        weights=scores.max(axis=1) * [beta[camera] for camera, _ in seen],
        named=np.array(sorted({detection.item_ix for _, detection in seen})),
    )


def _clipped_scores(seen: Sequence[Detection], classes: int) -> Floats:
    """Return the clipped score of each class in each detection, float64 (D, K)."""
    scores = np.array([detection.class_scores for detection in seen], np.float64).reshape(len(seen), classes)
    # A network that is out of its mind gives NaN: it says nothing then (of a number and NaN, fmax is the
    # number), and the other detections still count.
    return np.fmin(np.fmax(scores, SCORE_FLOOR), 1.0 - SCORE_FLOOR)


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=1, keepdims=True)
    logs: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs


def _moved(evidence: Sequence[CameraEvidence]) -> list[tuple[int, list[Detection]]]:
    """Return camera and detections of each frame that shows something that was not there before."""
    frames = [(camera, frame) for camera, one in enumerate(evidence) for frame in one.frames if frame]
    clutter = [(camera, old) for camera, one in enumerate(evidence) for old in one.clutter]
    if not clutter or not frames:
        return [(camera, list(frame)) for camera, frame in frames]
    old = iter(_is_clutter([(camera, one) for camera, frame in frames for one in frame], clutter).tolist())
    moved = [(camera, [one for one in frame if not next(old)]) for camera, frame in frames]
    return [(camera, frame) for camera, frame in moved if frame]


def _is_clutter(
    seen: Sequence[tuple[int, Detection]], clutter: Sequence[tuple[int, Detection]]
) -> NDArray[np.bool_]:
    """Tell which detections lie over one of the same item and camera from before the movement."""
    (of_seen, seen_boxes), (of_clutter, clutter_boxes) = _columns(seen), _columns(clutter)
    same = (of_seen[:, None, :] == of_clutter[None, :, :]).all(axis=2)
    found: NDArray[np.bool_] = (same & (overlaps(seen_boxes, clutter_boxes) > CLUTTER_OVERLAP)).any(axis=1)
    return found


def _columns(seen: Sequence[tuple[int, Detection]]) -> tuple[NDArray[np.int64], Floats]:
    """Return camera and item of detections, int (n, 2), and their boxes, float64 (n, 4)."""
    return np.array([(camera, one.item_ix) for camera, one in seen]), np.array([one.box for _, one in seen])


def overlaps(a: Floats, b: Floats) -> Floats:
    """Return intersection over union of boxes x0, y0, x1, y1, (n, 4) and (m, 4), as (n, m)."""
    size = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    inside = np.maximum(size, 0.0).prod(axis=2)
    union = _areas(a)[:, None] + _areas(b)[None, :] - inside
    over: Floats = inside / np.maximum(union, LEAST_AREA)
    return over


def _areas(boxes: Floats) -> Floats:
    areas: Floats = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0).prod(axis=1)
    return areas


def log_uniform(classes: int) -> float:
    """Return the log p of something that looks like nothing in particular."""
    return -math.log(classes)
