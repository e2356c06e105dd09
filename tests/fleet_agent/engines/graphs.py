"""Tiny networks for stories about engines: real ONNX graphs of every decoder and every precision."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fleet_agent.manifest import (
    Artifact,
    CenterDecoder,
    Decoder,
    DetrDecoder,
    ModelManifest,
    Precision,
    YoloDecoder,
)
from tests.fleet_agent.worlds import manifest

SIZE, GRID, CLASSES = 32, 8, 3
ANCHORS = GRID * GRID
CENTER = CenterDecoder(score_threshold=0.3, max_detections=8, stride=SIZE // GRID)
YOLO = YoloDecoder(score_threshold=0.3, max_detections=8)
DETR = DetrDecoder(score_threshold=0.3, max_detections=8)
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")


@dataclass(frozen=True, slots=True)
class Model:
    """A model's folder.

    Attributes:
        directory: With its ONNX files.
        manifest: Of them; not written to the folder.
    """

    directory: Path
    manifest: ModelManifest

    def onnx(self, precision: Precision = "fp32") -> Path:
        """Return an artifact's path."""
        return self.directory / self.manifest.artifacts[precision].file

    def sha256(self, precision: Precision = "fp32") -> str:
        """Return an artifact's digest."""
        return self.manifest.artifacts[precision].sha256


