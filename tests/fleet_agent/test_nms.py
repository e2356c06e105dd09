"""Stories about boxes that overlap: which of them stays."""

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.decoding import suppress
from fleet_agent.decoding.nms import BLOCK
from tests.fleet_agent.plain_decoding import greedy

Array = np.ndarray[Any, Any]


def crowd(seed: int, count: int, *, classes: int = 3, size: float = 0.3) -> tuple[Array, Array, Array]:
    """Return corners, scores and classes of random boxes; some scores and some boxes are equal."""
    rng = np.random.default_rng(seed)
    low = rng.random((count, 2))
    corners = np.concatenate([low, low + rng.random((count, 2)) * size], axis=1)
    score = rng.integers(0, 50, count).astype(np.float32) / 50
    twins = rng.random(count) < 0.1
    corners[twins] = corners[np.argmax(twins)] if count else corners[twins]
    return corners, score, rng.integers(0, classes, count)


@given(
    seed=st.integers(0, 2**31),
    count=st.integers(0, 120),
    overlap=st.sampled_from([0.05, 0.3, 0.5, 0.7, 1.0]),
    size=st.sampled_from([0.05, 0.3, 1.0]),
)
def test_suppression_is_the_plain_rule(seed: int, count: int, overlap: float, size: float) -> None:
    """Deciding blocks at once gives exactly what one box after the other gives."""
    corners, score, items = crowd(seed, count, size=size)
    kept = suppress(corners, score, items, overlap=overlap, most=1000)
    boxes = [tuple(box) for box in corners.tolist()]
    assert kept.tolist() == greedy(boxes, score.tolist(), items.tolist(), overlap)


@pytest.mark.parametrize("count", [BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 3])
def test_a_crowd_larger_than_a_block_is_decided_alike(count: int) -> None:
    """A box of a later block goes when one of an earlier block takes it out."""
    corners, score, items = crowd(count, count, classes=2)
    kept = suppress(corners, score, items, overlap=0.3, most=10**6)
    boxes = [tuple(box) for box in corners.tolist()]
    assert kept.tolist() == greedy(boxes, score.tolist(), items.tolist(), 0.3)
    assert suppress(corners, score, items, overlap=0.3, most=5).tolist() == kept.tolist()[:5]


def test_a_chain_of_boxes_keeps_every_second() -> None:
    """Each takes out the next only: the one after next stays, down to the end of the chain."""
    left = np.arange(40) * 0.5
    corners = np.stack([left, np.zeros(40), left + 1.0, np.ones(40)], axis=1)
    score = np.linspace(0.9, 0.1, 40, dtype=np.float32)
    kept = suppress(corners, score, np.zeros(40, np.intp), overlap=0.3, most=100)
    assert kept.tolist() == list(range(0, 40, 2))


def test_classes_do_not_touch_each_other() -> None:
    """An apple on the same place as a pear stays."""
    corners = np.array([[0.1, 0.1, 0.5, 0.5]] * 3)
    kept = suppress(corners, np.array([0.5, 0.9, 0.7], np.float32), np.array([0, 1, 0]), overlap=0.5, most=9)
    assert kept.tolist() == [1, 2]


def test_boxes_without_area_take_nobody_out() -> None:
    """A point, a line and a box turned inside out have no overlap with anything."""
    corners = np.array(
        [[0.2, 0.2, 0.2, 0.2], [0.2, 0.2, 0.2, 0.6], [0.6, 0.6, 0.2, 0.2], [0.1, 0.1, 0.7, 0.7]]
    )
    kept = suppress(
        corners, np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.zeros(4, int), overlap=0.1, most=9
    )
    assert kept.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(8))
def test_opencv_keeps_the_same_boxes(seed: int) -> None:
    """A library that many carts' models were tested with agrees: OpenCV's, on whole pixels."""
    rng = np.random.default_rng(seed)
    low, size = rng.integers(0, 300, (200, 2)), rng.integers(5, 120, (200, 2))
    score = np.asarray((1 + rng.permutation(200)) / 200, np.float32)
    items = rng.integers(0, 4, 200)
    corners = np.concatenate([low, low + size], axis=1).astype(np.float64)
    theirs = cv2.dnn.NMSBoxesBatched(
        np.concatenate([low, size], axis=1).tolist(), score.tolist(), items.tolist(), 0.0, 0.45
    )
    ours = suppress(corners, score, items, overlap=0.45, most=1000)
    assert sorted(ours.tolist()) == sorted(np.asarray(theirs).ravel().tolist())
