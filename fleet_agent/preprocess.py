"""Frames to the network's input: letterboxed and normalised straight into the engine's own memory.

Of what OpenCV and NumPy offer the fastest was kept (`benchmarks/preprocess.py`): OpenCV shrinks and takes the
colours apart, NumPy turns bytes into floats. Only the part of the input in which frames lie is written; what
is beside it is padded once, and again only when a camera changes its resolution.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fleet_agent.errors import EngineError
from fleet_agent.letterbox import WHOLE, Letterbox, Placement, place
from fleet_agent.manifest import InputSpec
from fleet_agent.perception import Pixels, Tensor


def is_picture(pixels: NDArray[np.uint8]) -> bool:
    """Return whether an array is a picture that `Preprocessor` takes: bytes, colour, at least one pixel."""
    return pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.size > 0


class Preprocessor:
    """Fills the network's input. One thread owns it, and nobody else writes into the input.

    Frames are laid out as bytes first, all of them, and turned into numbers together: between two inferences
    the caches are empty, and a call that does four frames costs little more than one that does one.

    Args:
        spec: What the network wants.
        batch: The network's input, float32 B x 3 x height x width: written into.
    """

    def __init__(self, spec: InputSpec, batch: Tensor) -> None:
        self._batch = batch
        self._bytes = np.full(batch.shape, spec.pad, np.uint8)
        self._rows = [_Row(spec, planes) for planes in self._bytes]
        # pixel * scale, minus mean, divided by std, folded into one factor and one offset.
        std = np.asarray(spec.std)
        self._factor = (spec.scale / std).astype(np.float32).reshape(3, 1, 1)
        self._offset = (-np.asarray(spec.mean) / std).astype(np.float32).reshape(3, 1, 1)
        self._shifted = bool(self._offset.any())
        self._normalise(self._bytes, batch)
        self._part = _part_of(self._rows)

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
        count = len(frames)
        if count > len(self._rows):
            raise EngineError(f"{count} frames for an input of {len(self._rows)} rows")
        moved = [row.clear() for row in self._rows[count:]]
        moved += [row.write(pixels) for row, pixels in zip(self._rows, frames, strict=False)]
        if any(moved):
            self._part = _part_of(self._rows)
            self._normalise(self._bytes, self._batch)
        elif count:
            part = (slice(count), slice(None), *self._part)
            self._normalise(self._bytes[part], self._batch[part])
        return [row.letterbox for row in self._rows[:count]]

    def _normalise(self, planes: Pixels, into: Tensor) -> None:
        # Copying first and multiplying in place is faster than a product of bytes and floats.
        np.copyto(into, planes)
        np.multiply(into, self._factor, out=into)
        if self._shifted:
            np.add(into, self._offset, out=into)


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
        cv2.resize(pixels, self._size, dst=self.into, interpolation=self.method)
        return self.into

    def fresh(self, pixels: Pixels) -> Pixels:
        """Resize a picture into memory of its own."""
        return np.asarray(cv2.resize(pixels, self._size, interpolation=self.method), np.uint8)

    @property
    def _size(self) -> tuple[int, int]:
        height, width = self.into.shape[:2]
        return width, height


@dataclass(frozen=True, slots=True)
class _Way:
    """How frames of one size come into a row.

    Attributes:
        size: Height and width of the frames.
        steps: Resizings; none where the size is right already.
        planes: The row's bytes where the frame goes, one h x w array a colour, blue first.
        placed: Where that is.
    """

    size: tuple[int, int]
    steps: tuple[Resizing, ...]
    planes: list[Pixels]
    placed: Placement


class _Row:
    """One frame's part of the input, as bytes.

    Args:
        spec: What the network wants.
        planes: uint8 3 x height x width, of the pad colour: written into.
    """

    def __init__(self, spec: InputSpec, planes: Pixels) -> None:
        self._spec = spec
        self._planes = planes
        self._way: _Way | None = None

    @property
    def placed(self) -> Placement | None:
        """Where the frame lies; None: there is none."""
        return None if self._way is None else self._way.placed

    @property
    def letterbox(self) -> Letterbox:
        """The same for the decoder."""
        return WHOLE if self._way is None else self._way.placed.letterbox

    def clear(self) -> bool:
        """Have the pad colour everywhere; tells whether there was a frame."""
        if self._way is None:
            return False
        self._way = None
        self._planes[:] = self._spec.pad
        return True

    def write(self, pixels: Pixels) -> bool:
        """Have a frame in its place; tells whether the place is a new one."""
        way, moved = self._way, False
        if way is None or way.size != pixels.shape[:2]:
            self.clear()
            way, moved = self._way_of(pixels), True
            self._way = way
        for step in way.steps:
            pixels = step.run(pixels)
        cv2.split(pixels, way.planes)
        return moved

    def _way_of(self, pixels: Pixels) -> _Way:
        height, width = pixels.shape[:2]
        placed = place(self._spec, width, height)
        region = self._planes[:, placed.y : placed.y + placed.height, placed.x : placed.x + placed.width]
        blue_first = region[::-1] if self._spec.color == "RGB" else region
        return _Way((height, width), resizings(width, height, placed), list(blue_first), placed)


def _part_of(rows: Sequence[_Row]) -> tuple[slice, slice]:
    """Return the lines and columns of the input in which frames lie: what is beside them is always padded."""
    placed = [row.placed for row in rows if row.placed is not None]
    if not placed:
        return slice(0), slice(0)
    lines = slice(min(at.y for at in placed), max(at.y + at.height for at in placed))
    return lines, slice(min(at.x for at in placed), max(at.x + at.width for at in placed))


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
