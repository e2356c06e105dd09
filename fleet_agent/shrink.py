"""Frames at the size that the network looks at: all that is kept of them.

A cart keeps the frames of the seconds around a weight change. At 640 x 480 those of four cameras would
take 155 MB, at 160 x 120 they take 10 MB, and the network sees the same: they go through the same
resizings that `preprocess` would do later. The capture thread does it, so that it is done before a
decision waits for it.
"""

from fleet_agent.letterbox import place
from fleet_agent.manifest import InputSpec
from fleet_agent.perception import Frame
from fleet_agent.preprocess import Resizing, resizings


class Shrinker:
    """Shrinks one camera's frames. One thread owns it.

    Args:
        spec: Of the network's input.
    """

    def __init__(self, spec: InputSpec) -> None:
        self._spec = spec
        self._size: tuple[int, ...] = ()
        self._steps: tuple[Resizing, ...] = ()

    def shrunk(self, frame: Frame) -> Frame:
        """Return a frame as large as its place in the input; smaller ones as they are."""
        if frame.pixels.shape != self._size:
            self._prepare(frame.pixels.shape)
        if not self._steps:
            return frame
        pixels = frame.pixels
        *first, last = self._steps
        for step in first:
            pixels = step.run(pixels)
        # The steps' memory is used again; a frame is never written again.
        return Frame(frame.camera, last.fresh(pixels), frame.captured_s)

    def _prepare(self, size: tuple[int, ...]) -> None:
        height, width = size[:2]
        placed = place(self._spec, width, height)
        shrinks = width >= placed.width and height >= placed.height
        self._size = size
        self._steps = resizings(width, height, placed) if shrinks else ()
