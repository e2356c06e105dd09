"""A folder of images as a camera."""

from pathlib import Path

import cv2
import numpy as np

from fleet_agent.cameras.pacing import Pacer
from fleet_agent.config import CameraConfig
from fleet_agent.errors import CameraOpenError, EndOfStreamError, FrameDecodeError
from fleet_agent.perception import Frame
from fleet_agent.ports import Clock

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})


class FolderCamera:
    """Plays the images of a folder in order of their names.

    Args:
        config: `source` is the folder; `fps` the speed; `loop` plays it again.
        clock: Time.
    """

    def __init__(self, config: CameraConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._pacer = Pacer(config.fps, clock)
        self._paths: list[Path] = []
        self._next = 0

    @property
    def name(self) -> str:
        """Name of the camera."""
        return self._config.name

    def open(self) -> None:
        """List the folder.

        Raises:
            CameraOpenError: there is no such folder, or no image in it.
        """
        folder = Path(self._config.source)
        if not folder.is_dir():
            raise CameraOpenError(self.name, f"there is no folder {folder}")
        self._paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        if not self._paths:
            raise CameraOpenError(self.name, f"{folder} holds no image ({', '.join(sorted(SUFFIXES))})")
        self._next = 0
        self._pacer = Pacer(self._config.fps, self._clock)

    def read(self, timeout_s: float) -> Frame | None:
        """Wait for the next image.

        Raises:
            EndOfStreamError: that was the last one.
            FrameDecodeError: this file is no image.
        """
        if self._next >= len(self._paths):
            raise EndOfStreamError(self.name, "the folder is played")
        if not self._pacer.wait(timeout_s):
            return None
        path = self._paths[self._next]
        self._next += 1
        if self._config.loop:
            self._next %= len(self._paths)
        captured_s = self._clock.monotonic_s()
        pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if pixels is None:
            raise FrameDecodeError(self.name, f"{path.name} is not an image that OpenCV can read")
        return Frame(self.name, np.asarray(pixels, dtype=np.uint8), captured_s)

    def close(self) -> None:
        """Nothing is held open."""
        self._paths = []
