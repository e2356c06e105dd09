"""Types shared by everything that sees: frames, detections, engines, and the model's manifest.

Training, benchmarks and the demo import these; nothing here runs a network or opens a device.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import msgspec
import numpy as np
from msgspec import Meta, Struct, field
from numpy.typing import NDArray

from fleet_agent.errors import ManifestError

Pixels = NDArray[np.uint8]
Tensor = NDArray[np.float32]

# Of the digest of a model's ONNX file, this much travels with every message: 64 bits tell any
# two models of a fleet apart and keep messages small.
DIGEST_CHARACTERS = 16

Positive = Annotated[float, Meta(gt=0)]
Side = Annotated[int, Meta(ge=16, le=4096)]
Text = Annotated[str, Meta(min_length=1, max_length=64)]


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of one camera.

    Attributes:
        camera: Name of the camera.
        pixels: uint8, height x width x 3, blue first.
        captured_s: When it was taken, on the process's monotonic clock.
    """

    camera: str
    pixels: Pixels
    captured_s: float


@dataclass(frozen=True, slots=True)
class Detection:
    """One item seen in one frame.

    Attributes:
        item_ix: Index into the manifest's classes.
        score: 0..1.
        box: x0, y0, x1, y1 as fractions of the frame, 0..1.
        class_scores: float32, one score 0..1 per class, at this place of the picture.
    """

    item_ix: int
    score: float
    box: tuple[float, float, float, float]
    class_scores: Tensor


class PerceptionEngine(Protocol):
    """A network that is ready to run. One thread at a time may call it."""

    def infer(self, batch: Tensor) -> Mapping[str, Tensor]:
        """Run the network.

        Args:
            batch: float32, B x 3 x height x width, contiguous, already normalised.

        Returns:
            Output name to array, each with B as first dimension. The arrays belong to the caller.

        Raises:
            EngineError: the runtime failed; carries its own words.
        """

    def close(self) -> None:
        """Give back memory and devices; calling twice is harmless."""


class InputSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """What the network wants as input: pixel * scale, minus mean, divided by std."""

    name: Text
    width: Side
    height: Side
    layout: Literal["NCHW"]
    color: Literal["RGB", "BGR"]
    scale: Positive
    mean: tuple[float, float, float]
    std: tuple[Positive, Positive, Positive]
    letterbox: bool
    pad: Annotated[int, Meta(ge=0, le=255)]


class DecoderSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """How the network's outputs become detections."""

    kind: Literal["center"]
    score_threshold: Annotated[float, Meta(ge=0, le=1)]
    max_detections: Annotated[int, Meta(ge=1, le=1000)]
    stride: Annotated[int, Meta(ge=1, le=128)]


class OutputNames(Struct, frozen=True, forbid_unknown_fields=True):
    """Names of the network's output tensors, by what they mean."""

    heatmap: Text
    boxes: Text


class ItemClass(Struct, frozen=True, forbid_unknown_fields=True):
    """One item of the catalogue: what the network's class means and what it weighs."""

    item_id: Text
    name: Text
    category: Text
    barcode: Annotated[str, Meta(max_length=32)]
    weight_g: Positive
    weight_sd_g: Annotated[float, Meta(ge=0)]


class ModelManifest(Struct, frozen=True, kw_only=True):
    """`manifest.json`: all that a cart must know of a model beside its ONNX file.

    Unknown keys at the top are for people and for later versions; a key that would change what is
    computed sits in one of the parts, and there an unknown one is refused.
    """

    schema: Literal[1]
    name: Text
    version: Text
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    input: InputSpec
    decoder: DecoderSpec
    outputs: OutputNames
    temperature: Positive
    classes: Annotated[tuple[ItemClass, ...], Meta(min_length=1, max_length=4096)]
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The model's name on the wire."""
        return self.sha256[:DIGEST_CHARACTERS]


def parse_manifest(document: bytes, origin: str = "manifest.json") -> ModelManifest:
    """Read a manifest.

    Args:
        document: The file's bytes.
        origin: How to call the file in errors.

    Raises:
        ManifestError: not JSON, a field missing, of the wrong type or out of range, or two classes
            of one item.
    """
    try:
        manifest = msgspec.json.decode(document, type=ModelManifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{origin}: {error}") from error
    ids = [item.item_id for item in manifest.classes]
    if twice := sorted({item_id for item_id in ids if ids.count(item_id) > 1}):
        raise ManifestError(f"{origin}: item {twice[0]!r} has two classes")
    return manifest


def load_manifest(model_dir: Path) -> ModelManifest:
    """Read `manifest.json` of a model's folder.

    Raises:
        ManifestError: as `parse_manifest`, or the file cannot be read.
    """
    path = model_dir / "manifest.json"
    try:
        document = path.read_bytes()
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror or error}") from error
    return parse_manifest(document, str(path))
