"""Which decoder a network's outputs look like, whatever its manifest says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fleet_agent.manifest import CenterDecoder, Decoder, DetrDecoder, YoloDecoder
from fleet_agent.model_check.queries import HEADS, HOW_TO_TELL, SHOWN, Head, head_of

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
        others: Decoders that the same shapes fit; the first guess is no better than what `decide` says.
        decide: How to tell which of them it is; empty where there is one.
    """

    sentence: str
    classes: int
    decoder: Decoder | None
    remedy: str = ""
    others: tuple[Decoder, ...] = ()
    decide: str = ""

    @staticmethod
    def written(decoder: Decoder) -> str:
        """Return a decoder as it stands in a manifest."""
        return msgspec.json.encode(decoder).decode()


def shown(array: NDArray[Any]) -> str:
    """Return a shape as people write it."""
    return " x ".join(map(str, array.shape)) or "a single number"


def guess(
    outputs: Arrays, classes: int | None, size: tuple[int, int], empty: Sequence[Arrays] = ()
) -> Guess | None:
    """Guess the layout of outputs.

    Args:
        outputs: Of one run, all of them.
        classes: How many the manifest lists; decides where a shape has two readings.
        size: Width and height of the input in pixels.
        empty: Outputs of pictures without items, which tell what no shape tells.

    Returns:
        None when they look like nothing that is known.
    """
    maps = {name: array for name, array in outputs.items() if array.ndim == 4}
    rows = {name: array for name, array in outputs.items() if array.ndim == 3}
    return (
        _center(maps, size)
        or _detr(rows, classes, empty)
        or _segmentation(maps, rows, classes)
        or _yolo(rows, classes)
    )


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


def _detr(rows: Arrays, classes: int | None, empty: Sequence[Arrays]) -> Guess | None:
    for boxes_name, boxes in _boxes_first(rows):
        for name, logits in rows.items():
            if name == boxes_name or boxes.shape[2] != 4 or logits.shape[:2] != boxes.shape[:2]:
                continue
            plain = DetrDecoder(score_threshold=0.3, max_detections=50, logits=name, boxes=boxes_name)
            what = f"outputs {name!r} ({shown(logits)}) and {boxes_name!r} ({shown(boxes)}): that is DETR of"
            head = head_of([answers[name] for answers in empty if answers[name].ndim == 3])
            return _queries(f"{what} {logits.shape[1]} queries", logits.shape[2], classes, plain, head)
    return None


def _queries(what: str, logits: int, classes: int | None, plain: DetrDecoder, head: Head | None) -> Guess:
    if logits == classes:
        return Guess(f"{what} and {logits} classes, a sigmoid for each class", logits, plain)
    readings: dict[Head, Decoder] = {
        kind: msgspec.structs.replace(plain, background=True, activation=kind) for kind in HEADS
    }
    decide = f"{SHOWN[head]}; {HOW_TO_TELL}" if head else f"it cannot be seen which: {HOW_TO_TELL}"
    if logits - 1 == classes or head == "softmax":
        first = readings.pop(head or "sigmoid")
        what = f"{what} and {logits - 1} classes, and one logit more"
        return Guess(what, logits - 1, first, others=tuple(readings.values()), decide=decide)
    return Guess(
        f"{what} and {logits} classes, a sigmoid for each class, or {logits - 1} and one logit more",
        logits,
        plain,
        others=tuple(readings.values()),
        decide=f"the last two are for {logits - 1} classes; {decide}",
    )


def _segmentation(maps: Arrays, rows: Arrays, classes: int | None) -> Guess | None:
    """Recognise anchors that have coefficients of masks beside their classes."""
    for prototypes in maps.values():
        masks = prototypes.shape[1]
        for name, array in rows.items():
            if classes is not None and min(array.shape[1:]) in {4 + classes + masks, 5 + classes + masks}:
                return Guess(
                    f"output {name!r} is {shown(array)}: that is YOLO with {classes} classes and {masks} mask"
                    " coefficients, a segmentation model",
                    classes,
                    None,
                    "export the detection model of the family: masks are not decoded",
                )
    return None


def _yolo(rows: Arrays, classes: int | None) -> Guess | None:
    for name, array in rows.items():
        _, first, last = array.shape
        wanted = () if classes is None else (4 + classes, 5 + classes)
        if last == 6 and (6 not in wanted or _is_chosen(array)):
            return _with_nms(name, array)
        channels_first = first in wanted or (last not in wanted and first < last)
        channels = first if channels_first else last
        if channels > 4:
            return _anchors(name, array, channels_first=channels_first, classes=classes)
    return None


def _is_chosen(array: NDArray[Any]) -> bool:
    """Whether rows of six are x0 y0 x1 y1 score class, and not a box with two scores."""
    x0, y0, x1, y1, _, item = np.moveaxis(array, 2, 0)
    return bool(array.size and (item == np.rint(item)).all() and (x1 >= x0).all() and (y1 >= y0).all())


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
