"""Stories about the network: a real ONNX Runtime on graphs built here, and on the shipped model."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fleet_agent.decode import decode_center
from fleet_agent.engines.fake import FakeEngine
from fleet_agent.engines.onnxruntime_engine import OnnxRuntimeEngine
from fleet_agent.errors import EngineError, ManifestError
from fleet_agent.frame_buffer import Seen
from fleet_agent.launch import SHIPPED_MODELS, load_model
from fleet_agent.perception import Frame, ModelManifest
from fleet_agent.ports import SystemClock
from fleet_agent.preprocess import Letterbox, Preprocessor
from fleet_agent.telemetry import Telemetry
from fleet_agent.vision import Vision
from tests.fleet_agent.worlds import COLORS, manifest, picture


def build(path: Path, *, classes: int = 3, batch: object = "n", boxes: str = "boxes") -> str:
    """Write a tiny network: each class scores one colour channel on a grid of 8; returns its sha256."""
    weights = (np.eye(3)[:, :, None, None].repeat(1, axis=2)[:classes] * 12).astype(np.float32)
    bias = np.full(classes, -6.0, np.float32)
    nodes = [
        helper.make_node("AveragePool", ["images"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Conv", ["pooled", "w", "b"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
        helper.make_node("Conv", ["pooled", "w4", "b4"], ["box_logits"]),
        helper.make_node("Sigmoid", ["box_logits"], [boxes]),
    ]
    constants: dict[str, Any] = {
        "w": weights,
        "b": bias,
        "w4": np.zeros((4, 3, 1, 1), np.float32),
        "b4": np.zeros(4, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, 32, 32])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, classes, 8, 8]),
            helper.make_tensor_value_info(boxes, TensorProto.FLOAT, [batch, 4, 8, 8]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    onnx.checker.check_model(str(path))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_model_runs_with_any_number_of_cameras(tmp_path: Path) -> None:
    """One to four frames in one batch give as many answers, the same as alone."""
    path = tmp_path / "model.onnx"
    engine = OnnxRuntimeEngine(path, manifest(sha256=build(path)))
    batch = np.random.default_rng(1).random((4, 3, 32, 32), np.float32)
    together = engine.infer(batch)
    assert together["scores"].shape == (4, 3, 8, 8)
    for i in range(4):
        alone = engine.infer(batch[i : i + 1])
        np.testing.assert_allclose(alone["scores"][0], together["scores"][i], atol=1e-6)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer(batch)


def test_a_model_that_is_not_the_manifests_is_refused(tmp_path: Path) -> None:
    """A swapped file is found by its digest."""
    path = tmp_path / "model.onnx"
    build(path)
    with pytest.raises(EngineError, match="not the manifest's model"):
        OnnxRuntimeEngine(path, manifest())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"classes": 2}, "lists 3 classes"),
        ({"boxes": "rectangles"}, "no output 'boxes'"),
        ({"batch": 1}, "fixed batch"),
    ],
)
def test_a_model_that_does_not_fit_its_manifest_is_refused(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    """Classes, outputs and batch are checked before the first frame."""
    path = tmp_path / "model.onnx"
    digest = build(path, **changes)
    with pytest.raises(EngineError, match=why):
        OnnxRuntimeEngine(path, manifest(sha256=digest))


def test_an_input_of_another_size_is_refused(tmp_path: Path) -> None:
    """A manifest that promises another input size is found."""
    path = tmp_path / "model.onnx"
    with pytest.raises(EngineError, match="N x 3 x 64 x 64"):
        OnnxRuntimeEngine(path, manifest(width=64, height=64, sha256=build(path)))


def test_a_damaged_file_is_an_error_of_ours(tmp_path: Path) -> None:
    """ONNX Runtime's words are in the error."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x01broken")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(EngineError, match=r"model\.onnx"):
        OnnxRuntimeEngine(path, manifest(sha256=digest))
    with pytest.raises(EngineError, match="nothing"):
        OnnxRuntimeEngine(tmp_path / "nothing.onnx", manifest())
    with pytest.raises(ManifestError):
        load_model(tmp_path)


def test_a_wrong_batch_is_an_error_of_ours(tmp_path: Path) -> None:
    """A tensor of the wrong shape does not crash the cart."""
    path = tmp_path / "model.onnx"
    engine = OnnxRuntimeEngine(path, manifest(sha256=build(path)))
    with pytest.raises(EngineError, match="ONNX Runtime"):
        engine.infer(np.zeros((1, 3, 16, 16), np.float32))


SHIPPED = sorted(SHIPPED_MODELS.glob("*/manifest.json"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.parent.name)
def test_shipped_models_load_and_find_nothing_in_grey(path: Path) -> None:
    """Each model in the repository fits its manifest and runs."""
    model = load_model(path.parent)
    telemetry = Telemetry()
    vision = Vision(model.engine, model.manifest, cameras=3, telemetry=telemetry, clock=SystemClock())
    batch = [Seen(Frame("front", np.full((240, 320, 3), 127, np.uint8), 0.0), 0.0) for _ in range(3)]
    vision.look(batch, 0.0)
    assert [seen.detections for seen in batch] == [(), (), ()]
    model.engine.close()
