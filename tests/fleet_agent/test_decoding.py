"""Stories about outputs of networks on their way to detections, against decoders written down plainly."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fleet_agent.decoding import decode
from fleet_agent.errors import EngineError
from fleet_agent.letterbox import WHOLE, Letterbox
from fleet_agent.manifest import CenterDecoder, Decoder, DetrDecoder, ModelManifest, YoloDecoder
from tests.fleet_agent.plain_decoding import (
    assert_same,
    plain_center,
    plain_detr,
    plain_yolo,
    told_apart,
)
from tests.fleet_agent.worlds import manifest

Array = np.ndarray[Any, Any]
WIDTH, HEIGHT, CLASSES = 64, 48, 3
ODD = [Letterbox(0.0, 0.25, 1.0, 0.5), Letterbox(0.3, 0.0, 0.4, 1.0), WHOLE, Letterbox(0.49, 0.0, 0.02, 1.0)]

seeds = st.integers(0, 2**31)
batches = st.sampled_from([1, 4])
thresholds = st.sampled_from([0.0, 0.3, 0.9])
mosts = st.sampled_from([1, 3, 100])


def of(decoder: Decoder) -> ModelManifest:
    """Return a manifest of three classes with this decoder."""
    return msgspec.structs.replace(manifest(width=WIDTH, height=HEIGHT), decoder=decoder)


def random_boxes(rng: np.random.Generator, batch: int, count: int) -> Array:
    """Return boxes all over the input and beside it: B x count x 4, centred, fractions."""
    boxes = rng.random((batch, count, 4)) * [1.2, 1.2, 0.4, 0.4] - [0.1, 0.1, 0.0, 0.0]
    return boxes.astype(np.float32)


def spoil(rng: np.random.Generator, *arrays: Array) -> None:
    """Put what is not a number, and what is not finite, into a twentieth of all values, in place."""
    for array in arrays:
        hit = rng.random(array.shape) < 0.02
        array[hit] = rng.choice(np.array([np.nan, np.inf, -np.inf], np.float32), np.count_nonzero(hit))


@settings(max_examples=50)
@given(seed=seeds, batch=batches, threshold=thresholds, most=mosts, spoilt=st.booleans())
def test_center_is_the_plain_rule(
    *, seed: int, batch: int, threshold: float, most: int, spoilt: bool
) -> None:
    """Peaks of all frames at once are the peaks of cell after cell."""
    rng = np.random.default_rng(seed)
    spec = CenterDecoder(score_threshold=threshold, max_detections=most, stride=8)
    scores = (rng.random((batch, CLASSES, 6, 8)) ** 4).astype(np.float32)
    boxes = random_boxes(rng, batch, 48).transpose(0, 2, 1).reshape(batch, 4, 6, 8).copy()
    if spoilt:
        spoil(rng, scores, boxes)
    found = decode({"scores": scores, "boxes": boxes}, of(spec), ODD[:batch])
    for ix in range(batch):
        assert_same(found[ix], plain_center(scores[ix], boxes[ix], spec, ODD[ix]))


@settings(max_examples=50)
@given(
    seed=seeds,
    batch=batches,
    threshold=thresholds,
    most=mosts,
    spoilt=st.booleans(),
    layout=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
)
def test_yolo_is_the_plain_rule(
    *,
    seed: int,
    batch: int,
    threshold: float,
    most: int,
    spoilt: bool,
    layout: tuple[bool, bool, bool, bool],
) -> None:
    """Each of the sixteen layouts gives what one anchor after the other gives."""
    rng = np.random.default_rng(seed)
    channels_first, objectness, normalised, activated = layout
    spec = YoloDecoder(
        score_threshold=threshold,
        max_detections=most,
        channels_first=channels_first,
        objectness=objectness,
        normalised=normalised,
        activated=activated,
        overlap=0.3,
    )
    boxes = random_boxes(rng, batch, 60) * (1.0 if normalised else np.array([WIDTH, HEIGHT] * 2, np.float32))
    scores = rng.random((batch, 60, CLASSES + objectness)) ** 2
    if not activated:
        scores = scores * 16 - 8
    anchors = np.concatenate([boxes, scores], axis=2).astype(np.float32)
    if spoilt:
        spoil(rng, anchors)
    output = np.ascontiguousarray(anchors.transpose(0, 2, 1)) if channels_first else anchors
    found = decode({"output0": output}, of(spec), ODD[:batch])
    everything = msgspec.structs.replace(spec, score_threshold=0.0, max_detections=1000, overlap=1.0)
    for ix in range(batch):
        assume(told_apart(plain_yolo(output[ix], everything, (WIDTH, HEIGHT), WHOLE), threshold))
        assert_same(found[ix], plain_yolo(output[ix], spec, (WIDTH, HEIGHT), ODD[ix]))


@settings(max_examples=50)
@given(
    seed=seeds,
    batch=batches,
    threshold=thresholds,
    most=mosts,
    spoilt=st.booleans(),
    head=st.sampled_from(
        [(False, None), (False, "sigmoid"), (True, None), (True, "softmax"), (True, "sigmoid")]
    ),
)
def test_detr_is_the_plain_rule(
    *, seed: int, batch: int, threshold: float, most: int, spoilt: bool, head: tuple[bool, Any]
) -> None:
    """Softmax with "no object" and a sigmoid for each class give what one query after the other gives."""
    rng = np.random.default_rng(seed)
    background, activation = head
    spec = DetrDecoder(
        score_threshold=threshold, max_detections=most, background=background, activation=activation
    )
    logits = (rng.normal(0, 3, (batch, 30, CLASSES + background))).astype(np.float32)
    boxes = random_boxes(rng, batch, 30)
    if spoilt:
        spoil(rng, logits, boxes)
    found = decode({"logits": logits, "pred_boxes": boxes}, of(spec), ODD[:batch])
    everything = msgspec.structs.replace(spec, score_threshold=0.0, max_detections=1000)
    for ix in range(batch):
        assume(told_apart(plain_detr(logits[ix], boxes[ix], everything, WHOLE), threshold))
        assert_same(found[ix], plain_detr(logits[ix], boxes[ix], spec, ODD[ix]))


def center_outputs(*peaks: tuple[int, int, int, float]) -> dict[str, Array]:
    """Return outputs of one frame with peaks (class, row, column, score)."""
    scores = np.zeros((1, CLASSES, 8, 8), np.float32)
    boxes = np.zeros((1, 4, 8, 8), np.float32)
    for item_ix, row, column, score in peaks:
        scores[0, item_ix, row, column] = score
        boxes[0, :, row, column] = [(column + 0.5) / 8, (row + 0.5) / 8, 0.25, 0.25]
    return {"scores": scores, "boxes": boxes}


def test_peaks_become_detections_surest_first() -> None:
    """Each peak above the threshold is one item with its box and all classes' scores."""
    outputs = center_outputs((0, 1, 1, 0.5), (2, 6, 6, 0.9), (1, 6, 6, 0.4), (1, 4, 4, 0.1))
    found = decode(outputs, manifest(), [WHOLE])[0]
    assert [(d.item_ix, round(d.score, 3)) for d in found] == [(2, 0.9), (0, 0.5)]
    np.testing.assert_allclose(found[0].class_scores, [0.0, 0.4, 0.9], atol=1e-6)
    np.testing.assert_allclose(found[0].box, [0.6875, 0.6875, 0.9375, 0.9375], atol=1e-6)


