"""Which decoder a network's outputs look like, whatever its manifest says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fleet_agent.manifest import CenterDecoder, Decoder, DetrDecoder, YoloDecoder

Arrays = Mapping[str, NDArray[Any]]

# Boxes up to this are fractions: they may lie a little beyond the input. Pixels of a trained network's
# boxes are far above.
LARGEST_FRACTION = 2.0
# Scores this far outside 0..1 are logits and not roundings of half precision.
ROUNDING = 0.01


@dataclass(frozen=True, slots=True)
class Guess:
    """What outputs look like.

    Attributes:
        sentence: The same for people.
        classes: How many the network knows, if the guess is right.
        decoder: For the manifest; None for a layout that is not decoded.
        remedy: What to do about a layout that is not decoded.
    """

    sentence: str
    classes: int
    decoder: Decoder | None
    remedy: str = ""

    @property
    def setting(self) -> str:
        """The decoder as it stands in a manifest."""
        return msgspec.json.encode(self.decoder).decode()


def shown(array: NDArray[Any]) -> str:
    """Return a shape as people write it."""
    return " x ".join(map(str, array.shape)) or "a single number"


def guess(outputs: Arrays, classes: int | None, size: tuple[int, int]) -> Guess | None:
    """Guess the layout of outputs.

    Args:
        outputs: Of one run, all of them.
        classes: How many the manifest lists; decides where a shape has two readings.
        size: Width and height of the input in pixels.

    Returns:
        None when they look like nothing that is known.
    """
    maps = {name: array for name, array in outputs.items() if array.ndim == 4}
    rows = {name: array for name, array in outputs.items() if array.ndim == 3}
    return _center(maps, size) or _detr(rows, classes) or _yolo(rows, classes)


def _boxes_first(outputs: Arrays) -> list[tuple[str, NDArray[Any]]]:
    """Return outputs in the order in which they look like boxes: with four classes, scores look so, too."""
    return sorted(
        outputs.items(), key=lambda named: ("box" in named[0].lower(), shares(named[1])), reverse=True
    )


def _center(maps: Arrays, size: tuple[int, int]) -> Guess | None:
    for boxes_name, boxes in _boxes_first(maps):
        for name, scores in maps.items():
            alike = name != boxes_name and scores.shape[2:] == boxes.shape[2:]
            if not alike or boxes.shape[1] != 4:
                continue
            stride = max(1, round(size[0] / max(1, scores.shape[3])))
            return Guess(
                f"outputs {name!r} ({shown(scores)}) and {boxes_name!r} ({shown(boxes)}):"
                f" that is center with {scores.shape[1]} classes",
                scores.shape[1],
                CenterDecoder(
                    score_threshold=0.3,
                    max_detections=8,
                    stride=min(stride, 128),
                    scores=name,
                    boxes=boxes_name,
                ),
            )
    return None


def _detr(rows: Arrays, classes: int | None) -> Guess | None:
    for boxes_name, boxes in _boxes_first(rows):
        for name, logits in rows.items():
            if name == boxes_name or boxes.shape[2] != 4 or logits.shape[:2] != boxes.shape[:2]:
                continue
            background = classes is not None and logits.shape[2] == classes + 1
            known = logits.shape[2] - background
            kind = 'softmax with "no object"' if background else "a sigmoid for each class"
            return Guess(
                f"outputs {name!r} ({shown(logits)}) and {boxes_name!r} ({shown(boxes)}):"
                f" that is DETR of {logits.shape[1]} queries and {known} classes, {kind}",
                known,
                DetrDecoder(
                    score_threshold=0.3,
                    max_detections=50,
                    logits=name,
                    boxes=boxes_name,
                    background=background,
                ),
            )
    return None


def _yolo(rows: Arrays, classes: int | None) -> Guess | None:
    for name, array in rows.items():
        _, first, last = array.shape
        wanted = () if classes is None else (4 + classes, 5 + classes)
        if last == 6 and 6 not in wanted:
            return _with_nms(name, array)
        channels_first = first in wanted or (last not in wanted and first < last)
        channels = first if channels_first else last
        if channels > 4:
            return _anchors(name, array, channels_first=channels_first, classes=classes)
    return None


def _with_nms(name: str, array: NDArray[Any]) -> Guess:
    return Guess(
        f"output {name!r} is {shown(array)}: that is corners, score and class of boxes that are chosen"
        " in the network already",
        0,
        None,
        "export it without NMS (Ultralytics: nms=False, and end2end=False where the head has it):"
        " the agent suppresses overlaps itself",
    )


def _anchors(name: str, array: NDArray[Any], *, channels_first: bool, classes: int | None) -> Guess:
    by_channel = array if channels_first else array.transpose(0, 2, 1)
    channels = by_channel.shape[1]
    objectness = classes is not None and channels == 5 + classes
    known = channels - 4 - objectness
    boxes, scores = by_channel[:, :4], by_channel[:, 4:]
    decoder = YoloDecoder(
        score_threshold=0.3,
        max_detections=50,
        output=name,
        channels_first=channels_first,
        objectness=objectness,
        normalised=bool(np.abs(boxes).max(initial=0.0) <= LARGEST_FRACTION),
        activated=shares(scores),
    )
    layout = "channels_first" if channels_first else "channels_last"
    other = f", or {known - 1} with objectness" if classes is None and known > 1 else ""
    return Guess(
        f"output {name!r} is {shown(array)}: that is YOLO {layout} with {known} classes"
        f"{' and objectness' if objectness else ''}{other}",
        known,
        decoder,
    )


def shares(scores: NDArray[Any]) -> bool:
    """Return whether scores are within 0..1, as after a sigmoid."""
    return bool(scores.min(initial=0.0) >= -ROUNDING and scores.max(initial=0.0) <= 1 + ROUNDING)
