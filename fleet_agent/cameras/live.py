"""V4L2 devices and RTSP streams through OpenCV."""

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import cv2
import numpy as np

from fleet_agent.config import CameraConfig
from fleet_agent.errors import CameraLostError, CameraOpenError, FrameDecodeError
from fleet_agent.perception import Frame
from fleet_agent.ports import Clock

# Longest wait for a stream to open or to deliver; a camera that is silent longer is reconnected.
STREAM_TIMEOUT_MS = 5_000


class LiveCamera:
    """A camera that delivers at its own pace; frames above `fps` are taken off it but not decoded.

    The address that is opened may hold a password; no error and no log line shows it.

    Args:
        config: `source` is a device such as /dev/video0, or an rtsp:// address without user.
        clock: Time.
        environment: Where `password_env` is looked up.
    """

    def __init__(
        self, config: CameraConfig, clock: Clock, environment: Mapping[str, str] = os.environ
    ) -> None:
        self._config = config
        self._clock = clock
        self._environment = environment
        self._capture: cv2.VideoCapture | None = None
        self._due_s = 0.0

    @property
    def name(self) -> str:
        """Name of the camera."""
        return self._config.name

    def open(self) -> None:
        """Open the device or the stream.

        Raises:
            CameraOpenError: it is not there, or refuses.
        """
        # OpenCV's own messages would repeat the address.
        cv2.utils.logging.setLogLevel(0)
        if self._config.kind == "rtsp":
            self._capture = self._open_stream()
        else:
            self._capture = self._open_device()
        self._due_s = self._clock.monotonic_s()

    def _open_stream(self) -> cv2.VideoCapture:
        options = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            STREAM_TIMEOUT_MS,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            STREAM_TIMEOUT_MS,
        ]
        capture = cv2.VideoCapture(self._address(), cv2.CAP_FFMPEG, options)
        if not capture.isOpened():
            raise CameraOpenError(self.name, f"no stream at {self._config.source}")
        return capture

    def _open_device(self) -> cv2.VideoCapture:
        source = self._config.source
        if not source.isdigit() and not os.path.exists(source):  # noqa: PTH110  # a device, not a file
            raise CameraOpenError(self.name, f"there is no device {source}")
        device: Any = int(source) if source.isdigit() else source
        capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
        if not capture.isOpened():
            raise CameraOpenError(self.name, f"{source} does not open as a V4L2 camera; is it in use?")
        if self._config.width and self._config.height:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._config.width)
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._config.height)
        # One buffer: the newest frame, not one from a second ago.
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return capture

    def _address(self) -> str:
        if not self._config.password_env:
            return self._config.source
        secret = self._environment.get(self._config.password_env)
        if secret is None:
            raise CameraOpenError(self.name, f"variable {self._config.password_env} is not set")
        user, _, password = secret.partition(":")
        parts = urlsplit(self._config.source)
        place = f"{quote(user, safe='')}:{quote(password, safe='')}@{parts.netloc}"
        return urlunsplit(parts._replace(netloc=place))

    def read(self, timeout_s: float) -> Frame | None:
        """Take frames off the camera until one is due.

        Raises:
            CameraLostError: it stopped delivering.
            FrameDecodeError: this frame is damaged.
        """
        deadline_s = self._clock.monotonic_s() + timeout_s
        # A read that hangs in its driver and comes back late must not touch what was opened meanwhile.
        capture = self._capture
        while True:
            if capture is None or not capture.grab():
                raise CameraLostError(self.name, "it stopped delivering")
            captured_s = self._clock.monotonic_s()
            if captured_s >= self._due_s:
                break
            if captured_s >= deadline_s:
                return None
        self._due_s = max(self._due_s + 1.0 / self._config.fps, captured_s)
        done, pixels = capture.retrieve()
        if not done or pixels is None:
            raise FrameDecodeError(self.name, "a frame is damaged")
        return Frame(self.name, np.asarray(pixels, dtype=np.uint8), captured_s)

    def close(self) -> None:
        """Give the device back."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None
