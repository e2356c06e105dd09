"""`manifest.json`: all that a cart must know of a model beside its ONNX files.

Training writes it, the cart, the parity gate and `cartwright-agent model check` read it.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct, field

from fleet_agent.durable import open_regular
from fleet_agent.errors import ManifestError

# Of the digest of a model's ONNX file, this much travels with every message: 64 bits tell any
# two models of a fleet apart and keep messages small.
DIGEST_CHARACTERS = 16
# A manifest of 4096 items is 1 MB; more is not a manifest.
MAX_MANIFEST_BYTES = 4_000_000

Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

Positive = Annotated[float, Meta(gt=0)]
# Factors and weights of real models lie far within; beyond, single precision gives infinity or nothing.
Factor = Annotated[float, Meta(ge=1e-6, le=1e6)]
Offset = Annotated[float, Meta(ge=-1e6, le=1e6)]
Temperature = Annotated[float, Meta(ge=1e-2, le=1e2)]
Grams = Annotated[float, Meta(ge=1e-3, le=1e6)]
Share = Annotated[float, Meta(ge=0, le=1)]
Side = Annotated[int, Meta(ge=16, le=4096)]
# No control characters: names are printed and logged.
Text = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")]
# A name of a file inside the model's folder: no path leads out of it.
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class _Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of the manifest that changes what is computed: an unknown key in it is refused."""


class InputSpec(_Part, frozen=True):
    """What the network wants as input: pixel * scale, minus mean, divided by std."""

    name: Text
    width: Side
    height: Side
    layout: Literal["NCHW"]
    color: Literal["RGB", "BGR"]
    scale: Factor
    mean: tuple[Offset, Offset, Offset]
    std: tuple[Factor, Factor, Factor]
    letterbox: bool
    pad: Annotated[int, Meta(ge=0, le=255)]


class _Decoder(_Part, frozen=True, tag_field="kind"):
    """What all decoders share: how sure a detection must be, and how many a frame may have."""

    score_threshold: Share
    max_detections: Annotated[int, Meta(ge=1, le=1000)]


class CenterDecoder(_Decoder, frozen=True, tag="center"):
    """Peaks of a score map: `scores` B x C x H x W; `boxes` B x 4 x H x W, as fractions of the input.

    `stride` is the number of input pixels per cell.
    """

    stride: Annotated[int, Meta(ge=1, le=128)]
    scores: Text = "scores"
    boxes: Text = "boxes"


class YoloDecoder(_Decoder, frozen=True, tag="yolo"):
    """One output of anchors: boxes and class scores side by side, overlaps suppressed by us.

    `output` is B x (4 + C) x N (`channels_first`, as YOLOv8 to v12 export it) or B x N x (4 + C); with
    `objectness` there is one more channel after the box, which multiplies the class scores (YOLOv5, YOLOX).
    Boxes are centre x, centre y, width, height, in pixels of the input or, `normalised`, fractions of it.
    """

    output: Text = "output0"
    channels_first: bool = True
    objectness: bool = False
    normalised: bool = False
    # False: the scores are logits and we apply the sigmoid.
    activated: bool = True
    overlap: Annotated[float, Meta(gt=0, le=1)] = 0.5


class DetrDecoder(_Decoder, frozen=True, tag="detr"):
    """Queries: `logits` B x Q x C' and `boxes` B x Q x 4 (centred, fractions of the input).

    With `background` there are C + 1 logits, and the last is no item. `activation` says what it is: with
    `softmax` it is "no object", which takes its share of the others (DETR); with `sigmoid` each logit stands
    for itself, and the last is spare and not looked at (RF-DETR). Without `background`, C logits go through
    a sigmoid each (Deformable DETR, RT-DETR). An `activation` that is not told is a softmax exactly with
    `background`, as it was before there was this field.
    """

    logits: Text = "logits"
    boxes: Text = "pred_boxes"
    background: bool = False
    activation: Literal["sigmoid", "softmax"] | None = None

    def __post_init__(self) -> None:
        """Refuse a softmax over items alone: each query, even of an empty picture, would be an item."""
        if self.activation == "softmax" and not self.background:
            raise ValueError("activation softmax needs background true: without, nothing could be no object")

    @property
    def exclusive(self) -> bool:
        """Whether classes and "no object" share one probability: a softmax."""
        return self.background if self.activation is None else self.activation == "softmax"


Decoder = CenterDecoder | YoloDecoder | DetrDecoder


