"""What the cart counts about itself, between one telemetry window and the next."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fleet_agent.fusion import Decision
from fleet_agent.quality import Quality
from fleet_protocol.histogram import ExponentialHistogram
from fleet_protocol.messages import Buckets
from fleet_protocol.signals import (
    BLUR,
    BRIGHTNESS,
    CAMERA_DISAGREEMENT,
    CLASS,
    CONFIDENCE,
    MARGIN,
    WEIGHT_RESIDUAL,
    Signal,
    SignalCounter,
)


@dataclass(frozen=True, slots=True)
class Counts:
    """The contents of one window.

    Attributes:
        hist: Stage to histogram of milliseconds.
        sig: Signal, or signal/camera, to counts per bin.
        cnt: Counter, or counter/camera, to count.
    """

    hist: Mapping[str, Buckets]
    sig: Mapping[str, list[int]]
    cnt: Mapping[str, int]


class Telemetry:
    """Histograms, drift signals and counters of one cart. Any thread may add."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stages: dict[str, ExponentialHistogram] = {}
        self._signals: dict[str, SignalCounter] = {}
        self._counters: dict[str, int] = {}

    def time(self, stage: str, elapsed_s: float) -> None:
        """Count how long a stage took."""
        with self._lock:
            self._stages.setdefault(stage, ExponentialHistogram()).add(elapsed_s * 1000.0)

    def count(self, name: str, n: int = 1, *, camera: str = "") -> None:
        """Add to a counter."""
        key = f"{name}/{camera}" if camera else name
        with self._lock:
            self._counters[key] = self._counters.get(key, 0) + n

    def quality(self, camera: str, quality: Quality) -> None:
        """Count how a camera's frame looks."""
        with self._lock:
            self._signal(BRIGHTNESS, quality.brightness, camera)
            self._signal(BLUR, quality.sharpness, camera)

    def decision(self, decision: Decision) -> None:
        """Count one item event and its drift signals."""
        with self._lock:
            for name, n in (("item_events", 1), ("asked", decision.outcome == "asked")):
                if n:
                    self._counters[name] = self._counters.get(name, 0) + 1
            self._signal(CONFIDENCE, decision.posterior)
            self._signal(MARGIN, decision.margin)
            if decision.camera_confidence:
                self._signal(CAMERA_DISAGREEMENT, decision.disagreeing)
            if decision.item_ix is not None:
                self._signal(CLASS, decision.item_ix)
            if decision.weight_residual_g is not None:
                self._signal(WEIGHT_RESIDUAL, decision.weight_residual_g)

    def _signal(self, signal: Signal, value: float, camera: str = "") -> None:
        key = f"{signal.name}/{camera}" if camera else signal.name
        self._signals.setdefault(key, SignalCounter(signal)).add(value)

    def drain(self) -> Counts:
        """Return what was counted and start again from zero."""
        with self._lock:
            stages, self._stages = self._stages, {}
            signals, self._signals = self._signals, {}
            counters, self._counters = self._counters, {}
        return Counts(
            hist={name: Buckets(*histogram.to_dense()) for name, histogram in stages.items()},
            sig={name: counter.drain() for name, counter in signals.items()},
            cnt=counters,
        )


def rounded(gauges: Mapping[str, Any]) -> dict[str, float]:
    """Round gauges to a tenth: more digits cost bytes and say nothing."""
    return {name: round(float(value), 1) for name, value in gauges.items()}
