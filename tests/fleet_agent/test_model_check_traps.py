"""Stories about networks that fit by their shapes and would see nonsense, or would take the checker down."""

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fleet_agent.engines.onnxruntime_engine import OnnxRuntimeModel
from fleet_agent.errors import EngineError, ManifestError
from fleet_agent.manifest import Decoder, DetrDecoder, ModelManifest, YoloDecoder, parse_manifest
from tests.fleet_agent.test_model_check import failed, look
from tests.fleet_agent.worlds import manifest

SIDE = 64
COMMON: dict[str, Any] = {"score_threshold": 0.3, "max_detections": 20}
Array = np.ndarray[Any, Any]


def answering(folder: Path, outputs: dict[str, Array], shape: tuple[Any, ...] = ("N", 3, SIDE, SIDE)) -> None:
    """Write a network that answers the same to every picture, a row for each of a batch."""
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
    ]
    constants = [numpy_helper.from_array(np.array(0, np.float32), "zero")]
    infos = []
    for name, answer in outputs.items():
        ones = np.array([-1, *[1] * answer.ndim], np.int64)
        constants += [
            numpy_helper.from_array(ones, f"{name}_ones"),
            numpy_helper.from_array(answer[None], f"{name}_said"),
        ]
        nodes += [
            helper.make_node("Reshape", ["nothing", f"{name}_ones"], [f"{name}_rows"]),
            helper.make_node("Add", [f"{name}_rows", f"{name}_said"], [name]),
        ]
        infos.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *answer.shape]))
    write(folder, nodes, infos, constants, shape)


def write(folder: Path, nodes: Any, outputs: Any, constants: Any, shape: tuple[Any, ...]) -> None:
    """Write a network of these parts."""
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, list(shape))
    graph = helper.make_graph(nodes, "trap", [images], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")


def described(decoder: Decoder, classes: int = 3) -> ModelManifest:
    """Return a manifest of so many classes."""
    plain = manifest(width=SIDE, height=SIDE)
    return msgspec.structs.replace(plain, decoder=decoder, classes=plain.classes[:classes])


def rf_detr(folder: Path) -> None:
    """Write queries whose logits all are low, the spare one like the others."""
    rng = np.random.default_rng(3)
    answering(
        folder,
        {
            "labels": rng.normal(-4.6, 0.5, (20, 4)).astype(np.float32),
            "dets": np.full((20, 4), 0.3, np.float32),
        },
    )


def test_a_spare_logit_is_not_taken_for_no_object(tmp_path: Path) -> None:
    """RF-DETR has one logit more than classes and a sigmoid: a softmax would see an item in every query."""
    rf_detr(tmp_path)
    names: dict[str, Any] = {"logits": "labels", "boxes": "dets"}
    wrong = look(tmp_path, described(DetrDecoder(background=True, **names, **COMMON)))
    assert failed(wrong) == ["activation"]
    assert 'set decoder.activation to "sigmoid"' in wrong["activation"].remedy
    right = look(tmp_path, described(DetrDecoder(background=True, activation="sigmoid", **names, **COMMON)))
    assert failed(right) == []
    assert right["empty"].verdict == "OK"


def test_no_object_is_not_taken_for_a_spare_logit(tmp_path: Path) -> None:
    """DETR's last logit is sure of nothing: whoever says sigmoid is told."""
    logits = np.tile(np.array([-2.0, -2.0, -2.0, 6.0], np.float32), (20, 1))
    answering(tmp_path, {"logits": logits, "pred_boxes": np.full((20, 4), 0.3, np.float32)})
    found = look(tmp_path, described(DetrDecoder(background=True, activation="sigmoid", **COMMON)))
    assert found["activation"].verdict == "WARN"
    assert 'set decoder.activation to "softmax"' in found["activation"].remedy
    assert failed(look(tmp_path, described(DetrDecoder(background=True, **COMMON)))) == []


def test_boxes_that_are_offsets_from_a_grid_are_refused(tmp_path: Path) -> None:
    """YOLOX's export leaves the decoding to others unless it is told: its boxes are a few units large."""
    rng = np.random.default_rng(3)
    raw = np.full((84, 8), 0.01, np.float32)
    raw[:, :2], raw[:, 2:4] = rng.uniform(-1, 2, (84, 2)), rng.uniform(-0.5, 3.2, (84, 2))
    answering(tmp_path, {"output0": raw})
    decoder = YoloDecoder(channels_first=False, objectness=True, **COMMON)
    found = look(tmp_path, described(decoder))
    assert failed(found) == ["boxes"]
    assert "--decode_in_inference" in found["boxes"].remedy


def test_boxes_that_are_chosen_in_the_network_are_not_taken_for_two_classes(tmp_path: Path) -> None:
    """Corners, score and class make six numbers, as a box with two scores does."""
    corners = np.sort(np.random.default_rng(4).uniform(0, SIDE, (300, 2, 2)), axis=1).reshape(300, 4)
    rest = np.column_stack([np.linspace(0.9, 0.01, 300), np.arange(300) % 2])
    answering(tmp_path, {"output0": np.column_stack([corners, rest]).astype(np.float32)})
    found = look(tmp_path, described(YoloDecoder(channels_first=False, **COMMON), classes=2))
    assert failed(found) == ["decoder"]
    assert "export it without NMS" in found["decoder"].remedy


def test_a_segmentation_model_is_called_so(tmp_path: Path) -> None:
    """Not a detector of thirty-five classes: three, thirty-two coefficients, and the masks beside."""
    answering(
        tmp_path,
        {
            "output0": np.full((39, 84), 0.5, np.float32),
            "output1": np.zeros((32, 16, 16), np.float32),
        },
    )
    found = look(tmp_path, described(YoloDecoder(**COMMON)))
    assert failed(found) == ["decoder"]
    assert found["decoder"].remedy == "export the detection model of the family: masks are not decoded"


@pytest.mark.parametrize("shape", [(1, 3, 200_000, 200_000), (10_000_000, 3, SIDE, SIDE)])
def test_an_input_that_fills_a_machine_is_refused_before_it_does(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    """Sizes of a slip of the keyboard: a finding, and nothing is allocated."""
    answering(tmp_path, {"output0": np.full((7, 84), 0.5, np.float32)}, shape)
    assert "input" in failed(look(tmp_path, described(YoloDecoder(**COMMON))))


def test_outputs_that_are_no_arrays_are_left_aside(tmp_path: Path) -> None:
    """A sequence beside the anchors is nothing to decode, and nothing to stumble over."""
    anchors = np.full((7, 84), 0.2, np.float32)
    anchors[:4] = np.linspace(1, SIDE, 84)
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Reshape", ["nothing", "ones"], ["rows"]),
        helper.make_node("Add", ["rows", "said"], ["output0"]),
        helper.make_node("SequenceConstruct", ["images", "rows"], ["pieces"]),
    ]
    sequence = helper.make_tensor_sequence_value_info("pieces", TensorProto.FLOAT, None)
    output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["N", 7, 84])
    constants = [
        numpy_helper.from_array(np.array(0, np.float32), "zero"),
        numpy_helper.from_array(np.array([-1, 1, 1], np.int64), "ones"),
        numpy_helper.from_array(anchors[None], "said"),
    ]
    write(tmp_path, nodes, [output, sequence], constants, ("N", 3, SIDE, SIDE))
    assert failed(look(tmp_path, described(YoloDecoder(**COMMON)))) == []


