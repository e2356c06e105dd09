"""Which detection of one engine is which of another: an optimal assignment.

Greedy matching by score gives the surest detection its best partner and may leave a second one without,
although another assignment has a partner for both; the gate would then refuse a good engine. So the
assignment with the most matched detections is taken and, among those, the one of largest total overlap,
with the shortest augmenting path form of the Hungarian method (Jonker and Volgenant 1987).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleet_agent.manifest import GoldenDetection, ParityLimits
from fleet_agent.perception import Detection

Box = tuple[float, float, float, float]
Matrix = NDArray[np.float64]

# Weight of one detection that must be matched against the overlaps (each at most 1) of all other
# pairs of a frame; a frame has at most 1000 detections.
MUST_WEIGHT = 10_000.0


@dataclass(frozen=True, slots=True)
class Sighting:
    """A detection as far as the comparison goes.

    Attributes:
        item_ix: Class.
        score: 0..1.
        box: x0, y0, x1, y1 as fractions of the frame.
    """

    item_ix: int
    score: float
    box: Box


@dataclass(frozen=True, slots=True)
class FrameMatch:
    """How two engines agree on one frame.

    Attributes:
        required: Detections of the reference from the score floor on.
        matched: Pairs found, as (reference, candidate).
        lost: Required detections without a partner.
        extra: Candidate's detections from the score floor on without a partner.
        swapped: Pairs of a lost and an extra one at the same place: only their class differs.
    """

    required: int
    matched: tuple[tuple[Sighting, Sighting], ...]
    lost: tuple[Sighting, ...]
    extra: tuple[Sighting, ...]
    swapped: tuple[tuple[Sighting, Sighting], ...]


def sightings(detections: Iterable[Detection | GoldenDetection]) -> tuple[Sighting, ...]:
    """Return detections in an order that does not depend on where they came from."""
    seen = [Sighting(entry.item_ix, float(entry.score), entry.box) for entry in detections]
    return tuple(sorted(seen, key=lambda entry: (-entry.score, entry.item_ix, entry.box)))


def match(reference: Sequence[Sighting], candidate: Sequence[Sighting], limits: ParityLimits) -> FrameMatch:
    """Match the detections of one frame.

    A partner may be below the score floor: a detection of 0.51 that comes back as 0.49 is found, and its
    score's difference is judged on its own. A pair of which both are below the floor does not count.

    Args:
        reference: What must be found, at most 1000.
        candidate: What was found, at most 1000.
        limits: Score floor and least overlap.
    """
    same_class = _classes(reference)[:, None] == _classes(candidate)[None, :]
    overlap = overlaps(reference, candidate)
    must = _above(reference, limits)[:, None].astype(float) + _above(candidate, limits)[None, :]
    near = overlap >= limits.least_overlap
    gain = np.where(near & same_class & (must > 0), must * MUST_WEIGHT + overlap, 0.0)
    pairs = [(row, column) for row, column in assignment(gain) if gain[row, column] > 0]
    lost = _without(reference, [row for row, _ in pairs], limits)
    extra = _without(candidate, [column for _, column in pairs], limits)
    return FrameMatch(
        required=int(_above(reference, limits).sum()),
        matched=tuple((reference[row], candidate[column]) for row, column in pairs),
        lost=lost,
        extra=extra,
        swapped=_swapped(lost, extra, limits.least_overlap),
    )


def overlaps(first: Sequence[Sighting], second: Sequence[Sighting]) -> Matrix:
    """Return the intersection over union of each box with each; 0 where a box is empty or not a number."""
    a, b = _boxes(first)[:, None], _boxes(second)[None, :]
    sides = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0.0)
    common = sides.prod(axis=-1)
    union = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1) - common
    with np.errstate(divide="ignore", invalid="ignore"):
        share = common / union
    return np.asarray(np.where(np.isfinite(share) & (union > 0), share, 0.0), np.float64)


def assignment(gain: Matrix) -> list[tuple[int, int]]:
    """Pair rows with columns for the largest sum of gains; every row or every column gets a partner.

    Args:
        gain: Rows x columns, finite.

    Returns:
        Pairs by row.
    """
    if gain.shape[0] > gain.shape[1]:
        return sorted((row, column) for column, row in assignment(gain.T))
    rows, columns = gain.shape
    row_of = np.full(columns + 1, -1)
    potential_row, potential_column = np.zeros(rows), np.zeros(columns + 1)
    for row in range(rows):
        _augment(-gain, row, row_of, potential_row, potential_column)
    return sorted((int(row_of[column]), column) for column in range(columns) if row_of[column] >= 0)


def _augment(
    cost: Matrix, row: int, row_of: NDArray[np.int_], potential_row: Matrix, potential_column: Matrix
) -> None:
    """Find a partner for one more row along the cheapest path; the last column is where paths start."""
    columns = cost.shape[1]
    least = np.full(columns, np.inf)
    before = np.full(columns, columns)
    done = np.zeros(columns + 1, bool)
    row_of[columns], here = row, columns
    while row_of[here] >= 0:
        done[here] = True
        at = row_of[here]
        reduced = cost[at] - potential_row[at] - potential_column[:columns]
        better = ~done[:columns] & (reduced < least)
        least[better], before[better] = reduced[better], here
        following = int(np.where(done[:columns], np.inf, least).argmin())
        step = least[following]
        potential_row[row_of[done]] += step
        potential_column[done] -= step
        least[~done[:columns]] -= step
        here = following
    while here != columns:
        row_of[here] = row_of[before[here]]
        here = int(before[here])


def _swapped(
    lost: Sequence[Sighting], extra: Sequence[Sighting], least_overlap: float
) -> tuple[tuple[Sighting, Sighting], ...]:
    gain = np.where(overlaps(lost, extra) >= least_overlap, overlaps(lost, extra), 0.0)
    return tuple((lost[row], extra[column]) for row, column in assignment(gain) if gain[row, column] > 0)


def _without(entries: Sequence[Sighting], partnered: list[int], limits: ParityLimits) -> tuple[Sighting, ...]:
    taken = set(partnered)
    return tuple(
        entry for ix, entry in enumerate(entries) if ix not in taken and entry.score >= limits.score_floor
    )


def _boxes(entries: Sequence[Sighting]) -> Matrix:
    return np.asarray([entry.box for entry in entries], np.float64).reshape(-1, 4)


def _classes(entries: Sequence[Sighting]) -> NDArray[np.int_]:
    return np.asarray([entry.item_ix for entry in entries], np.int_)


def _above(entries: Sequence[Sighting], limits: ParityLimits) -> NDArray[np.bool_]:
    return np.asarray([entry.score >= limits.score_floor for entry in entries], np.bool_)
