"""How good detections are: average precision, calibration error, temperature. Tested by hand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleet_agent.basket.evidence import SCORE_FLOOR
from fleet_agent.perception import Detection

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Truth:
    """One item that is in a frame.

    Attributes:
        item_class: Its class.
        box: x0, y0, x1, y1 as fractions of the frame.
        counts: False for an item so little visible that neither finding nor missing it matters.
    """

    item_class: int
    box: Box
    counts: bool = True


def overlap(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes (x0, y0, x1, y1)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def average_precision(
    found: Sequence[Sequence[Detection]],
    truths: Sequence[Sequence[Truth]],
    item_class: int,
    least_overlap: float = 0.5,
) -> float | None:
    """Return the area under the precision-recall curve of one class (all points, as PASCAL VOC since 2010).

    Detections are taken best score first; each truth can be found once, further detections of it are wrong.

    Args:
        found: Detections per frame.
        truths: Items per frame, in the same order.
        item_class: Which class.
        least_overlap: Intersection over union from which a detection is right.

    Returns:
        0..1, or ``None`` if no item of the class counts.
    """
    wanted = sum(truth.item_class == item_class and truth.counts for frame in truths for truth in frame)
    if wanted == 0:
        return None
    claims = [
        (one.score, index, one)
        for index, frame in enumerate(found)
        for one in frame
        if one.item_ix == item_class
    ]
    claims.sort(key=lambda claim: -claim[0])
    taken: set[tuple[int, int]] = set()
    verdicts = [_verdict(one, index, truths[index], taken, least_overlap) for _, index, one in claims]
    right = np.asarray([verdict for verdict in verdicts if verdict is not None], np.float64)
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(right) + 1)
    return _area(precision, hits / wanted)


def _verdict(
    one: Detection, index: int, truths: Sequence[Truth], taken: set[tuple[int, int]], least_overlap: float
) -> bool | None:
    """Return right, wrong, or ``None`` for a detection of something that does not count."""
    best, place = least_overlap, -1
    for number, truth in enumerate(truths):
        share = overlap(one.box, truth.box)
        if truth.item_class == one.item_ix and share >= best and (index, number) not in taken:
            best, place = share, number
    if place < 0:
        return False
    if not truths[place].counts:
        return None
    taken.add((index, place))
    return True


def _area(precision: Doubles, recall: Doubles) -> float:
    if len(precision) == 0:
        return 0.0
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(np.concatenate([[0.0], recall]))
    return float((envelope * steps).sum())


def mean_average_precision(
    found: Sequence[Sequence[Detection]], truths: Sequence[Sequence[Truth]], class_count: int
) -> float:
    """Return the mean of the average precisions at overlap 0.5 of all classes that occur."""
    per_class = [average_precision(found, truths, item_class) for item_class in range(class_count)]
    return float(np.mean([value for value in per_class if value is not None]))


def calibration_error(confidence: Doubles, right: NDArray[np.bool_], bins: int = 15) -> float:
    """Return the expected calibration error with bins of equal width (Guo et al. 2017, equation 3)."""
    place = np.clip((confidence * bins).astype(int), 0, bins - 1)
    gaps = [
        abs(confidence[place == number].mean() - right[place == number].mean()) * np.mean(place == number)
        for number in np.unique(place)
    ]
    return float(sum(gaps))


def class_probabilities(class_scores: Floats, temperature: float) -> Floats:
    """Return what the scores say about which item it is, given that it is one: softmax of their logits.

    With the bounds the cart's fusion uses, so that a temperature fitted here fits there.
    """
    bounded = np.clip(class_scores.astype(np.float64), SCORE_FLOOR, 1 - SCORE_FLOOR)
    logits = (np.log(bounded) - np.log1p(-bounded)) / temperature
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=-1, keepdims=True), np.float32)


def fit_temperature(class_scores: Floats, item_class: NDArray[np.integer]) -> float:
    """Return the temperature that makes the true classes most likely (Guo et al. 2017, section 4.2).

    Args:
        class_scores: float32 (n, c), scores at the peaks.
        item_class: int (n,), the truth.
    """

    def surprise(temperature: float) -> float:
        chances = class_probabilities(class_scores, temperature)
        of_truth = chances[np.arange(len(item_class)), item_class]
        return float(-np.log(np.maximum(of_truth, 1e-12)).mean())

    return _lowest(surprise, 0.2, 5.0)


def _lowest(cost: Callable[[float], float], low: float, high: float) -> float:
    """Return where a one-humped cost is least, by golden section."""
    golden = (5**0.5 - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    cost_left, cost_right = cost(left), cost(right)
    while high - low > 1e-3:
        if cost_left < cost_right:
            high, right, cost_right = right, left, cost_left
            left = high - golden * (high - low)
            cost_left = cost(left)
        else:
            low, left, cost_left = left, right, cost_right
            right = low + golden * (high - low)
            cost_right = cost(right)
    return (low + high) / 2
