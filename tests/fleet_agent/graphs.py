"""ONNX networks built here, in the layouts that people bring: each sees red, green and blue things on grey.

Of every 8 x 8 pixels of the input the mean colour gives the scores of a cell; its box is the cell's
place with a size of two cells.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fleet_agent.manifest import Artifact, CenterDecoder, Decoder, DetrDecoder, ModelManifest, YoloDecoder
from tests.fleet_agent.worlds import manifest

Array = np.ndarray[Any, Any]
CELL = 8
CLASSES = 3
BOX_CELLS = 2.0


@dataclass(slots=True)
class Graph:
    """A graph that grows.

    Attributes:
        width: Of the input in pixels.
        height: Of the input in pixels.
        batch: Of the input: a number, or a name for a free one.
    """

    width: int
    height: int
    batch: int | str = "n"
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node; returns its output."""
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name: str, values: Any, dtype: type = np.float32) -> str:
        """Add a constant; returns its name."""
        self.constants[name] = np.asarray(values, dtype)
        return name

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return self.height // CELL, self.width // CELL

    def scores(self, channels: int, *, classes: int = CLASSES) -> str:
        """Add B x channels x rows x columns logits: the last `classes` of them see their colour."""
        self.add("AveragePool", ["images"], "cells", kernel_shape=[CELL, CELL], strides=[CELL, CELL])
        weights = np.zeros((channels, 3))
        weights[channels - classes :] = (np.eye(3) * 18.0 - 6.0)[np.arange(classes) % 3]
        bias = np.full(channels, -4.0)
        if channels > classes:
            weights[0], bias[0] = 3.0, -2.0  # objectness, or "no object"
        self.constant("weights", weights[:, :, None, None])
        return self.add("Conv", ["cells", "weights", self.constant("bias", bias)], "cell_logits")

    def flat(self, tensor: str, channels: int, output: str) -> str:
        """Reshape B x channels x rows x columns to B x channels x cells."""
        shape = self.constant(f"{output}_shape", [0, channels, -1], np.int64)
        return self.add("Reshape", [tensor, shape], output)

    def boxes(self, unit: tuple[float, float], output: str) -> str:
        """Add B x 4 x rows x columns boxes, centre and size, in units of the input's width and height."""
        rows, columns = self.grid
        cy, cx = np.meshgrid(
            (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij"
        )
        size = [np.full_like(cx, BOX_CELLS / columns), np.full_like(cx, BOX_CELLS / rows)]
        places = np.stack([cx, cy, *size]) * np.array([*unit, *unit])[:, None, None]
        self.constant("places", places[None])
        nothing = self.constant("nothing", np.zeros((4, 3, 1, 1)))
        return self.add("Add", [self.add("Conv", ["cells", nothing], "zeros"), "places"], output)

    def save(self, path: Path, outputs: dict[str, list[int | str]], *, opset: int = 17) -> str:
        """Write the file; returns its sha256."""
        graph = helper.make_graph(
            self.nodes,
            "colours",
            [
                helper.make_tensor_value_info(
                    "images", TensorProto.FLOAT, [self.batch, 3, self.height, self.width]
                )
            ],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in outputs.items()
            ],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        onnx.checker.check_model(model)
        path.write_bytes(model.SerializeToString())
        return hashlib.sha256(path.read_bytes()).hexdigest()


def save_yolo(path: Path, graph: Graph, spec: YoloDecoder, *, classes: int = CLASSES) -> str:
    """Write a network of YOLO's layout; returns its sha256."""
    channels = spec.objectness + classes
    scores = graph.flat(graph.scores(channels, classes=classes), channels, "logits")
    if spec.activated:
        scores = graph.add("Sigmoid", [scores], "shares")
    unit = (1.0, 1.0) if spec.normalised else (float(graph.width), float(graph.height))
    boxes = graph.flat(graph.boxes(unit, "cell_boxes"), 4, "anchor_boxes")
    rows, columns = graph.grid
    shape: list[int | str] = [graph.batch, 4 + channels, rows * columns]
    if spec.channels_first:
        graph.add("Concat", [boxes, scores], spec.output, axis=1)
    else:
        graph.add("Concat", [boxes, scores], "anchors", axis=1)
        graph.add("Transpose", ["anchors"], spec.output, perm=[0, 2, 1])
        shape = [graph.batch, rows * columns, 4 + channels]
    return graph.save(path, {spec.output: shape})


def save_detr(path: Path, graph: Graph, spec: DetrDecoder) -> str:
    """Write a network of DETR's layout; returns its sha256."""
    channels = CLASSES + spec.background
    logits = graph.flat(graph.scores(channels), channels, "flat_logits")
    if spec.background and not spec.exclusive:
        # A spare logit was never taught anything but to be low, and not how low.
        graph.constants["weights"][0], graph.constants["bias"][0] = 0.0, -4.6
    if spec.background:  # "no object" is the last one
        order = graph.constant("order", [1, 2, 3, 0], np.int64)
        logits = graph.add("Gather", [logits, order], "ordered", axis=1)
    graph.add("Transpose", [logits], spec.logits, perm=[0, 2, 1])
    boxes = graph.flat(graph.boxes((1.0, 1.0), "cell_boxes"), 4, "flat_boxes")
    graph.add("Transpose", [boxes], spec.boxes, perm=[0, 2, 1])
    rows, columns = graph.grid
    queries = rows * columns
    return graph.save(
        path, {spec.logits: [graph.batch, queries, channels], spec.boxes: [graph.batch, queries, 4]}
    )


def save_center(path: Path, graph: Graph, spec: CenterDecoder, *, classes: int = CLASSES) -> str:
    """Write a network of the `center` layout, peaks kept by a maximum over 3 x 3; returns its sha256."""
    shares = graph.add("Sigmoid", [graph.scores(classes, classes=classes)], "shares")
    best = graph.add("ReduceMax", [shares], "best", axes=[1], keepdims=1)
    near = graph.add("MaxPool", [best], "near", kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
    peaks = graph.add("Cast", [graph.add("Equal", [best, near], "is_peak")], "peaks", to=TensorProto.FLOAT)
    graph.add("Mul", [shares, peaks], spec.scores)
    graph.boxes((1.0, 1.0), spec.boxes)
    rows, columns = graph.grid
    return graph.save(
        path,
        {spec.scores: [graph.batch, classes, rows, columns], spec.boxes: [graph.batch, 4, rows, columns]},
    )


def save(path: Path, graph: Graph, spec: Decoder) -> ModelManifest:
    """Write a network for a decoder; returns its manifest."""
    if isinstance(spec, YoloDecoder):
        sha256 = save_yolo(path, graph, spec)
    elif isinstance(spec, DetrDecoder):
        sha256 = save_detr(path, graph, spec)
    else:
        sha256 = save_center(path, graph, spec)
    described = manifest(width=graph.width, height=graph.height, sha256=sha256)
    return msgspec.structs.replace(
        described, decoder=spec, artifacts={"fp32": Artifact(file=path.name, sha256=sha256)}
    )
