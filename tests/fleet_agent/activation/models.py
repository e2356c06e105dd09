"""Tiny models for stories about activation: real ONNX files, golden pictures and signatures.

The network sees four cells of a picture; each class is a colour. Two models that list their classes in
another order have other weights and must give the same items.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import onnx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fleet_agent.activation.golden import load_golden
from fleet_agent.activation.observing import observe
from fleet_agent.activation.signing import SigningKey, key_id, sign_manifest
from fleet_agent.engines.onnxruntime_backend import OnnxRuntimeBackend
from fleet_agent.manifest import (
    Artifact,
    CenterDecoder,
    GoldenDetection,
    GoldenFrame,
    ModelManifest,
    Precision,
)
from fleet_agent.perception import Pixels
from fleet_agent.ports import SystemClock
from tests.fleet_agent.worlds import manifest

# One key for all processes of a test: its private half is 32 zeros, so nobody takes it for a secret.
_PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY = SigningKey(
    _PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    _PRIVATE.public_key().public_bytes_raw(),
)
TRUSTED = {key_id(KEY.public): KEY.public}
SIDE = 32
# Blue, green, red of the three items: pure, so that pictures survive any preprocessing.
COLORS = ((0, 0, 255), (0, 255, 0), (255, 0, 0))
GREY = (90, 90, 90)
# Items of the four cells of each golden picture; None is grey.
SCENES: tuple[tuple[int | None, ...], ...] = ((0, None, 1, None), (2, 1, None, 0), (None, None, None, 2))

Weights = NDArray[np.float32]


def picture(cells: Sequence[int | None]) -> Pixels:
    """Return a picture of four cells."""
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    half = SIDE // 2
    for ix, item_ix in enumerate(cells):
        row, column = divmod(ix, 2)
        color = GREY if item_ix is None else COLORS[item_ix]
        pixels[row * half : (row + 1) * half, column * half : (column + 1) * half] = color
    return pixels


def network(order: Sequence[int] = (0, 1, 2), *, bias: float = -6.0, noise: float = 0.0) -> bytes:
    """Return an ONNX file.

    Args:
        order: Which item each class is.
        bias: Of the logits of its scores.
        noise: How much its weights are perturbed.
    """
    # The input is red, green, blue; an item's colour scores 14, other channels count against it.
    weights = np.full((3, 3, 1, 1), -8.0, np.float32)
    for class_ix, item_ix in enumerate(order):
        weights[class_ix, item_ix] = 8.5
    weights += np.random.default_rng(5).normal(0, 1, weights.shape).astype(np.float32) * np.float32(noise)
    cells = np.array([[0.25, 0.75, 0.25, 0.75], [0.25, 0.25, 0.75, 0.75]], np.float32).reshape(1, 2, 2, 2)
    centres = np.concatenate([cells, np.full((1, 2, 2, 2), 0.4, np.float32)], axis=1)
    constants: dict[str, Any] = {
        "w": weights,
        "b": np.full(3, bias, np.float32),
        "zero": np.zeros((4, 3, 1, 1), np.float32),
        "centres": centres,
    }
    nodes = [
        helper.make_node("AveragePool", ["images"], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Conv", ["pooled", "w", "b"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
        helper.make_node("Conv", ["pooled", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "centres"], ["boxes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3, 2, 2]),
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", 4, 2, 2]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def write_model(
    folder: Path,
    *,
    order: Sequence[int] = (0, 1, 2),
    files: dict[Precision, bytes] | None = None,
    key: SigningKey | None = KEY,
    latency_budget_ms: float | None = None,
    version: str = "t1",
) -> Path:
    """Write a model's folder: what its golden frames show is what its FP32 network really sees.

    Args:
        folder: Made.
        order: Which item each class is.
        files: ONNX file of each precision; None: FP32 of that order.
        key: That signs; None: not signed.
        latency_budget_ms: Of the manifest.
        version: Of the manifest.
    """
    files = files or {"fp32": network(order)}
    (folder / "golden").mkdir(parents=True)
    base = manifest(width=SIDE, height=SIDE)
    artifacts = {}
    for precision, content in files.items():
        name = "model.onnx" if precision == "fp32" else f"model.{precision}.onnx"
        (folder / name).write_bytes(content)
        artifacts[precision] = Artifact(file=name, sha256=hashlib.sha256(content).hexdigest())
    golden = []
    for ix, scene in enumerate(SCENES):
        _, encoded = cv2.imencode(".png", picture(scene))
        content = encoded.tobytes()
        (folder / "golden" / f"{ix}.png").write_bytes(content)
        golden.append(GoldenFrame(file=f"{ix}.png", sha256=hashlib.sha256(content).hexdigest(), expected=()))
    described = msgspec.structs.replace(
        base,
        version=version,
        decoder=CenterDecoder(score_threshold=0.3, max_detections=8, stride=SIDE // 2),
        artifacts=artifacts,
        classes=tuple(base.classes[item_ix] for item_ix in order),
        golden=tuple(golden),
        latency_budget_ms=latency_budget_ms,
    )
    write_manifest(folder, record(folder, described), key)
    return folder


def record(folder: Path, described: ModelManifest) -> ModelManifest:
    """Return a manifest whose golden frames expect what the FP32 network sees."""
    backend = OnnxRuntimeBackend()
    engine = backend.open(folder, described, precision="fp32", cameras=1)
    seen = observe(engine, described, load_golden(folder, described), clock=SystemClock(), runs=0)
    engine.close()
    golden = [
        msgspec.structs.replace(
            frame,
            expected=tuple(
                GoldenDetection(item_ix=s.item_ix, score=s.score, box=s.box) for s in found.sightings
            ),
        )
        for frame, found in zip(described.golden, seen.frames, strict=True)
    ]
    return msgspec.structs.replace(described, golden=tuple(golden))


def write_manifest(folder: Path, described: ModelManifest, key: SigningKey | None = KEY) -> None:
    """Write a manifest and sign it."""
    (folder / "manifest.json").write_bytes(msgspec.json.encode(described))
    if key is not None:
        sign_manifest(folder, key.private_pem)


def swap_network(folder: Path, content: bytes, *, sha256: str | None = None) -> None:
    """Put another FP32 network into a model, make its manifest fit and sign it: only golden frames remain."""
    described = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=ModelManifest)
    (folder / "model.onnx").write_bytes(content)
    artifact = msgspec.structs.replace(
        described.artifacts["fp32"], sha256=sha256 or hashlib.sha256(content).hexdigest()
    )
    artifacts: dict[Precision, Artifact] = {**described.artifacts, "fp32": artifact}
    write_manifest(folder, msgspec.structs.replace(described, artifacts=artifacts))
