"""Frames to the network's input: letterboxed and normalised into one buffer that is used again."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fleet_agent.manifest import InputSpec
from fleet_agent.perception import Pixels, Tensor


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where a frame lies in the network's input, as fractions of the input.

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


class Preprocessor:
    """Fills the network's input. One thread owns it.

    Args:
        spec: What the network wants.
        batch: The network's input, float32 B x 3 x height x width: written into.
    """

    def __init__(self, spec: InputSpec, batch: Tensor) -> None:
        self._spec = spec
        slots = len(batch)
        self._canvas: Pixels = np.full((slots, spec.height, spec.width, 3), spec.pad, np.uint8)
        self._batch = batch
        # pixel * scale, minus mean, divided by std, folded into one factor and one offset.
        std = np.asarray(spec.std, np.float32)
        self._factor = (np.float32(spec.scale) / std).reshape(1, 3, 1, 1)
        self._offset = (-np.asarray(spec.mean, np.float32) / std).reshape(1, 3, 1, 1)

    def fill(self, frames: Sequence[Pixels]) -> list[Letterbox]:
        """Write frames into the network's input.

        Args:
            frames: uint8 height x width x 3, blue first; 1 to B of any sizes.

        Returns:
            Where each frame lies in the input.
        """
        boxes = [self._place(ix, pixels) for ix, pixels in enumerate(frames)]
        canvas: NDArray[np.uint8] = self._canvas[: len(frames)]
        if self._spec.color == "RGB":
            canvas = canvas[..., ::-1]
        batch = self._batch[: len(frames)]
        np.multiply(canvas.transpose(0, 3, 1, 2), self._factor, out=batch)
        batch += self._offset
        return boxes

    def _place(self, ix: int, pixels: Pixels) -> Letterbox:
        spec = self._spec
        height, width = pixels.shape[:2]
        if not spec.letterbox:
            cv2.resize(pixels, (spec.width, spec.height), dst=self._canvas[ix])
            return Letterbox(0.0, 0.0, 1.0, 1.0)
        scale = min(spec.width / width, spec.height / height)
        w, h = max(1, round(width * scale)), max(1, round(height * scale))
        x, y = (spec.width - w) // 2, (spec.height - h) // 2
        canvas = self._canvas[ix]
        canvas[:y], canvas[y + h :] = spec.pad, spec.pad
        canvas[:, :x], canvas[:, x + w :] = spec.pad, spec.pad
        # Shrinking by area keeps fine print from turning into noise; it is no slower at this size.
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        canvas[y : y + h, x : x + w] = cv2.resize(pixels, (w, h), interpolation=method)
        return Letterbox(x / spec.width, y / spec.height, w / spec.width, h / spec.height)
