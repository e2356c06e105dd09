"""The network's outputs to detections: one entry for the three kinds of decoder a manifest may name."""

from collections.abc import Mapping, Sequence

from fleet_agent.decoding.center import decode_center
from fleet_agent.decoding.detections import Found, detections_of
from fleet_agent.decoding.detr import decode_detr
from fleet_agent.decoding.nms import suppress
from fleet_agent.decoding.yolo import decode_yolo
from fleet_agent.letterbox import Letterbox
from fleet_agent.manifest import CenterDecoder, DetrDecoder, ModelManifest
from fleet_agent.perception import Detection, Tensor

__all__ = ["decode", "suppress"]


def decode(
    outputs: Mapping[str, Tensor], manifest: ModelManifest, letterboxes: Sequence[Letterbox]
) -> list[list[Detection]]:
    """Return the detections of each frame, the surest first.

    Scores and boxes that are not finite, and boxes beside the frame, never become detections.

    Args:
        outputs: Of the engine, by name; rows beyond the frames are not read.
        manifest: Of the model: its decoder, its classes, the size of its input.
        letterboxes: Where each frame lies in the input; their number is that of the frames.

    Raises:
        EngineError: an output is missing or not of the agreed shape.
    """
    return detections_of(_find(outputs, manifest, letterboxes), len(letterboxes))


def _find(
    outputs: Mapping[str, Tensor], manifest: ModelManifest, letterboxes: Sequence[Letterbox]
) -> Found | None:
    spec, classes = manifest.decoder, len(manifest.classes)
    if isinstance(spec, CenterDecoder):
        return decode_center(outputs, spec, classes, letterboxes)
    if isinstance(spec, DetrDecoder):
        return decode_detr(outputs, spec, classes, letterboxes)
    size = (manifest.input.width, manifest.input.height)
    return decode_yolo(outputs, spec, classes, size, letterboxes)