def test_boxes_are_fractions_of_the_frame_not_of_the_input() -> None:
    """The letterbox is taken out of the boxes, and what lies in its bars is nothing."""
    wide = Letterbox(0.0, 0.25, 1.0, 0.5)
    found = decode(center_outputs((0, 3, 3, 0.9), (1, 0, 3, 0.8)), manifest(), [wide])[0]
    assert len(found) == 1
    np.testing.assert_allclose(found[0].box, [0.3125, 0.125, 0.5625, 0.625], atol=1e-6)


def test_rows_beyond_the_frames_are_not_read() -> None:
    """An engine of a fixed batch leaves something in its other rows."""
    outputs = {name: array.repeat(4, axis=0) for name, array in center_outputs((0, 3, 3, 0.9)).items()}
    assert [len(found) for found in decode(outputs, manifest(), [WHOLE, WHOLE])] == [1, 1]
    assert decode(outputs, manifest(), []) == []


def test_scores_a_little_above_one_are_one() -> None:
    """Half precision rounds; a score stays a share."""
    found = decode(center_outputs((0, 3, 3, 1.0009)), manifest(), [WHOLE])[0]
    assert found[0].score == 1.0
    assert found[0].class_scores.max() == 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["scores", "boxes"])
def test_what_is_not_finite_is_no_detection(name: str, bad: float) -> None:
    """A broken engine sees nothing rather than something everywhere."""
    outputs = center_outputs((0, 3, 3, 0.9))
    outputs[name][:] = bad
    assert decode(outputs, manifest(), [WHOLE]) == [[]]


