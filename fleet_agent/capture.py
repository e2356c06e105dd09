"""One thread per camera: opens it, reads it, opens it again when it is lost."""

import random
import threading
from collections.abc import Callable

import structlog

from fleet_agent.config import CaptureConfig
from fleet_agent.errors import CameraError, CameraLostError, EndOfStreamError, FrameDecodeError
from fleet_agent.health.camera_watch import CameraWatch
from fleet_agent.perception import Frame
from fleet_agent.ports import CameraSource, Clock
from fleet_agent.preprocess import is_picture
from fleet_agent.quality import Quality, measure
from fleet_agent.telemetry import Telemetry

log = structlog.get_logger()

# How often a thread that waits for a frame looks whether it should stop. Shorter wakes idle carts
# for nothing; longer delays a clean stop.
READ_TIMEOUT_S = 1.0
# So many unreadable frames in a row are a lost camera.
MAX_DAMAGED_FRAMES = 50


class Backoff:
    """Waits that double, with jitter, until something worked.

    Args:
        low_s: First wait.
        high_s: Longest.
        rng: Jitter.
    """

    def __init__(self, low_s: float, high_s: float, rng: random.Random) -> None:
        self._low_s = low_s
        self._high_s = high_s
        self._rng = rng
        self._failures = 0

    def next_s(self) -> float:
        """Return the next wait."""
        self._failures += 1
        ceiling: float = min(self._high_s, self._low_s * 2.0 ** min(self._failures - 1, 20))
        return self._rng.uniform(ceiling / 2, ceiling)

    def reset(self) -> None:
        """Begin with the first wait again."""
        self._failures = 0


class CaptureLoop:
    """What a camera's thread does.

    Frames of a frozen or black camera are no evidence of anything: they are counted as `drop_frozen` and
    `drop_black`, and go no further.

    Args:
        source: The camera.
        config: Rates and waits.
        watch: Judges the camera's condition.
        silent_after_s: A camera without a frame for this long is lost.
        telemetry: Counts frames, drops, reconnects, looks.
        clock: Time.
        deliver: Takes each good frame.
        stopping: Ends the loop.
    """

    def __init__(
        self,
        source: CameraSource,
        config: CaptureConfig,
        *,
        watch: CameraWatch,
        silent_after_s: float,
        telemetry: Telemetry,
        clock: Clock,
        deliver: Callable[[Frame], None],
        stopping: threading.Event,
    ) -> None:
        self._source = source
        self._config = config
        self._watch = watch
        self._silent_after_s = silent_after_s
        self._telemetry = telemetry
        self._clock = clock
        self._deliver = deliver
        self._stopping = stopping
        self._quality_due_s = 0.0
        rng = random.Random()  # noqa: S311  # jitter is no secret
        self._backoff = Backoff(config.reconnect_min_s, config.reconnect_max_s, rng)

    def run(self) -> None:
        """Deliver frames until the stop or the end of a recording."""
        camera = self._source.name
        connections = 0
        while not self._stopping.is_set():
            try:
                self._source.open()
                if connections:
                    self._telemetry.count("reconnects", camera=camera)
                connections += 1
                self._read()
            except EndOfStreamError as error:
                log.info("camera is played to its end", camera=camera, why=str(error))
                self._watch.ended()
                return
            except CameraError as error:
                log.warning("camera does not deliver", camera=camera, why=str(error))
                self._lost(str(error))
            except (
                Exception
            ) as error:  # a source that a program injected may raise anything; the cart goes on
                log.exception("camera failed", camera=camera)
                self._lost(type(error).__name__)
            finally:
                self._close()
            self._stopping.wait(self._backoff.next_s())

    def _lost(self, why: str) -> None:
        if not self._stopping.is_set():  # a loop that was told to end has no say about the camera
            self._watch.lost(why)

    def _close(self) -> None:
        try:
            self._source.close()
        except Exception:  # the camera is opened again all the same
            log.exception("camera does not close", camera=self._source.name)

    def _read(self) -> None:
        damaged = 0
        heard_s = self._clock.monotonic_s()
        while not self._stopping.is_set():
            try:
                frame = self._source.read(READ_TIMEOUT_S)
            except FrameDecodeError:
                frame = None
                damaged += 1
                self._telemetry.count("frames", camera=self._source.name)
                self._telemetry.count("drop_decode", camera=self._source.name)
                if damaged > MAX_DAMAGED_FRAMES:
                    raise CameraLostError(self._source.name, f"{damaged} damaged frames in a row") from None
            now_s = self._clock.monotonic_s()
            if frame is not None and self.accept(frame, now_s):
                damaged = 0
                heard_s = now_s
                self._backoff.reset()
            elif now_s - heard_s > self._silent_after_s:
                raise CameraLostError(self._source.name, f"no frame for {now_s - heard_s:.0f} s")

    def accept(self, frame: Frame, now_s: float) -> bool:
        """Count, judge and deliver a frame; False for one that is no picture."""
        self._telemetry.count("frames", camera=frame.camera)
        if not is_picture(frame.pixels):
            self._telemetry.count("drop_decode", camera=frame.camera)
            return False
        self._telemetry.time("capture", now_s - frame.captured_s)
        condition = self._watch.see(frame, self._look_at(frame))
        if condition.believable:
            self._deliver(frame)
        else:
            self._telemetry.count(f"drop_{condition.name.lower()}", camera=frame.camera)
        return True

    def _look_at(self, frame: Frame) -> Quality | None:
        """Measure some frames a second."""
        if frame.captured_s < self._quality_due_s:
            return None
        self._quality_due_s = frame.captured_s + 0.9 / self._config.quality_fps
        quality = measure(frame.pixels)
        self._telemetry.quality(frame.camera, quality)
        return quality
