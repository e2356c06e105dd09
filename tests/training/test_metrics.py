"""Average precision, calibration and temperature against values computed by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.perception import Detection
from training.metrics import (
    Truth,
    average_precision,
    calibration_error,
    class_probabilities,
    fit_temperature,
    mean_average_precision,
    overlap,
)

Box = tuple[float, float, float, float]
HERE = (0.1, 0.1, 0.3, 0.3)
THERE = (0.6, 0.6, 0.9, 0.9)


def found(score: float, edges: Box, item_class: int = 0) -> Detection:
    """Return a detection of one of two classes."""
    return Detection(item_class, score, edges, np.asarray([score, 0.0], np.float32))


def truth(edges: Box, item_class: int = 0, *, counts: bool = True) -> Truth:
    """Return an item that is there."""
    return Truth(item_class, edges, counts)


def test_overlap_by_hand() -> None:
    """Two unit squares shifted by half share a third; squares apart share nothing."""
    assert overlap((0, 0, 1, 1), (0.5, 0, 1.5, 1)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 1, 1), (0, 0, 1, 1)) == pytest.approx(1)
    assert overlap((0, 0, 1, 1), (2, 2, 3, 3)) == 0


def test_perfect_detections_score_one() -> None:
    """All items found, nothing else: 1."""
    assert (
        average_precision([[found(0.9, HERE)], [found(0.4, THERE)]], [[truth(HERE)], [truth(THERE)]], 0) == 1
    )


def test_right_wrong_right_by_hand() -> None:
    """Right, wrong, right among two items: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1: in all 5/6."""
    frames = [[found(0.9, HERE), found(0.8, THERE)], [found(0.7, HERE)]]
    assert average_precision(frames, [[truth(HERE)], [truth(HERE)]], 0) == pytest.approx(5 / 6)


def test_a_second_detection_of_the_same_item_is_wrong() -> None:
    """Finding an item twice costs when it comes before another item: 1/2 + 1/2 * 2/3."""
    frames = [[found(0.9, HERE), found(0.8, HERE)], [found(0.7, HERE)]]
    assert average_precision(frames, [[truth(HERE)], [truth(HERE)]], 0) == pytest.approx(5 / 6)


def test_missed_items_and_wrong_places_cost() -> None:
    """One of two items found: 1/2. A wrong place: 0. Nothing found: 0. No item at all: no value."""
    assert average_precision([[found(0.9, HERE)], []], [[truth(HERE)], [truth(HERE)]], 0) == pytest.approx(
        0.5
    )
    assert average_precision([[found(0.9, THERE)]], [[truth(HERE)]], 0) == 0
    assert average_precision([[]], [[truth(HERE)]], 0) == 0
    assert average_precision([[found(0.9, HERE)]], [[]], 0) is None


def test_items_that_do_not_count_neither_help_nor_hurt() -> None:
    """Finding a hardly visible item is neither right nor wrong."""
    frames = [[found(0.9, THERE), found(0.8, HERE)]]
    assert average_precision(frames, [[truth(HERE), truth(THERE, counts=False)]], 0) == 1


def test_mean_over_classes_that_occur() -> None:
    """Class 0 scores 1, class 1 scores 0, class 2 does not occur: 1/2."""
    frames = [[found(0.9, HERE)]]
    assert mean_average_precision(frames, [[truth(HERE), truth(THERE, 1)]], 3) == pytest.approx(0.5)


def test_calibration_error_by_hand() -> None:
    """Ten answers at 0.95 of which eight are right, ten at 0.55 of which five are: (0.15 + 0.05) / 2."""
    confidence = np.asarray([0.95] * 10 + [0.55] * 10)
    right = np.asarray([True] * 8 + [False] * 2 + [True] * 5 + [False] * 5)
    assert calibration_error(confidence, right, bins=10) == pytest.approx(0.1)


def test_the_temperature_of_an_overconfident_model_is_found() -> None:
    """Scores whose logits were made twice too large are told so: the temperature comes out as 2."""
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 0.9, (4000, 5))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    classes = np.asarray([rng.choice(5, p=row) for row in chances])
    scores = (1 / (1 + np.exp(-2 * logits))).astype(np.float32)
    assert fit_temperature(scores, classes) == pytest.approx(2.0, abs=0.15)


@given(
    st.lists(st.floats(0, 1, width=32), min_size=2, max_size=20),
    st.floats(0.2, 5),
)
def test_class_probabilities_are_probabilities(scores: list[float], temperature: float) -> None:
    """They add up to one, and the best score stays the best."""
    array = np.asarray(scores, np.float32)
    chances = class_probabilities(array, temperature)
    assert chances.sum() == pytest.approx(1, abs=1e-4)
    assert chances[int(array.argmax())] == pytest.approx(chances.max(), rel=1e-4)
