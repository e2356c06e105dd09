"""Stories about networks that people bring: real ONNX graphs, run by ONNX Runtime, on pictures of things."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fleet_agent.decoding import decode
from fleet_agent.engines.onnxruntime_engine import OnnxRuntimeModel
from fleet_agent.manifest import CenterDecoder, Decoder, DetrDecoder, YoloDecoder
from fleet_agent.preprocess import Preprocessor
from tests.fleet_agent.graphs import CELL, Graph, save
from tests.fleet_agent.plain_decoding import Plain, assert_same, plain_center, plain_detr, plain_yolo
from tests.fleet_agent.worlds import BACKGROUND, COLORS

Array = np.ndarray[Any, Any]
# Height and width of frames: as the input, wide, tall, a strip, and one with odd bars.
SIZES = [(480, 640), (90, 201), (301, 121), (120, 321), (333, 350)]
COMMON = {"score_threshold": 0.3, "max_detections": 50}

OTHERS: dict[str, Decoder] = {
    "center": CenterDecoder(stride=CELL, **COMMON),  # type: ignore[arg-type]
    "detr-softmax": DetrDecoder(background=True, **COMMON),  # type: ignore[arg-type]
    "detr-spare": DetrDecoder(background=True, activation="sigmoid", **COMMON),  # type: ignore[arg-type]
    "detr-sigmoid": DetrDecoder(logits="class_logits", boxes="corners", **COMMON),  # type: ignore[arg-type]
}
YOLOS: dict[str, Decoder] = {
    f"yolo-{layout}{'-objectness' * objectness}-{unit}{'' if activated else '-logits'}": YoloDecoder(
        channels_first=layout == "channels_first",
        objectness=objectness,
        normalised=unit == "fractions",
        activated=activated,
        **COMMON,  # type: ignore[arg-type]
    )
    for layout in ("channels_first", "channels_last")
    for objectness in (False, True)
    for unit in ("pixels", "fractions")
    for activated in (True, False)
}
DECODERS = OTHERS | YOLOS


def scene(size: tuple[int, int], item_ix: int, *, things: int = 1) -> tuple[Array, list[tuple[float, float]]]:
    """Return a grey frame with balls of an item's colour, and their middles as fractions of the frame.

    A ball fades from a point beside its middle: no two cells are equally sure.
    """
    height, width = size
    pixels = np.full((height, width, 3), float(BACKGROUND))
    middles = [((ix + 1) / (things + 1), 0.5) for ix in range(things)]
    radius = min(height, width) / 2 if things == 1 else width / (2 * (things + 1))
    rows, columns = np.mgrid[0:height, 0:width]
    for x, y in middles:
        away = np.hypot(columns - (x + 0.03) * width, rows - (y - 0.02) * height) / radius
        share = np.clip(1.0 - 0.7 * away, 0.0, 1.0)[..., None] * (away < 1)[..., None]
        color = 255.0 * np.array(COLORS[item_ix][::-1])
        pixels += share * (color - BACKGROUND)
    return pixels.round().astype(np.uint8), middles


def plain(outputs: dict[str, Array], spec: Decoder, size: tuple[int, int], letterbox: Any) -> list[Plain]:
    """Decode one frame plainly."""
    if isinstance(spec, YoloDecoder):
        return plain_yolo(outputs[spec.output], spec, size, letterbox)
    if isinstance(spec, DetrDecoder):
        return plain_detr(outputs[spec.logits], outputs[spec.boxes], spec, letterbox)
    return plain_center(outputs[spec.scores], outputs[spec.boxes], spec, letterbox)


@pytest.mark.parametrize(("cameras", "size"), [(1, (96, 64)), (4, (64, 160))])
@pytest.mark.parametrize("kind", DECODERS)
def test_things_are_found_where_they_are(
    tmp_path: Path, kind: str, cameras: int, size: tuple[int, int]
) -> None:
    """Each layout, input shape and batch: the right item at its place on the frame, as decoded plainly."""
    width, height = size
    described = save(tmp_path / "model.onnx", Graph(width, height), DECODERS[kind])
    engine = OnnxRuntimeModel(tmp_path, described).engine(cameras)
    preprocessor = Preprocessor(described.input, engine.input)
    for shift in range(0, len(SIZES), cameras):
        scenes = [scene(SIZES[(shift + ix) % len(SIZES)], ix % 3) for ix in range(cameras)]
        letterboxes = preprocessor.fill([pixels for pixels, _ in scenes])
        outputs = {name: array.copy() for name, array in engine.infer(cameras).items()}
        found = decode(outputs, described, letterboxes)
        for ix, (_, [(x, y)]) in enumerate(scenes):
            own = {name: array[ix] for name, array in outputs.items()}
            assert_same(found[ix], plain(own, described.decoder, size, letterboxes[ix]))
            surest = found[ix][0]
            assert surest.item_ix == ix % 3
            # Within two cells: discs do not sit on the grid, and bars enlarge a cell on the frame.
            cell = np.array([CELL / width / letterboxes[ix].width, CELL / height / letterboxes[ix].height])
            middle = np.array([surest.box[0] + surest.box[2], surest.box[1] + surest.box[3]]) / 2
            assert (np.abs(middle - [x, y]) <= 2 * cell + 1e-6).all()
            assert surest.class_scores.shape == (3,)
            assert surest.class_scores.argmax() == surest.item_ix


@pytest.mark.parametrize("kind", DECODERS)
def test_grey_has_no_detections_and_a_crowd_no_more_than_allowed(tmp_path: Path, kind: str) -> None:
    """Zero, and more than `max_detections`: both come out of the same batch."""
    spec = msgspec.structs.replace(DECODERS[kind], max_detections=3)
    described = save(tmp_path / "model.onnx", Graph(128, 96), spec)
    engine = OnnxRuntimeModel(tmp_path, described).engine(2)
    preprocessor = Preprocessor(described.input, engine.input)
    crowd, middles = scene((480, 640), 1, things=5)
    letterboxes = preprocessor.fill([np.full((480, 640, 3), BACKGROUND, np.uint8), crowd])
    found = decode(engine.infer(2), described, letterboxes)
    assert len(middles) == 5
    assert found[0] == []
    assert len(found[1]) == 3
    scores = [detection.score for detection in found[1]]
    assert scores == sorted(scores, reverse=True)
    assert {detection.item_ix for detection in found[1]} == {1}
