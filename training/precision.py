"""Half precision and eight-bit copies of an ONNX file, as TensorRT 10.3 to 11 and ONNX Runtime read them.

Precision is a property of the file: TensorRT 11 knows no flags for it. The trunk, everything that all outputs
depend on, is converted; the heads stay in float. In half precision two neighbouring cells could tie for a
peak, and a box's place would be rounded to the 2000th of the frame; the heads are 1 % of the work.

The first convolution stays in float in the eight-bit file too. Bright pixels fill its eight bits, and ONNX
Runtime's kernels for CPUs without VNNI add two products in 16 bits, which overflow: two of three empty frames
then showed an item. Without that shortcut (TensorRT, newer CPUs) nothing is lost, but a file that is right
everywhere is worth a tenth of the work.
"""

import copy
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16

Floats = NDArray[np.float32]

METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
# What TensorRT wants of Q/DQ: zero points of 0, biases in float, a pair at every input, weights too.
_TENSORRT = {
    "ActivationSymmetric": True,
    "QuantizeBias": False,
    "DedicatedQDQPair": True,
    "AddQDQPairToWeight": True,
}
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Quantised:
    """An eight-bit model and how its ranges were found.

    Attributes:
        model: With Q/DQ pairs.
        method: The one of ``METHODS`` that was nearest to the float model.
        differences: Per method, the mean difference of its outputs from the float model's.
    """

    model: onnx.ModelProto
    method: str
    differences: Mapping[str, float]


def half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that computes its trunk in half precision; inputs and outputs stay float32."""
    block = sorted(_named(model) - _trunk(model))
    converted: onnx.ModelProto = convert_float_to_float16(
        copy.deepcopy(model), keep_io_types=True, node_block_list=block
    )
    _sort(converted.graph)
    onnx.checker.check_model(converted, full_check=True)
    return converted


def quantised(model: onnx.ModelProto, calibration: Floats, judged_on: Floats) -> Quantised:
    """Return an eight-bit copy; of several ways to find ranges, the one nearest to the float model.

    Args:
        model: With a free batch and one input.
        calibration: Inputs (n, 3, h, w) from which ranges are found.
        judged_on: Other inputs, on which the methods are compared.
    """
    wanted = _run(model, judged_on)
    made = {name: _quantised(model, calibration, method) for name, method in METHODS.items()}
    differences = {name: _difference(_run(candidate, judged_on), wanted) for name, candidate in made.items()}
    best = min(differences, key=lambda name: differences[name])
    onnx.checker.check_model(made[best], full_check=True)
    return Quantised(made[best], best, differences)


def _quantised(model: onnx.ModelProto, calibration: Floats, method: CalibrationMethod) -> onnx.ModelProto:
    in_float = (_named(model) - _trunk(model)) | _first(model)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "int8.onnx"
        quantize_static(
            copy.deepcopy(model),
            target,
            _Reader(model.graph.input[0].name, calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            nodes_to_exclude=sorted(in_float),
            calibrate_method=method,
            extra_options=_TENSORRT,
        )
        return onnx.load(str(target))


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands out inputs in batches, once."""

    def __init__(self, name: str, inputs: Floats) -> None:
        self._batches: Iterator[dict[str, Floats]] = iter(
            [{name: inputs[start : start + _BATCH]} for start in range(0, len(inputs), _BATCH)]
        )

    def get_next(self) -> dict[str, Floats] | None:
        """Return the next batch; None at the end."""
        return next(self._batches, None)


def _run(model: onnx.ModelProto, inputs: Floats) -> list[Floats]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = model.graph.input[0].name
    batches = [
        session.run(None, {name: inputs[start : start + _BATCH]}) for start in range(0, len(inputs), _BATCH)
    ]
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def _difference(outputs: list[Floats], wanted: list[Floats]) -> float:
    return float(np.mean([np.abs(a - b).mean() for a, b in zip(outputs, wanted, strict=True)]))


def _named(model: onnx.ModelProto) -> set[str]:
    return {node.name for node in model.graph.node}


def _trunk(model: onnx.ModelProto) -> set[str]:
    """Return the names of the nodes that every output depends on."""
    makers = {made: node for node in model.graph.node for made in node.output}
    return set.intersection(*(_before(output.name, makers) for output in model.graph.output))


def _before(output: str, makers: Mapping[str, onnx.NodeProto]) -> set[str]:
    seen: set[str] = set()
    left = [output]
    while left:
        node = makers.get(left.pop())
        if node is not None and node.name not in seen:
            seen.add(node.name)
            left += node.input
    return seen


def _first(model: onnx.ModelProto) -> set[str]:
    """Return the names of the convolutions that read the input."""
    inputs = {entry.name for entry in model.graph.input}
    return {node.name for node in model.graph.node if node.op_type == "Conv" and inputs & set(node.input)}


def _sort(graph: onnx.GraphProto) -> None:
    """Put nodes behind those whose outputs they read; the converter appends its casts at the end."""
    made = {""} | {entry.name for entry in [*graph.initializer, *graph.input]}
    left, ordered = list(graph.node), []
    while left:
        ready = [node for node in left if made.issuperset(node.input)]
        left = [node for node in left if not made.issuperset(node.input)]
        ordered += ready
        made.update(name for node in ready for name in node.output)
    del graph.node[:]
    graph.node.extend(ordered)
