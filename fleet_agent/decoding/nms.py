"""Non-maximum suppression: of boxes of one class that overlap, the surest stays. No loop over boxes.

It is greedy, as everyone's: boxes in order of score; each that is kept takes out the later ones of its class
that overlap it by more than the limit. Instead of one box after the other, a block of boxes is decided at
once by iterating "kept: nobody kept takes me out" until nothing changes. After n rounds the
first n boxes are decided as the greedy rule decides them, so the end is the same, and in practice a few
rounds do (Cluster-NMS: Zheng et al. 2020, arXiv 2005.03572).
"""

import numpy as np

from fleet_agent.decoding.detections import Boxes, Flags, Indices
from fleet_agent.perception import Tensor

# Boxes decided at once. Larger: a crowd costs the square of it; smaller: more rounds in Python.
BLOCK = 256


def suppress(corners: Boxes, score: Tensor, item_ix: Indices, *, overlap: float, most: int) -> Indices:
    """Return the indices of the boxes that stay, the surest first.

    Args:
        corners: K x 4, x0 y0 x1 y1, finite, in any unit.
        score: K, finite. Of equal scores the first wins.
        item_ix: K, the class of each: boxes of different classes do not touch each other.
        overlap: Intersection over union above which the less sure box goes.
        most: Return at most this many.
    """
    order = np.argsort(-score, kind="stable")
    kept = order[:0]
    for begin in range(0, len(order), BLOCK):
        block = order[begin : begin + BLOCK]
        block = block[~_over(corners, item_ix, kept, block, overlap).any(axis=0)]
        inside = np.triu(_over(corners, item_ix, block, block, overlap), k=1)
        kept = np.concatenate([kept, block[_greedy(inside)]])
        if len(kept) >= most:
            break
    return kept[:most]


def _greedy(over: Flags) -> Flags:
    """Return which boxes stay; `over[i, j]`: i would take out the later j."""
    before = np.ones(len(over), np.bool_)
    while True:
        stay = np.asarray(~over[before].any(axis=0), np.bool_)
        if np.array_equal(stay, before):
            return stay
        before = stay


def _over(corners: Boxes, item_ix: Indices, first: Indices, second: Indices, overlap: float) -> Flags:
    """Return, first x second, which pairs are of one class and overlap too much."""
    a, b = corners[first][:, None], corners[second][None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    inside = np.maximum(sides, 0.0).prod(axis=-1)
    union = _area(a) + _area(b) - inside
    share = np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)
    return np.asarray((share > overlap) & (item_ix[first][:, None] == item_ix[second][None]))


def _area(corners: Boxes) -> Boxes:
    return np.asarray(np.maximum(corners[..., 2:] - corners[..., :2], 0.0).prod(axis=-1), np.float64)
