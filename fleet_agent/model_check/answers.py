"""Whether scores and boxes are what the manifest's decoder takes them for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet_agent.manifest import CenterDecoder, DetrDecoder, ModelManifest
from fleet_agent.model_check.findings import Finding, fail, ok, warn
from fleet_agent.model_check.layout import LARGEST_FRACTION, Arrays, shares
from fleet_agent.model_check.queries import check_last_logit

# Boxes of this many inputs' size are pixels and not fractions.
LARGEST_BOX = 4.0
# Anchors cover the input: the farthest centre is near its far edge, and not within this share of it.
LEAST_PIXELS = 0.25


@dataclass(frozen=True, slots=True)
class Read:
    """Scores and boxes of all pictures, flat, as the decoder reads them before any sigmoid."""

    scores: NDArray[Any]
    boxes: NDArray[Any]


def check_answers(
    answers: Mapping[str, Arrays], manifest: ModelManifest, empty: Sequence[str]
) -> Iterator[Finding]:
    """Look at the ranges of scores and boxes over all pictures.

    Args:
        answers: Outputs of each picture by its name.
        manifest: Which decoder reads them.
        empty: Names of the pictures without items.
    """
    parts = [_read(outputs, manifest) for outputs in answers.values()]
    read = Read(
        np.concatenate([part.scores for part in parts]), np.concatenate([part.boxes for part in parts])
    )
    if not read.scores.size:
        yield fail("values", "the network puts out no scores at all", "export it without NMS")
        return
    broken = int(np.count_nonzero(~np.isfinite(read.scores)) + np.count_nonzero(~np.isfinite(read.boxes)))
    if broken:
        yield fail(
            "values",
            f"{broken} scores and box edges are not finite",
            "the network is broken, or half precision is too small for it: export float32",
        )
        return
    yield _scores(read.scores, manifest)
    spec = manifest.decoder
    if isinstance(spec, DetrDecoder) and spec.background:
        yield check_last_logit([answers[name][spec.logits] for name in empty], spec)
    yield _boxes(read.boxes, manifest)


def _read(outputs: Arrays, manifest: ModelManifest) -> Read:
    spec = manifest.decoder
    if isinstance(spec, CenterDecoder):
        return Read(outputs[spec.scores].ravel(), outputs[spec.boxes].ravel())
    if isinstance(spec, DetrDecoder):
        return Read(outputs[spec.logits].ravel(), outputs[spec.boxes].ravel())
    anchors = outputs[spec.output]
    by_channel = anchors if spec.channels_first else anchors.transpose(0, 2, 1)
    return Read(by_channel[:, 4:].ravel(), by_channel[:, :4].ravel())


def _scores(scores: NDArray[Any], manifest: ModelManifest) -> Finding:
    spec = manifest.decoder
    span = f"from {scores.min():.3g} to {scores.max():.3g}"
    if isinstance(spec, CenterDecoder):
        if shares(scores):
            return ok("scores", span)
        return fail("scores", f"{span}: not shares of 0 to 1", "end the network's scores with a sigmoid")
    activated = not isinstance(spec, DetrDecoder) and spec.activated
    if activated and not shares(scores):
        return fail("scores", f"{span}: these are logits", "set decoder.activated to false")
    if not activated and shares(scores):
        remedy = (
            "take the last sigmoid or softmax out of the network"
            if isinstance(spec, DetrDecoder)
            else "set decoder.activated to true"
        )
        return warn(
            "scores", f"{span}: they look like shares already, and a sigmoid is still to come", remedy
        )
    return ok("scores", f"{span}, {'shares' if activated else 'logits'}")


def _boxes(boxes: NDArray[Any], manifest: ModelManifest) -> Finding:
    spec = manifest.decoder
    largest = float(np.abs(boxes).max(initial=0.0))
    span = f"up to {largest:.4g}"
    fractions = isinstance(spec, CenterDecoder | DetrDecoder) or spec.normalised
    if fractions and largest > LARGEST_BOX:
        remedy = (
            "divide them by the input's width and height in the network"
            if isinstance(spec, CenterDecoder | DetrDecoder)
            else "set decoder.normalised to false"
        )
        return fail("boxes", f"{span}: these are pixels, not fractions of the input", remedy)
    if not fractions and largest <= LARGEST_FRACTION:
        return fail("boxes", f"{span}: these are fractions, not pixels", "set decoder.normalised to true")
    side = max(manifest.input.width, manifest.input.height)
    if not fractions and largest < LEAST_PIXELS * side:
        return fail(
            "boxes",
            f"{span} pixels in an input of {side}: these look like offsets from a grid",
            "export with the boxes decoded in the network (YOLOX: --decode_in_inference)",
        )
    return ok("boxes", f"{span} {'of the input' if fractions else 'pixels'}")
