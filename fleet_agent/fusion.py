r"""From what the cameras saw and what the scale weighed to one item event: pure.

A hypothesis h = (item k, quantity n), or *unknown*; the direction s is the sign of the weight change.

    log P(h | D) = alpha * sum_c log p_c(k)                             cameras
                 + log[(1 - e) N(dw; s n mu_k, w^2 + n sd_k^2) + e U]   weight, with outlier mass e
                 + log prior(k) + log prior(n)  + const
    log p_c(k)   = beta * sum_f q_f log softmax_k(logit(score_fk) / T)
    alpha = 1 / (1 + (C - 1) rho_cameras),   beta = 1 / (1 + (F - 1) rho_frames)

T is the model's temperature; q_f weighs a frame by its surest detection, so that a blurred or
occluded view says little; alpha and beta discount cameras and frames whose errors go together, as
the effective sample size of equicorrelated observations (Kish), without which three cameras count
thrice. *unknown* looks like nothing in particular: log p = log 1/K, any weight of its sign.

The product form, the outlier mass and the discount are the project's design (section 5 of its notes
on the cart), after FAIM/AIM3S (Falcao et al. 2020), which fuse weight difference and vision, and
temperature scaling (Guo et al. 2017). Weight alone never books an item: the median item has dozens
of others of its weight.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleet_agent.config import FusionConfig
from fleet_agent.events import Direction, Outcome
from fleet_agent.manifest import ItemClass
from fleet_agent.perception import Detection

Floats = NDArray[np.float64]

# Scores are clipped to this far from 0 and 1: one frame never rules an item out for good.
SCORE_FLOOR = 0.01
TOP = 5
# A detection this much over one that was there before the movement is clutter, not the moved item.
CLUTTER_OVERLAP = 0.5


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
class Decision:
    """The most likely explanation of one weight change.

    Attributes:
        item_ix: Class of the item; None for something unknown.
        quantity: Pieces.
        direction: Into the cart or out of it.
        posterior: Of item and quantity together.
        margin: Lead over the second hypothesis.
        top: Up to five (class, probability), quantities summed.
        camera_confidence: Per camera that saw something, its own probability of the item.
        disagreeing: Cameras whose own best is another item.
        weight_residual_g: Change minus what the decision would weigh; None for something unknown.
        outcome: accepted or asked.
    """

    item_ix: int | None
    quantity: int
    direction: Direction
    posterior: float
    margin: float
    top: tuple[tuple[int, float], ...]
    camera_confidence: tuple[tuple[str, float], ...]
    disagreeing: int
    weight_residual_g: float | None
    outcome: Outcome


def fuse(
    evidence: Sequence[CameraEvidence],
    change_g: float,
    classes: Sequence[ItemClass],
    config: FusionConfig,
    *,
    temperature: float = 1.0,
    prior: Floats | None = None,
) -> Decision:
    """Explain one settled weight change.

    Args:
        evidence: Per camera; cameras that saw nothing may be left out.
        change_g: Signed, not zero.
        classes: The catalogue, in the order of the network's classes.
        config: Correlations, noise, thresholds.
        temperature: Of the model's scores; above 1 makes them less sure.
        prior: Probability of each class before any evidence; None makes them equal.
    """
    logs = {e.camera: _camera_log(e, len(classes), temperature, config) for e in evidence}
    seeing = {camera: log_p for camera, log_p in logs.items() if log_p is not None}
    log_joint = _vision(seeing, len(classes), config) + _prior(len(classes), config, prior)
    posterior = _softmax(log_joint + _weight(change_g, classes, config))
    return _decide(posterior, seeing, change_g, classes, config)


def _camera_log(
    evidence: CameraEvidence, classes: int, temperature: float, config: FusionConfig
) -> Floats | None:
    """Return one camera's log p of each class and, last, of *unknown*; None when it saw nothing."""
    logs: list[Floats] = []
    for frame in evidence.frames:
        moved = [d.class_scores for d in frame if not _is_clutter(d, evidence.clutter)]
        if moved:
            scores = np.max(moved, axis=0).astype(np.float64)
            clipped = np.clip(scores, SCORE_FLOOR, 1 - SCORE_FLOOR)
            logits = np.log(clipped / (1 - clipped)) / temperature
            frame_log = np.append(np.log(_softmax(logits)), -math.log(classes))
            logs.append(float(clipped.max()) * frame_log)
    if not logs:
        return None
    discount = 1.0 / (1.0 + (len(logs) - 1) * config.frame_correlation)
    total: Floats = discount * np.sum(logs, axis=0)
    return total


