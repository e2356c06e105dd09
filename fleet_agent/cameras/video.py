"""A recorded video as a camera."""

from pathlib import Path

import cv2
import numpy as np

from fleet_agent.cameras.pacing import Pacer
from fleet_agent.config import CameraConfig
from fleet_agent.errors import CameraOpenError, EndOfStreamError, FrameDecodeError
from fleet_agent.perception import Frame
from fleet_agent.ports import Clock

# Containers that do not say how fast they are played are played at this speed.
FALLBACK_FPS = 15.0


class VideoCamera:
    """Plays a video file in real time, or slower where the settings ask for fewer frames.

    Args:
        config: `source` is the file; `fps` limits the frames given; `loop` plays it again.
        clock: Time.
    """

    def __init__(self, config: CameraConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._capture: cv2.VideoCapture | None = None
        self._pacer = Pacer(config.fps, clock)
        self._skip = 0

    @property
    def name(self) -> str:
        """Name of the camera."""
        return self._config.name

    def open(self) -> None:
        """Open the file at its beginning.

        Raises:
            CameraOpenError: there is no such file, or it is no video.
        """
        path = Path(self._config.source)
        if not path.is_file():
            raise CameraOpenError(self.name, f"there is no file {path}")
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise CameraOpenError(self.name, f"{path} is not a video that OpenCV can read")
        own_fps = capture.get(cv2.CAP_PROP_FPS) or FALLBACK_FPS
        # Every so-manyth frame is given, so that the film still runs at the speed of life.
        self._skip = max(0, round(own_fps / self._config.fps) - 1)
        self._pacer = Pacer(own_fps / (self._skip + 1), self._clock)
        self._capture = capture

    def read(self, timeout_s: float) -> Frame | None:
        """Wait for the next frame.

        Raises:
            EndOfStreamError: the film is over.
            FrameDecodeError: this frame is damaged.
        """
        if not self._pacer.wait(timeout_s):
            return None
        if not self._advance():
            raise EndOfStreamError(self.name, "the video is over")
        captured_s = self._clock.monotonic_s()
        done, pixels = self._opened().retrieve()
        if not done or pixels is None:
            raise FrameDecodeError(self.name, "a frame of the video is damaged")
        return Frame(self.name, np.asarray(pixels, dtype=np.uint8), captured_s)

    def _advance(self) -> bool:
        if all(self._opened().grab() for _ in range(self._skip + 1)):
            return True
        if not self._config.loop:
            return False
        self.close()
        self.open()
        return bool(self._opened().grab())

    def _opened(self) -> cv2.VideoCapture:
        if self._capture is None:
            raise CameraOpenError(self.name, "it is not open")
        return self._capture

    def close(self) -> None:
        """Close the file."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None
