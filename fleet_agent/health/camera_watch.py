"""One camera's condition over its whole life: counted, logged and shown once when it changes."""

import math

import structlog

from fleet_agent.config import HealthConfig
from fleet_agent.health.camera import CameraState, Condition, Limits, Sampler, step
from fleet_agent.health.pace import Standing
from fleet_agent.perception import Frame
from fleet_agent.quality import Quality
from fleet_agent.telemetry import Telemetry

log = structlog.get_logger()

# A camera is judged at most this often: what it is like lasts for seconds, and decisions wait for frames.
# Seldomer, and a fault is named late; more often, and each frame of a fast camera pays for it.
JUDGED_EVERY_S = 0.5


def camera_limits(config: HealthConfig) -> Limits:
    """Return when a picture is bad, as configured."""
    return Limits(
        frozen_after_s=config.frozen_after_s,
        black_below=config.black_below,
        dark_below=config.dark_below,
        overexposed_share=config.overexposed_share,
        blurred_below=config.blurred_below,
    )


class CameraWatch:
    """Names what a camera is like. Its capture thread tells it; anybody may read.

    Telemetry, all per camera: counters `frozen`, `black`, `dark`, `overexposed`, `blurred` and
    `camera_lost` (how often that began), `frames_frozen` and so on (frames in that condition),
    `resolution_changed`; gauge `camera_bad`, the number of the `Condition`, 0 while it is well.

    Args:
        camera: Its name.
        limits: When a picture is bad.
        telemetry: Counts.
    """

    def __init__(self, camera: str, limits: Limits, telemetry: Telemetry) -> None:
        self._camera = camera
        self._limits = limits
        self._telemetry = telemetry
        self._sampler = Sampler()
        self._state = CameraState()
        self._condition = Condition.OK
        self._size: tuple[int, ...] | None = None
        self._sharpness = 0.0
        self._judged_s = -math.inf
        self._delivers = False

    @property
    def condition(self) -> Condition:
        """What the camera is like now."""
        return self._condition

    @property
    def delivers(self) -> bool:
        """Whether frames come that are worth looking at."""
        return self._delivers and self._condition.believable

    @property
    def standing(self) -> Standing:
        """What choosing the best cameras needs."""
        return Standing(self._condition, self._sharpness)

    def see(self, frame: Frame, quality: Quality | None) -> Condition:
        """Take a frame, with its quality if it was measured; return the camera's condition.

        A frame is judged if its quality was measured or none was for half a second.
        """
        self._note_size(frame.pixels.shape)
        if quality is not None or not 0.0 <= frame.captured_s - self._judged_s < JUDGED_EVERY_S:
            self._judge(frame, quality)
        self._delivers = True
        if self._condition is not Condition.OK:
            self._telemetry.count(f"frames_{self._condition.name.lower()}", camera=self._camera)
        return self._condition

    def _judge(self, frame: Frame, quality: Quality | None) -> None:
        self._judged_s = frame.captured_s
        sharpness = None if quality is None else quality.sharpness
        if sharpness is not None:
            self._sharpness = sharpness
        features = self._sampler.features(frame.pixels, frame.captured_s, sharpness)
        self._state = step(self._state, features, self._limits)
        self._become(self._state.condition)

    def lost(self, why: str) -> None:
        """Note that the camera does not deliver any more, or could not be opened."""
        self._delivers = False
        self._forget()
        self._become(Condition.LOST, why)

    def ended(self) -> None:
        """Note that a recording is over: that is no fault."""
        self._delivers = False
        self._forget()
        self._become(Condition.OK)

    def _forget(self) -> None:
        self._sampler.forget()
        self._state = CameraState()
        self._judged_s = -math.inf

    def _note_size(self, size: tuple[int, ...]) -> None:
        if self._size is not None and size != self._size:
            before = f"{self._size[1]} x {self._size[0]}"
            log.warning(
                "camera changed its resolution",
                camera=self._camera,
                before=before,
                now=f"{size[1]} x {size[0]}",
            )
            self._telemetry.count("resolution_changed", camera=self._camera)
        self._size = size

    def _become(self, condition: Condition, why: str = "") -> None:
        before, self._condition = self._condition, condition
        self._telemetry.gauge("camera_bad", float(condition), camera=self._camera)
        if condition is before:
            return
        if condition is Condition.OK:
            log.info("camera is well again", camera=self._camera, was=before.name.lower())
            return
        name = "camera_lost" if condition is Condition.LOST else condition.name.lower()
        self._telemetry.count(name, camera=self._camera)
        log.warning("camera is bad", camera=self._camera, condition=condition.name.lower(), why=why)