class Graph:
    """A graph being written: nodes, constants, outputs."""

    def __init__(self, batch: int | str) -> None:
        self.batch = batch
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, SIZE, SIZE])]
        self.outputs: list[onnx.ValueInfoProto] = []

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Append a node; return its output's name."""
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """Append a constant; return its name."""
        self.constants[name] = array
        return name

    def output(self, name: str, shape: Sequence[int | str], kind: int = TensorProto.FLOAT) -> None:
        """Declare an output."""
        self.outputs.append(helper.make_tensor_value_info(name, kind, list(shape)))

    def write(self, path: Path, *, checked: bool = True) -> str:
        """Check and write the model; return its sha256."""
        constants = [numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        graph = helper.make_graph(self.nodes, "tiny", self.inputs, self.outputs, constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        if checked:
            onnx.checker.check_model(model)
        path.write_bytes(model.SerializeToString())
        return hashlib.sha256(path.read_bytes()).hexdigest()


def _score_weights(classes: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Each class looks at one colour channel, then the channels repeat."""
    weights = np.zeros((classes, 3, 1, 1), np.float32)
    for ix in range(classes):
        weights[ix, ix % 3] = 12.0 - ix
    return weights, np.full(classes, -6.0, np.float32)


def _box_weights() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    weights = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3, 1, 1)
    return weights, np.zeros(4, np.float32)


def _conv(graph: Graph, source: str, name: str, weights: NDArray[Any], bias: NDArray[Any]) -> str:
    graph.constant(f"{name}.w", weights)
    graph.constant(f"{name}.b", bias)
    return graph.add("Conv", [source, f"{name}.w", f"{name}.b"], f"{name}.logits")


def center_graph(*, classes: int = CLASSES, batch: int | str = "n", boxes: str = "boxes") -> Graph:
    """FP32: scores and boxes on a grid of 8."""
    graph = Graph(batch)
    pooled = graph.add("AveragePool", ["images"], "pooled", kernel_shape=[4, 4], strides=[4, 4])
    graph.add("Sigmoid", [_conv(graph, pooled, "s", *_score_weights(classes))], "scores")
    graph.add("Sigmoid", [_conv(graph, pooled, "b", *_box_weights())], boxes)
    graph.output("scores", [batch, classes, GRID, GRID])
    graph.output(boxes, [batch, 4, GRID, GRID])
    return graph


def center_fp16_graph(*, keep_output: bool = True) -> Graph:
    """Computes in FP16 between casts, as AutoCast writes it; without `keep_output` it answers in FP16 too."""
    graph = Graph("n")
    half = graph.add("Cast", ["images"], "half", to=TensorProto.FLOAT16)
    pooled = graph.add("AveragePool", [half], "pooled", kernel_shape=[4, 4], strides=[4, 4])
    parts = (("scores", "s", _score_weights(CLASSES), CLASSES), ("boxes", "b", _box_weights(), 4))
    for output, name, (weights, bias), channels in parts:
        logits = _conv(graph, pooled, name, weights.astype(np.float16), bias.astype(np.float16))
        narrow = f"{output}.half" if keep_output else output
        graph.add("Sigmoid", [logits], narrow)
        kind = TensorProto.FLOAT if keep_output else TensorProto.FLOAT16
        if keep_output:
            graph.add("Cast", [narrow], output, to=TensorProto.FLOAT)
        graph.output(output, ["n", channels, GRID, GRID], kind)
    return graph


def _quantized(graph: Graph, source: str, scale: float, zero_point: int = 0) -> str:
    """Append Q/DQ; zero point 0 is symmetric, the only kind that TensorRT takes."""
    graph.constant(f"{source}.scale", np.array(scale, np.float32))
    graph.constant(f"{source}.zero", np.array(zero_point, np.int8))
    quantizer = [f"{source}.scale", f"{source}.zero"]
    graph.add("QuantizeLinear", [source, *quantizer], f"{source}.q")
    return graph.add("DequantizeLinear", [f"{source}.q", *quantizer], f"{source}.dq")


def center_int8_graph(*, zero_point: int = 0) -> Graph:
    """Symmetric Q/DQ around each convolution's input and weights."""
    graph = Graph("n")
    pooled = graph.add("AveragePool", ["images"], "pooled", kernel_shape=[4, 4], strides=[4, 4])
    pooled = _quantized(graph, pooled, 1 / 127, zero_point)
    parts = (("scores", "s", _score_weights(CLASSES), CLASSES), ("boxes", "b", _box_weights(), 4))
    for output, name, (weights, bias), channels in parts:
        graph.constant(f"{name}.w", weights)
        graph.constant(f"{name}.b", bias)
        dequantized = _quantized(graph, f"{name}.w", float(np.abs(weights).max()) / 127)
        graph.add("Conv", [pooled, dequantized, f"{name}.b"], f"{name}.logits")
        graph.add("Sigmoid", [f"{name}.logits"], output)
        graph.output(output, ["n", channels, GRID, GRID])
    return graph


def yolo_graph(*, classes: int = CLASSES, channels_first: bool = True, batch: int | str = "n") -> Graph:
    """One output of boxes and class scores, N x (4 + C) x anchors or the other way round."""
    graph = Graph(batch)
    pooled = graph.add("AveragePool", ["images"], "pooled", kernel_shape=[4, 4], strides=[4, 4])
    scores = graph.add("Sigmoid", [_conv(graph, pooled, "s", *_score_weights(classes))], "scores")
    boxes = graph.add("Sigmoid", [_conv(graph, pooled, "b", *_box_weights())], "boxes")
    joined = graph.add("Concat", [boxes, scores], "joined", axis=1)
    graph.constant("flat", np.array([0, 4 + classes, ANCHORS], np.int64))
    name = "output0" if channels_first else "rows"
    graph.add("Reshape", [joined, "flat"], name)
    if not channels_first:
        graph.add("Transpose", ["rows"], "output0", perm=[0, 2, 1])
    shape = [4 + classes, ANCHORS] if channels_first else [ANCHORS, 4 + classes]
    graph.output("output0", [batch, *shape])
    return graph


def detr_graph(*, logits: int = CLASSES, batch: int | str = "n") -> Graph:
    """Logits and boxes of queries, one query for each cell."""
    graph = Graph(batch)
    pooled = graph.add("AveragePool", ["images"], "pooled", kernel_shape=[4, 4], strides=[4, 4])
    boxes = graph.add("Sigmoid", [_conv(graph, pooled, "b", *_box_weights())], "boxes")
    maps = {"logits": (_conv(graph, pooled, "s", *_score_weights(logits)), logits), "pred_boxes": (boxes, 4)}
    for name, (source, channels) in maps.items():
        graph.constant(f"{name}.flat", np.array([0, channels, ANCHORS], np.int64))
        flat = graph.add("Reshape", [source, f"{name}.flat"], f"{name}.rows")
        graph.add("Transpose", [flat], name, perm=[0, 2, 1])
        graph.output(name, [batch, ANCHORS, channels])
    return graph


def write_model(directory: Path, graphs: Mapping[Precision, Graph], decoder: Decoder = CENTER) -> Model:
    """Write graphs as the artifacts of one model."""
    artifacts: dict[Precision, Artifact] = {}
    for precision, graph in graphs.items():
        file = "model.onnx" if precision == "fp32" else f"model.{precision}.onnx"
        artifacts[precision] = Artifact(file=file, sha256=graph.write(directory / file))
    described = manifest(width=SIZE, height=SIZE)
    return Model(directory, msgspec.structs.replace(described, artifacts=artifacts, decoder=decoder))


def center_model(directory: Path) -> Model:
    """Write the tiny `center` model in all precisions."""
    graphs = {"fp32": center_graph(), "fp16": center_fp16_graph(), "int8": center_int8_graph()}
    return write_model(directory, graphs)  # type: ignore[arg-type]  # the keys are precisions


def noise(rows: int, seed: int = 1) -> NDArray[np.float32]:
    """Return pictures of noise as the networks want them."""
    return np.random.default_rng(seed).random((rows, 3, SIZE, SIZE), np.float32)
