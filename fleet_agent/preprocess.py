"""Frames to the network's input: letterboxed and normalised straight into the engine's own memory.

Of what OpenCV and NumPy offer the fastest was kept (`benchmarks/preprocess.py`): OpenCV shrinks and takes the
colours apart, NumPy turns bytes into floats. Only the frame's own part of the input is written; what is
beside it is padded once, and again only when a camera changes its resolution.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fleet_agent.errors import EngineError
from fleet_agent.letterbox import Letterbox, Placement, place
from fleet_agent.manifest import InputSpec
from fleet_agent.perception import Pixels, Tensor


def is_picture(pixels: NDArray[np.uint8]) -> bool:
    """Return whether an array is a picture that `Preprocessor` takes: bytes, colour, at least one pixel."""
    return pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.size > 0


class Preprocessor:
    """Fills the network's input. One thread owns it, and nobody else writes into the input.

    Args:
        spec: What the network wants.
        batch: The network's input, float32 B x 3 x height x width: written into.
    """

    def __init__(self, spec: InputSpec, batch: Tensor) -> None:
        self._rows = [_Row(spec, row) for row in batch]

    @property
    def slots(self) -> int:
        """How many frames fit."""
        return len(self._rows)

    def fill(self, frames: Sequence[Pixels]) -> list[Letterbox]:
        """Write frames into the first rows of the network's input, and the pad colour into the others.

        Args:
            frames: uint8 height x width x 3, blue first; at most B, of any sizes.

        Returns:
            Where each frame lies in the input.

        Raises:
            EngineError: there are more frames than rows.
        """
        if len(frames) > len(self._rows):
            raise EngineError(f"{len(frames)} frames for an input of {len(self._rows)} rows")
        for row in self._rows[len(frames) :]:
            row.clear()
        return [row.write(pixels) for row, pixels in zip(self._rows, frames, strict=False)]


@dataclass(frozen=True, slots=True)
class Resizing:
    """One resizing into memory that is used again.

    Attributes:
        into: uint8, height x width x 3; what `run` returns, until it runs again.
        method: OpenCV's interpolation.
    """

    into: Pixels
    method: int

    def run(self, pixels: Pixels) -> Pixels:
        """Resize a picture."""
        height, width = self.into.shape[:2]
        cv2.resize(pixels, (width, height), dst=self.into, interpolation=self.method)
        return self.into


@dataclass(frozen=True, slots=True)
class _Way:
    """How frames of one size come into a row.

    Attributes:
        size: Height and width of the frames.
        steps: Resizings; none where the size is right already.
        planes: 3 x h x w bytes, in the network's order of colours.
        split: The same planes, blue first.
        region: Where in the row they go, 3 x h x w.
        letterbox: The same for the decoder.
    """

    size: tuple[int, int]
    steps: tuple[Resizing, ...]
    planes: Pixels
    split: list[Pixels]
    region: Tensor
    letterbox: Letterbox


class _Row:
    """One frame's part of the input."""

    def __init__(self, spec: InputSpec, row: Tensor) -> None:
        self._spec = spec
        self._row = row
        # pixel * scale, minus mean, divided by std, folded into one factor and one offset.
        std = np.asarray(spec.std)
        self._factor = (spec.scale / std).astype(np.float32).reshape(3, 1, 1)
        self._offset = (-np.asarray(spec.mean) / std).astype(np.float32).reshape(3, 1, 1)
        self._shifted = bool(self._offset.any())
        self._way: _Way | None = None
        self._pad()

    def _pad(self) -> None:
        self._row[:] = np.float32(self._spec.pad) * self._factor + self._offset

    def clear(self) -> None:
        """Have the pad colour everywhere: there is no frame for this row."""
        if self._way is not None:
            self._way = None
            self._pad()

    def write(self, pixels: Pixels) -> Letterbox:
        """Have a frame in its place and the pad colour beside it."""
        way = self._way
        if way is None or way.size != pixels.shape[:2]:
            self.clear()
            way = self._way = self._way_of(pixels)
        for step in way.steps:
            pixels = step.run(pixels)
        cv2.split(pixels, way.split)
        np.multiply(way.planes, self._factor, out=way.region)
        if self._shifted:
            np.add(way.region, self._offset, out=way.region)
        return way.letterbox

    def _way_of(self, pixels: Pixels) -> _Way:
        height, width = pixels.shape[:2]
        placed = place(self._spec, width, height)
        planes = np.empty((3, placed.height, placed.width), np.uint8)
        blue_first = planes[::-1] if self._spec.color == "RGB" else planes
        region = self._row[:, placed.y : placed.y + placed.height, placed.x : placed.x + placed.width]
        steps = resizings(width, height, placed)
        return _Way((height, width), steps, planes, list(blue_first), region, placed.letterbox)


def resizings(width: int, height: int, placed: Placement) -> tuple[Resizing, ...]:
    """Return the resizings from a frame's size to its place in the input."""
    steps: list[Resizing] = []
    # Halving again and again is four times as fast as OpenCV's mean over larger areas. Where the target
    # divides the half, the end is the same mean, but for roundings of a grey level.
    while width % (4 * placed.width) == 0 and height % (4 * placed.height) == 0:
        width, height = width // 2, height // 2
        steps.append(_resizing(width, height, cv2.INTER_AREA))
    if (width, height) != (placed.width, placed.height):
        # Shrinking by area keeps fine print from turning into noise.
        shrinks = width >= placed.width and height >= placed.height
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        steps.append(_resizing(placed.width, placed.height, method))
    return tuple(steps)


def _resizing(width: int, height: int, method: int) -> Resizing:
    return Resizing(np.empty((height, width, 3), np.uint8), method)
