"""Stories about frames on their way into the network, and its outputs on their way to detections."""

from typing import Any

import numpy as np
import pytest

from fleet_agent.decode import decode_center
from fleet_agent.engines.fake import FakeEngine
from fleet_agent.errors import EngineError
from fleet_agent.frame_buffer import Seen
from fleet_agent.manifest import ModelManifest
from fleet_agent.perception import Frame
from fleet_agent.ports import SystemClock
from fleet_agent.preprocess import Letterbox, Preprocessor
from fleet_agent.telemetry import Telemetry
from fleet_agent.vision import Vision
from tests.fleet_agent.worlds import COLORS, manifest, picture


def test_frames_are_letterboxed_and_normalised() -> None:
    """A wide frame keeps its shape, sits in the middle, and the rest is the pad colour."""
    spec = manifest().input
    batch, (box,) = Preprocessor(spec, 2).fill([np.full((60, 120, 3), (255, 0, 0), np.uint8)])
    assert batch.shape == (1, 3, 32, 32)
    assert box == Letterbox(0.0, 0.25, 1.0, 0.5)
    # Blue first in, red first out.
    np.testing.assert_allclose(batch[0, :, 16, 16], [0.0, 0.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(batch[0, :, 0, 0], [114 / 255] * 3, atol=1e-6)


def test_a_buffer_used_again_keeps_nothing_of_the_frame_before() -> None:
    """A camera that changes its resolution leaves no trace in the padding."""
    preprocessor = Preprocessor(manifest().input, 1)
    preprocessor.fill([np.full((32, 32, 3), 255, np.uint8)])
    tall, _ = preprocessor.fill([np.zeros((64, 32, 3), np.uint8)])
    fresh, _ = Preprocessor(manifest().input, 1).fill([np.zeros((64, 32, 3), np.uint8)])
    np.testing.assert_array_equal(tall, fresh)


def outputs(model: ModelManifest, *peaks: tuple[int, int, int, float]) -> dict[str, np.ndarray[Any, Any]]:
    """Return outputs of one frame with peaks (class, row, column, score)."""
    scores = np.zeros((1, len(model.classes), 8, 8), np.float32)
    boxes = np.zeros((1, 4, 8, 8), np.float32)
    for item_ix, row, column, score in peaks:
        scores[0, item_ix, row, column] = score
        boxes[0, :, row, column] = [(column + 0.5) / 8, (row + 0.5) / 8, 0.25, 0.25]
    return {"scores": scores, "boxes": boxes}


WHOLE = Letterbox(0.0, 0.0, 1.0, 1.0)


def test_peaks_become_detections_surest_first() -> None:
    """Each peak above the threshold is one item with its box and all classes' scores."""
    model = manifest()
    found = decode_center(
        outputs(model, (0, 1, 1, 0.5), (2, 6, 6, 0.9), (1, 6, 6, 0.4), (1, 4, 4, 0.1)), model, [WHOLE]
    )[0]
    assert [(d.item_ix, round(d.score, 3)) for d in found] == [(2, 0.9), (0, 0.5)]
    np.testing.assert_allclose(found[0].class_scores, [0.0, 0.4, 0.9], atol=1e-6)
    np.testing.assert_allclose(found[0].box, [0.6875, 0.6875, 0.9375, 0.9375], atol=1e-6)


def test_boxes_are_fractions_of_the_frame_not_of_the_input() -> None:
    """The letterbox is taken out of the boxes."""
    model = manifest()
    found = decode_center(outputs(model, (0, 3, 3, 0.9)), model, [Letterbox(0.0, 0.25, 1.0, 0.5)])[0]
    np.testing.assert_allclose(found[0].box, [0.3125, 0.125, 0.5625, 0.625], atol=1e-6)


def test_nothing_and_nonsense_give_no_detections() -> None:
    """An empty frame, and scores that are not numbers, are no items."""
    model = manifest()
    assert decode_center(outputs(model), model, [WHOLE]) == [[]]
    assert decode_center(outputs(model, (0, 1, 1, float("nan"))), model, [WHOLE]) == [[]]


def test_outputs_of_the_wrong_shape_are_refused() -> None:
    """A network that answers otherwise than its manifest says is an error of ours."""
    model = manifest()
    good = outputs(model)
    with pytest.raises(EngineError, match="no output"):
        decode_center({"scores": good["scores"]}, model, [WHOLE])
    with pytest.raises(EngineError, match="3 x H x W"):
        decode_center({**good, "scores": good["boxes"]}, model, [WHOLE])
    with pytest.raises(EngineError, match="4 x H x W"):
        decode_center({**good, "boxes": good["scores"]}, model, [WHOLE])


def test_the_double_sees_colours_like_a_network() -> None:
    """The fake engine answers in the real one's shapes and finds the shown item."""
    model = manifest()
    telemetry = Telemetry()
    vision = Vision(FakeEngine(model, COLORS), model, cameras=4, telemetry=telemetry, clock=SystemClock())
    batch = [Seen(Frame("front", picture(ix), 0.0), 0.0) for ix in (0, 1, 2, None)]
    vision.look(batch, 0.0)
    found = [[d.item_ix for d in seen.detections or ()] for seen in batch]
    assert found == [[0], [1], [2], []]
    assert set(telemetry.drain().hist) == {"queue", "preprocess", "infer", "decode"}