class ParityLimits(_Part, frozen=True):
    """How far an engine may be from the reference on the golden frames.

    Attributes:
        score_floor: Detections of the reference from this score on must be found again.
        least_overlap: Intersection over union from which a box is found again.
        max_score_difference: Largest difference of a matched detection's score.
        max_unmatched: Detections, lost or invented, that are forgiven over all golden frames.
    """

    score_floor: Share = 0.5
    least_overlap: Share = 0.9
    max_score_difference: Share = 0.05
    max_unmatched: Annotated[int, Meta(ge=0)] = 0


class Artifact(_Part, frozen=True):
    """One ONNX file of the model.

    Attributes:
        file: In the model's folder.
        sha256: Of the file.
        parity: What its engine is held to.
    """

    file: FileName
    sha256: Sha256
    parity: ParityLimits = field(default_factory=ParityLimits)


class GoldenDetection(_Part, frozen=True):
    """What the trained network saw in a golden frame: class, score, box x0 y0 x1 y1 as fractions."""

    item_ix: Annotated[int, Meta(ge=0)]
    score: Share
    box: tuple[float, float, float, float]


class GoldenFrame(_Part, frozen=True):
    """One picture that every engine of this model must see alike.

    Attributes:
        file: JPEG or PNG in the folder `golden` of the model's folder.
        sha256: Of the file.
        expected: What the FP32 network saw when it was trained, scores from 0.3 on, the surest first.
    """

    file: FileName
    sha256: Sha256
    expected: tuple[GoldenDetection, ...]


class ItemClass(_Part, frozen=True):
    """One item of the catalogue: what the network's class means and what it weighs."""

    item_id: Text
    name: Text
    category: Text
    barcode: Annotated[str, Meta(max_length=32, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")]
    weight_g: Grams
    weight_sd_g: Annotated[float, Meta(ge=0, le=1e6)]


class ModelManifest(Struct, frozen=True, kw_only=True):
    """A model.

    Unknown keys at the top are for people and for later versions; a key that would change what is
    computed sits in one of the parts, and there an unknown one is refused.

    Attributes:
        schema: Of this document.
        name: Of the family of models.
        version: Of this one.
        artifacts: ONNX files by precision; `fp32` is the reference and gives the model its digest.
        input: What the network wants.
        decoder: What its outputs mean.
        temperature: By which logits are divided so that scores are probabilities (fitted in training).
        classes: In the order of the network's classes.
        golden: Pictures for the parity gate.
        latency_budget_ms: Longest median time of one batch of four frames on the cart; None: no limit.
        weight_separability: How far weight alone tells the items apart (see `fleet_agent.basket`).
        training: How it was made.
        scores: How good it was on held-out scenes.
    """

    schema: Literal[2]
    name: Text
    version: Text
    artifacts: dict[Precision, Artifact]
    input: InputSpec
    decoder: Decoder
    temperature: Temperature
    classes: Annotated[tuple[ItemClass, ...], Meta(min_length=1, max_length=4096)]
    golden: tuple[GoldenFrame, ...] = ()
    latency_budget_ms: Positive | None = None
    weight_separability: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Digest of the FP32 ONNX file: the model's identity, whatever precision runs."""
        return self.artifacts["fp32"].sha256

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
        ManifestError: too large, not JSON, a field missing, of the wrong type or out of range, two classes
            of one item, or no FP32 artifact.
    """
    if len(document) > MAX_MANIFEST_BYTES:
        raise ManifestError(f"{origin}: it has more than a manifest may have, {MAX_MANIFEST_BYTES} bytes")
    try:
        manifest = msgspec.json.decode(document, type=ModelManifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(f"{origin}: {error}") from error
    if "fp32" not in manifest.artifacts:
        raise ManifestError(f"{origin}: artifacts has no fp32, which is the reference")
    seen: set[str] = set()
    for item in manifest.classes:
        if item.item_id in seen:
            raise ManifestError(f"{origin}: item {item.item_id!r} has two classes")
        seen.add(item.item_id)
    return manifest


def load_manifest(model_dir: Path) -> ModelManifest:
    """Read `manifest.json` of a model's folder.

    Raises:
        ManifestError: as `parse_manifest`, or the file cannot be read. No more is read than one may have.
    """
    path = model_dir / "manifest.json"
    try:
        with open_regular(path) as file:
            document = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror or error}") from error
    return parse_manifest(document, str(path))
