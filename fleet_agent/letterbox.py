"""Where a frame lies in the network's input: from pixels of a frame to the input and back."""

from dataclasses import dataclass
from typing import NamedTuple

from fleet_agent.manifest import InputSpec


class Letterbox(NamedTuple):
    """Where a frame lies in the network's input, as fractions of the input.

    A tuple, because what follows from it is kept under it, and every batch looks that up.

    Attributes:
        x: Left edge.
        y: Top edge.
        width: Width of the frame's picture.
        height: Height of the frame's picture.
    """

    x: float
    y: float
    width: float
    height: float


WHOLE = Letterbox(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Placement:
    """The same in pixels of the input.

    Attributes:
        x: First column.
        y: First row.
        width: Columns.
        height: Rows.
        letterbox: As fractions.
    """

    x: int
    y: int
    width: int
    height: int
    letterbox: Letterbox


def place(spec: InputSpec, width: int, height: int) -> Placement:
    """Return where a frame of a size goes: as large as fits, in the middle, its shape kept.

    Without `letterbox` in the manifest it fills the input and is distorted.
    """
    if not spec.letterbox:
        return Placement(0, 0, spec.width, spec.height, WHOLE)
    scale = min(spec.width / width, spec.height / height)
    # A frame of one pixel's height still has a row.
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    x, y = (spec.width - w) // 2, (spec.height - h) // 2
    box = Letterbox(x / spec.width, y / spec.height, w / spec.width, h / spec.height)
    return Placement(x, y, w, h, box)