def _is_clutter(detection: Detection, clutter: Sequence[Detection]) -> bool:
    return any(
        detection.item_ix == other.item_ix and overlap(detection.box, other.box) > CLUTTER_OVERLAP
        for other in clutter
    )


def overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Return intersection over union of two boxes x0, y0, x1, y1; 0 where they have no area."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inside = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside
    return inside / union


def _vision(seeing: Mapping[str, Floats], classes: int, config: FusionConfig) -> Floats:
    """Return the cameras' discounted sum: one entry per class and one for *unknown*."""
    if not seeing:
        return np.zeros(classes + 1)
    discount = 1.0 / (1.0 + (len(seeing) - 1) * config.camera_correlation)
    total: Floats = discount * np.sum(list(seeing.values()), axis=0)
    return total


def _prior(classes: int, config: FusionConfig, prior: Floats | None) -> Floats:
    """Return log prior: rows are quantities, columns classes and, last, *unknown*."""
    known = np.full(classes, 1.0 / classes) if prior is None else prior
    items = np.append(known * (1.0 - config.unknown_share), config.unknown_share)
    quantities = config.multiple_share ** np.arange(config.max_quantity)
    quantities /= quantities.sum()
    joint = np.outer(quantities, items)
    # Pieces of something unknown cannot be told apart: it has one hypothesis.
    joint[:, -1] = 0.0
    joint[0, -1] = config.unknown_share
    with np.errstate(divide="ignore"):
        log_joint: Floats = np.log(joint)
    return log_joint


def _weight(change_g: float, classes: Sequence[ItemClass], config: FusionConfig) -> Floats:
    """Return the log likelihood of the change's size, in the shape of the prior."""
    mean_g = np.array([item.weight_g for item in classes])
    sd_g = np.array([item.weight_sd_g for item in classes])
    n = np.arange(1, config.max_quantity + 1)[:, None]
    variance = config.scale_sd_g**2 + n * sd_g**2
    z2 = (abs(change_g) - n * mean_g) ** 2 / variance
    normal = np.exp(-z2 / 2) / np.sqrt(2 * math.pi * variance)
    share, uniform = config.weight_outlier_share, 1.0 / config.weight_range_g
    known = np.log((1 - share) * normal + share * uniform)
    unknown = np.full((config.max_quantity, 1), math.log(uniform))
    return np.hstack([known, unknown])


def _softmax(logs: Floats) -> Floats:
    shifted: Floats = np.exp(logs - logs.max())
    shifted /= shifted.sum()
    return shifted


def _decide(
    posterior: Floats,
    seeing: Mapping[str, Floats],
    change_g: float,
    classes: Sequence[ItemClass],
    config: FusionConfig,
) -> Decision:
    ranked = np.sort(posterior, axis=None)[::-1]
    row, column = np.unravel_index(int(posterior.argmax()), posterior.shape)
    item_ix = int(column) if column < len(classes) else None
    quantity = int(row) + 1
    best, margin = float(ranked[0]), float(ranked[0] - ranked[1])
    sure = best >= config.accept_posterior and margin >= config.accept_margin
    accepted = sure and bool(seeing) and item_ix is not None
    own = {camera: _softmax(log_p[:-1]) for camera, log_p in seeing.items()}
    by_item = posterior.sum(axis=0)[:-1]
    top = [int(ix) for ix in np.argsort(by_item)[::-1][:TOP]]
    return Decision(
        item_ix=item_ix,
        quantity=quantity,
        direction="add" if change_g > 0 else "remove",
        posterior=best,
        margin=margin,
        top=tuple((ix, float(by_item[ix])) for ix in top),
        camera_confidence=tuple(
            (camera, float(p[item_ix]) if item_ix is not None else 0.0) for camera, p in own.items()
        ),
        disagreeing=sum(int(p.argmax()) != item_ix for p in own.values()),
        weight_residual_g=_residual_g(item_ix, quantity, change_g, classes),
        outcome="accepted" if accepted else "asked",
    )


def _residual_g(
    item_ix: int | None, quantity: int, change_g: float, classes: Sequence[ItemClass]
) -> float | None:
    """Return measured minus expected change, both signed."""
    if item_ix is None:
        return None
    return change_g - math.copysign(quantity * classes[item_ix].weight_g, change_g)
