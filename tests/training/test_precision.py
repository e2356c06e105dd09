"""Half precision and eight bits of a tiny network: what is converted, what is kept, what comes out."""

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from training.precision import METHODS, Quantised, half, quantised

Floats = NDArray[np.float32]


def tiny(rng: np.random.Generator) -> onnx.ModelProto:
    """Return a network of two shared convolutions and two heads, as the detector is built."""

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(rng.normal(0, 0.4, shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["images", "w0", "b0"], ["c0"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c0"], ["r0"], name="relu"),
        helper.make_node("Conv", ["r0", "w1", "b1"], ["c1"], name="second", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["c1", "w2"], ["logits"], name="score_head"),
        helper.make_node("Sigmoid", ["logits"], ["scores"], name="squash"),
        helper.make_node("Conv", ["c1", "w3"], ["boxes"], name="box_head"),
    ]
    sizes = {"images": 3, "scores": 5, "boxes": 4}
    infos = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", channels, 8, 8])
        for name, channels in sizes.items()
    }
    constants = [
        weights("w0", 6, 3, 3, 3),
        weights("b0", 6),
        weights("w1", 8, 6, 3, 3),
        weights("b1", 8),
        weights("w2", 5, 8, 1, 1),
        weights("w3", 4, 8, 1, 1),
    ]
    graph = helper.make_graph(nodes, "tiny", [infos["images"]], [infos["scores"], infos["boxes"]], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto, inputs: Floats) -> list[Floats]:
    """Run a model with ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, {"images": inputs}))


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    """The tiny network."""
    return tiny(np.random.default_rng(3))


@pytest.fixture(scope="module")
def inputs() -> Floats:
    """Random pictures."""
    return np.random.default_rng(4).random((48, 3, 8, 8), np.float32)


@pytest.fixture(scope="module")
def eight(model: onnx.ModelProto, inputs: Floats) -> Quantised:
    """The tiny network in eight bits."""
    return quantised(model, inputs[:32], inputs[32:])


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    """Return the element type of each constant."""
    return {constant.name: constant.data_type for constant in model.graph.initializer}


def test_half_precision_is_near_and_keeps_its_interface(model: onnx.ModelProto, inputs: Floats) -> None:
    """The trunk's weights have 16 bits, the heads' 32; input and outputs stay float32 with a free batch."""
    converted = half(model)
    types = types_of(converted)
    assert {types[name] for name in ("w0", "w1")} == {TensorProto.FLOAT16}
    assert {types[name] for name in ("w2", "w3")} == {TensorProto.FLOAT}
    for wanted, got in zip(run(model, inputs), run(converted, inputs), strict=True):
        assert got.dtype == np.float32
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, atol=0.01)
        assert not np.array_equal(got, wanted)


def test_conversion_leaves_the_model_alone(model: onnx.ModelProto, inputs: Floats) -> None:
    """Whoever converts a model still has it."""
    before = model.SerializeToString()
    half(model)
    quantised(model, inputs[:16], inputs[16:32])
    assert model.SerializeToString() == before


def test_eight_bits_are_near_and_symmetric(model: onnx.ModelProto, inputs: Floats, eight: Quantised) -> None:
    """All zero points are 0, which is all that TensorRT takes, and outputs are near the float network's."""
    constants = {entry.name: numpy_helper.to_array(entry) for entry in eight.model.graph.initializer}
    pairs = [node for node in eight.model.graph.node if node.op_type == "QuantizeLinear"]
    assert pairs
    for node in pairs:
        zero = constants[node.input[2]]
        assert zero.dtype == np.int8
        assert not zero.any()
    for wanted, got in zip(run(model, inputs), run(eight.model, inputs), strict=True):
        assert np.abs(got - wanted).mean() < 0.05 * wanted.std()
        assert not np.array_equal(got, wanted)


def test_first_convolution_and_heads_stay_in_float(eight: Quantised) -> None:
    """Only the second convolution reads dequantised values."""
    makers = {made: node.op_type for node in eight.model.graph.node for made in node.output}
    fed = {node.name: makers.get(node.input[0]) for node in eight.model.graph.node if node.op_type == "Conv"}
    assert fed["second"] == "DequantizeLinear"
    assert fed["first"] is None


def test_the_method_nearest_to_float_is_taken(eight: Quantised) -> None:
    """All methods are tried, and the choice is the one that differs least."""
    assert set(eight.differences) == set(METHODS)
    assert eight.differences[eight.method] == min(eight.differences.values())


def test_the_first_weights_stay_in_float(eight: Quantised, model: onnx.ModelProto) -> None:
    """The heads' and the first convolution's weights are those of the float model, to the bit."""
    kept = {entry.name: numpy_helper.to_array(entry) for entry in eight.model.graph.initializer}
    for entry in model.graph.initializer:
        if entry.name in {"w0", "w2", "w3"}:
            np.testing.assert_array_equal(kept[entry.name], numpy_helper.to_array(entry))