def test_a_large_crowd_of_anchors_ends() -> None:
    """All 8400 anchors of a YOLO of 640 pixels at once, all of them sure: the most allowed come out."""
    rng = np.random.default_rng(3)
    spec = YoloDecoder(score_threshold=0.3, max_detections=20, normalised=True)
    boxes = random_boxes(rng, 1, 8400).transpose(0, 2, 1)
    scores = 0.5 + rng.random((1, CLASSES, 8400)) / 2
    output = np.concatenate([boxes, scores], axis=1).astype(np.float32)
    found = decode({"output0": output}, of(spec), [WHOLE])[0]
    assert_same(found, plain_yolo(output[0], spec, (WIDTH, HEIGHT), WHOLE))
    assert len(found) == 20


ZEROS: dict[str, tuple[Decoder, dict[str, tuple[int, ...]]]] = {
    "center": (
        CenterDecoder(score_threshold=0.3, max_detections=8, stride=8),
        {"scores": (2, CLASSES, 6, 8), "boxes": (2, 4, 6, 8)},
    ),
    "yolo": (YoloDecoder(score_threshold=0.3, max_detections=8), {"output0": (2, 4 + CLASSES, 30)}),
    "yolo-last": (
        YoloDecoder(score_threshold=0.3, max_detections=8, channels_first=False),
        {"output0": (2, 30, 4 + CLASSES)},
    ),
    "detr": (
        DetrDecoder(score_threshold=0.6, max_detections=8),
        {"logits": (2, 30, CLASSES), "pred_boxes": (2, 30, 4)},
    ),
}


@pytest.mark.parametrize("kind", ZEROS)
def test_outputs_of_the_wrong_shape_are_refused(kind: str) -> None:
    """A network that answers otherwise than its manifest says is an error of ours that names the output."""
    decoder, shapes = ZEROS[kind]
    good: dict[str, Array] = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    boxes = [WHOLE, WHOLE]
    assert decode(good, of(decoder), boxes) == [[], []]
    for name, shape in shapes.items():
        with pytest.raises(EngineError, match=f"no output '{name}'"):
            decode({other: array for other, array in good.items() if other != name}, of(decoder), boxes)
        for wrong in ((1, *shape[1:]), shape[:-1], (*shape, 1), tuple(size + 1 for size in shape)):
            with pytest.raises(EngineError, match=r"output '.*' is .* not"):
                decode({**good, name: np.zeros(wrong, np.float32)}, of(decoder), boxes)


def test_an_answer_whose_sure_boxes_are_all_spoilt_is_no_detection() -> None:
    """A plan that went wrong: boxes that are no numbers, scores without end, and nothing else."""
    spec = YoloDecoder(score_threshold=0.3, max_detections=8)
    for spoilt in ((0, np.nan), (2, np.inf), (4, np.inf)):
        output = np.zeros((1, 4 + CLASSES, 30), np.float32)
        output[0, 4, 7] = 0.9
        output[0, spoilt[0], 7] = spoilt[1]
        assert decode({"output0": output}, of(spec), [WHOLE]) == [[]]
