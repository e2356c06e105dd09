"""Whether a network is the one that its manifest describes: names, types and shapes, in plain words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fleet_agent.errors import EngineError
from fleet_agent.manifest import CenterDecoder, DetrDecoder, ModelManifest, YoloDecoder

# Types that outputs may have; FP16 is widened when it is read.
OUTPUT_TYPES = ("float32", "float16")


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """An input or output of a network.

    Attributes:
        name: As in the ONNX file.
        shape: Of it; None where the network leaves a dimension free.
        dtype: numpy's name of its type.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str = "float32"

    def __str__(self) -> str:
        return f"{self.name!r} ({_shown(self.shape)} {self.dtype})"


def wanted_outputs(manifest: ModelManifest) -> tuple[str, ...]:
    """Return the names of the outputs that the manifest's decoder reads."""
    decoder = manifest.decoder
    match decoder:
        case CenterDecoder():
            return (decoder.scores, decoder.boxes)
        case YoloDecoder():
            return (decoder.output,)
        case DetrDecoder():
            return (decoder.logits, decoder.boxes)


def check_input(manifest: ModelManifest, inputs: Sequence[TensorFacts]) -> int | None:
    """Check the network's inputs: one, float32, N x 3 x height x width of the manifest.

    Returns:
        The batch that the network is fixed to; None where it is free.

    Raises:
        EngineError: they are others.
    """
    spec = manifest.input
    if [tensor.name for tensor in inputs] != [spec.name]:
        names = ", ".join(map(str, inputs)) or "none"
        raise EngineError(f"the model's inputs are {names}; the manifest says {spec.name!r}")
    tensor = inputs[0]
    if tensor.dtype != "float32":
        raise EngineError(f"the model's input {tensor} is not float32; export it with float32 inputs")
    wanted = (3, spec.height, spec.width)
    given = tensor.shape[1:]
    if len(given) != len(wanted) or any(g not in (None, w) for g, w in zip(given, wanted, strict=True)):
        raise EngineError(
            f"the model wants {_shown(tensor.shape)}, the manifest says N x 3 x {spec.height} x {spec.width}"
        )
    return tensor.shape[0]


def check_cameras(fixed_batch: int | None, cameras: int) -> None:
    """Check that a network can look at so many cameras at once.

    Raises:
        EngineError: its batch is fixed to another number.
    """
    if fixed_batch not in (None, cameras):
        raise EngineError(
            f"the model has a fixed batch of {fixed_batch}, and there are {cameras} cameras;"
            " export it with a free batch, or with one row for each camera"
        )


def check_frames(frames: int, rows: int) -> None:
    """Check that an engine of so many rows can look at so many frames.

    Raises:
        EngineError: none, or too many.
    """
    if not 1 <= frames <= rows:
        raise EngineError(f"{frames} frames do not fit an engine of {rows} rows")


def check_names(manifest: ModelManifest, outputs: Sequence[TensorFacts]) -> None:
    """Check that the outputs that the decoder reads exist, and are numbers that can be read.

    Raises:
        EngineError: one is missing or of another type.
    """
    facts = {tensor.name: tensor for tensor in outputs}
    for name in wanted_outputs(manifest):
        if name not in facts:
            have = ", ".join(map(str, outputs)) or "none"
            raise EngineError(f"the model has no output {name!r}; it has {have}")
        if facts[name].dtype not in OUTPUT_TYPES:
            raise EngineError(f"the model's output {facts[name]} is not a float32 or float16 one")


def check_outputs(manifest: ModelManifest, outputs: Mapping[str, TensorFacts], rows: int) -> None:
    """Check the outputs that the decoder reads, as they are for a batch of `rows`.

    Raises:
        EngineError: one is missing, of another type, or its shape contradicts the manifest.
    """
    check_names(manifest, list(outputs.values()))
    decoder = manifest.decoder
    match decoder:
        case CenterDecoder():
            _check_center(manifest, decoder, outputs, rows)
        case YoloDecoder():
            _check_yolo(decoder, outputs[decoder.output], rows, len(manifest.classes))
        case DetrDecoder():
            _check_detr(decoder, outputs, rows, len(manifest.classes))


def _check_center(
    manifest: ModelManifest, decoder: CenterDecoder, outputs: Mapping[str, TensorFacts], rows: int
) -> None:
    spec, classes = manifest.input, len(manifest.classes)
    grid = (spec.height // decoder.stride, spec.width // decoder.stride)
    scores, boxes = outputs[decoder.scores], outputs[decoder.boxes]
    if len(scores.shape) == 4:
        _check_classes(scores, scores.shape[1], classes)
    _expect(scores, (rows, classes, *grid))
    _expect(boxes, (rows, 4, *grid))


def _check_yolo(decoder: YoloDecoder, output: TensorFacts, rows: int, classes: int) -> None:
    channels = 4 + decoder.objectness + classes
    wanted = (rows, channels, None) if decoder.channels_first else (rows, None, channels)
    if len(output.shape) == 3:
        found = output.shape[1 if decoder.channels_first else 2]
        other = output.shape[2 if decoder.channels_first else 1]
        if found not in (None, channels) and other == channels:
            raise EngineError(
                f"the model's output {output} has its {channels} channels on the other axis:"
                f" set the decoder's channels_first to {str(not decoder.channels_first).lower()}"
            )
        _check_classes(output, None if found is None else found - 4 - decoder.objectness, classes)
    _expect(output, wanted)


def _check_detr(decoder: DetrDecoder, outputs: Mapping[str, TensorFacts], rows: int, classes: int) -> None:
    logits, boxes = outputs[decoder.logits], outputs[decoder.boxes]
    if len(logits.shape) == 3:
        found = logits.shape[2]
        _check_classes(logits, None if found is None else found - decoder.background, classes)
    _expect(logits, (rows, None, classes + decoder.background))
    _expect(boxes, (rows, logits.shape[1], 4))


def _check_classes(tensor: TensorFacts, found: int | None, classes: int) -> None:
    if found not in (None, classes):
        raise EngineError(
            f"the model's output {tensor} holds {found} classes, the manifest lists {classes} classes"
        )


def _expect(tensor: TensorFacts, wanted: tuple[int | None, ...]) -> None:
    given = tensor.shape
    if len(given) != len(wanted) or any(
        None not in (g, w) and g != w for g, w in zip(given, wanted, strict=True)
    ):
        raise EngineError(f"the model's output {tensor} is not the {_shown(wanted)} that the manifest says")


def _shown(shape: Sequence[int | None]) -> str:
    return " x ".join("N" if size is None else str(size) for size in shape) or "a single number"
