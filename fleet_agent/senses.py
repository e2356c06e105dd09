"""From cameras and a scale to threads that are watched and can be replaced."""

import random
import threading
from collections.abc import Callable

from fleet_agent.capture import Backoff, CaptureLoop
from fleet_agent.config import CartConfig
from fleet_agent.health.camera_watch import CameraWatch
from fleet_agent.health.guard import GuardedCamera, GuardedScale
from fleet_agent.health.sense import Sense, Work
from fleet_agent.health.watch import Heartbeats
from fleet_agent.perception import Frame
from fleet_agent.ports import CameraSource, Clock, ScaleSource
from fleet_agent.scales.condition import ScaleLimits
from fleet_agent.settling import SettleLimits, WeightChange
from fleet_agent.telemetry import Telemetry
from fleet_agent.weighing import WeighingLoop


class SenseMaker:
    """Makes the threads of one cart's sources.

    Args:
        config: Of the cart.
        telemetry: Counts.
        clock: Time.
        beats: Heartbeats of the threads' calls.
    """

    def __init__(self, config: CartConfig, *, telemetry: Telemetry, clock: Clock, beats: Heartbeats) -> None:
        self._config = config
        self._telemetry = telemetry
        self._clock = clock
        self._beats = beats

    def camera(self, source: CameraSource, watch: CameraWatch, deliver: Callable[[Frame], None]) -> Sense:
        """Return the thread of a camera; its good frames are delivered."""

        def make(stopping: threading.Event) -> Work:
            guarded = GuardedCamera(source, self._beats, self._config.health.stuck_source_s)
            loop = CaptureLoop(
                guarded,
                self._config.capture,
                watch=watch,
                silent_after_s=self._config.health.silent_after_s,
                telemetry=self._telemetry,
                clock=self._clock,
                deliver=deliver,
                stopping=stopping,
            )
            return Work(loop.run, guarded.guard)

        return self._sense(source.name, make)

    def scale(
        self,
        source: ScaleSource,
        *,
        on_movement: Callable[[float | None], None],
        on_change: Callable[[WeightChange], None],
    ) -> Sense:
        """Return the thread of the scale."""
        capture, settings = self._config.capture, self._config.scale

        def make(stopping: threading.Event) -> Work:
            guarded = GuardedScale(source, self._beats, self._config.health.stuck_source_s)
            rng = random.Random()  # noqa: S311  # jitter is no secret
            loop = WeighingLoop(
                guarded,
                SettleLimits(settings.settle_s, settings.noise_g, settings.min_change_g),
                ScaleLimits(settings.range_g, settings.drift_g),
                backoff=Backoff(capture.reconnect_min_s, capture.reconnect_max_s, rng),
                telemetry=self._telemetry,
                clock=self._clock,
                on_movement=on_movement,
                on_change=on_change,
                stopping=stopping,
            )
            return Work(loop.run, guarded.guard, lambda: loop.delivers)

        return self._sense("scale", make)

    def _sense(self, role: str, make: Callable[[threading.Event], Work]) -> Sense:
        return Sense(
            f"{self._config.cart}-{role}",
            make,
            clock=self._clock,
            most_hanging=self._config.health.source_restarts,
        )
