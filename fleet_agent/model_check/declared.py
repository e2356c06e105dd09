"""What a file declares: operators, opset, inputs and outputs, against manifest and runtimes."""

from collections.abc import Iterator, Sequence

from fleet_agent.engines.fitting import TensorFacts
from fleet_agent.engines.onnx_file import Outline
from fleet_agent.manifest import ModelManifest
from fleet_agent.model_check.findings import Finding, fail, ok, warn

# What the oldest TensorRT of a cart (10.3, JetPack 6) reads; 11 reads up to 25 (NVIDIA's ONNX opset guide).
OLDEST_OPSET, NEWEST_OPSET = 9, 20
STANDARD = ("", "ai.onnx")
# How many numbers these put out depends on the picture.
CHOOSING = ("NonMaxSuppression", "NonZero", "Unique", "Compress")
DEFAULT_SIDE = 640

Shape = tuple[int | None, int, int]


def check_graph(outline: Outline) -> Iterator[Finding]:
    """Look at opset, operators and weights."""
    opset = max(outline.opsets.get(domain, 0) for domain in STANDARD)
    if OLDEST_OPSET <= opset <= NEWEST_OPSET:
        yield ok("opset", f"{opset}, {sum(outline.operators.values())} operators")
    else:
        yield warn(
            "opset",
            f"{opset}: TensorRT 10.3 of JetPack 6 reads {OLDEST_OPSET} to {NEWEST_OPSET}",
            "export with opset 17, which every runtime of a cart reads",
        )
    yield from _operators(outline)
    if outline.external:
        yield fail(
            "weights",
            f"lie in {', '.join(outline.external)}: the manifest's sha256 would not cover them,"
            " and a cart loads one file",
            "put them into the file: onnx.save_model(onnx.load(FILE), OUT, save_as_external_data=False)",
        )


def _operators(outline: Outline) -> Iterator[Finding]:
    names = {name for domain, name in outline.operators if domain in STANDARD}
    suppressing = sorted(
        name for _, name in outline.operators if "nms" in name.lower() or name == CHOOSING[0]
    )
    if suppressing:
        yield fail(
            "operators",
            f"{', '.join(suppressing)} in the network: how many boxes it puts out depends on the picture,"
            " and an engine's outputs have a fixed size",
            "export without NMS (Ultralytics: nms=False); the agent suppresses overlaps itself",
        )
    choosing = sorted(names.intersection(CHOOSING[1:]))
    if choosing:
        yield warn(
            "operators",
            f"{', '.join(choosing)}: shapes inside of the network may depend on the picture",
            "if TensorRT refuses it, export without them",
        )
    foreign = sorted({domain for domain, _ in outline.operators} - set(STANDARD))
    if foreign:
        yield warn(
            "operators",
            f"of {', '.join(foreign)}: not in the ONNX standard, TensorRT does not know them",
            "export with standard operators if the network shall run on a GPU",
        )


def check_declared(
    inputs: Sequence[TensorFacts], outputs: Sequence[TensorFacts], manifest: ModelManifest | None
) -> Iterator[Finding]:
    """Look at inputs and outputs as the file declares them."""
    listed = ", ".join(map(str, outputs)) or "none"
    if len(inputs) != 1:
        yield fail(
            "input",
            f"the network has {len(inputs)}: {', '.join(map(str, inputs)) or 'none'}",
            "export it with the picture as its only input; fold the others into constants",
        )
    else:
        yield from _input(inputs[0], manifest)
    yield ok("outputs", listed) if outputs else fail("outputs", listed, "export it with outputs")


def _input(tensor: TensorFacts, manifest: ModelManifest | None) -> Iterator[Finding]:
    problem = _unusable(tensor)
    if problem is not None:
        yield fail("input", *problem)
        return
    batch, _, height, width = tensor.shape
    settings = [] if manifest is None else _settings(tensor, manifest)
    if settings:
        yield fail("input", f"{tensor} is not what the manifest says", f"set {', '.join(settings)}")
    else:
        free = [name for name, side in (("height", height), ("width", width)) if side is None]
        note = f"; {' and '.join(free)} are free, the manifest's are taken" if free else ""
        yield ok("input", f"{tensor}{note}")
    if batch is None:
        yield ok("batch", "free: any number of cameras")
    else:
        yield warn(
            "batch",
            f"fixed to {batch}: runs only on carts with exactly {batch} camera{'s' * (batch > 1)}",
            "export with a free batch (torch.onnx.export: dynamic_axes; Ultralytics: dynamic=True)",
        )


def _unusable(tensor: TensorFacts) -> tuple[str, str] | None:
    """Return what is wrong with an input that no manifest can describe, and the remedy."""
    if tensor.dtype != "float32":
        return f"{tensor} is not float32", "export with a float32 input; the agent normalises the pixels"
    if len(tensor.shape) != 4:
        return f"{tensor} has {len(tensor.shape)} dimensions", "export it as N x 3 x height x width"
    if tensor.shape[1] not in (3, None):
        if tensor.shape[3] == 3:
            return f"{tensor} has its colours last", "export it as N x 3 x height x width (NCHW)"
        return f"{tensor} has {tensor.shape[1]} channels, not 3", "the agent's frames have three colours"
    return None


def _settings(tensor: TensorFacts, manifest: ModelManifest) -> list[str]:
    """Return the manifest's settings that contradict the input, as they should be."""
    spec = manifest.input
    _, _, height, width = tensor.shape
    return [
        f"input.{name} to {right!r}"
        for name, written, right in (
            ("name", spec.name, tensor.name),
            ("height", spec.height, height),
            ("width", spec.width, width),
        )
        if right is not None and written != right
    ]


def input_shape(inputs: Sequence[TensorFacts], manifest: ModelManifest | None) -> Shape | None:
    """Return batch (None: free), height and width to run with; None when it cannot be run."""
    if len(inputs) != 1 or _unusable(inputs[0]) is not None:
        return None
    batch, _, height, width = inputs[0].shape
    spec = None if manifest is None else manifest.input
    return (
        batch,
        height or (spec.height if spec else DEFAULT_SIDE),
        width or (spec.width if spec else DEFAULT_SIDE),
    )