def test_what_the_decoder_does_not_read_may_mix_the_cameras(tmp_path: Path) -> None:
    """An output of the size of the batch squared is of no interest; it is not even compared."""
    anchors = np.full((7, 84), 0.2, np.float32)
    anchors[:4] = np.linspace(1, SIDE, 84)
    answering(tmp_path, {"output0": anchors})
    model = onnx.load(tmp_path / "model.onnx")
    model.graph.node.append(helper.make_node("Reshape", ["nothing", "column"], ["column_of"]))
    model.graph.node.append(helper.make_node("Add", ["column_of", "nothing"], ["squared"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1, 1], np.int64), "column"))
    model.graph.output.append(helper.make_tensor_value_info("squared", TensorProto.FLOAT, ["N", "N"]))
    onnx.save(model, tmp_path / "model.onnx")
    assert failed(look(tmp_path, described(YoloDecoder(**COMMON)))) == []


def test_a_pipe_of_a_networks_name_is_refused_at_once(tmp_path: Path) -> None:
    """Reading it would wait for ever, in the check and on the cart."""
    os.mkfifo(tmp_path / "model.onnx")
    found = look(tmp_path, described(YoloDecoder(**COMMON)))
    assert "no regular file" in found["file"].detail
    with pytest.raises(EngineError, match="no regular file"):
        OnnxRuntimeModel(tmp_path, manifest())


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("std", (1e-320, 1.0, 1.0)),
        ("mean", (1e300, 0.0, 0.0)),
        ("scale", 1e300),
        ("name", "\x1b[31m\n"),
    ],
)
def test_numbers_and_names_that_no_model_has_are_refused(part: str, value: Any) -> None:
    """What would make every input infinite, or a log line red."""
    document = msgspec.json.decode(msgspec.json.encode(manifest()))
    document["input"][part] = value
    with pytest.raises(ManifestError, match=rf"input\.{part}"):
        parse_manifest(msgspec.json.encode(document))
    document = msgspec.json.decode(msgspec.json.encode(manifest()))
    document["temperature"] = 1e-310
    with pytest.raises(ManifestError, match="temperature"):
        parse_manifest(msgspec.json.encode(document))
