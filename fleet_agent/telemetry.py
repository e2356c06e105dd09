"""What the cart counts about itself, between one telemetry window and the next."""

import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fleet_agent.basket.decision import Decision
from fleet_agent.quality import Quality
from fleet_protocol.histogram import ExponentialHistogram
from fleet_protocol.limits import MAX_NAMES
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
        gau: Gauge, or gauge/camera, to its latest value.
    """

    hist: Mapping[str, Buckets]
    sig: Mapping[str, list[int]]
    cnt: Mapping[str, int]
    gau: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Totals:
    """All that was counted since the start, for whoever asks the cart itself.

    Attributes:
        stages: Stage to histogram of milliseconds.
        sums_ms: Stage to the sum of its durations.
        counters: Counter, or counter/camera, to count.
        gauges: Gauge, or gauge/camera, to its latest value.
    """

    stages: Mapping[str, ExponentialHistogram]
    sums_ms: Mapping[str, float]
    counters: Mapping[str, int]
    gauges: Mapping[str, float]


class Telemetry:
    """Histograms, drift signals, counters and gauges of one cart. Any thread may add."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stages: dict[str, ExponentialHistogram] = {}
        self._signals: dict[str, SignalCounter] = {}
        self._counters: dict[str, int] = {}
        self._gauges: dict[str, float] = {}
        # Of the windows that are closed; the open one is added when somebody asks.
        self._past_stages: dict[str, ExponentialHistogram] = {}
        self._past_counters: dict[str, int] = {}
        self._sums_ms: dict[str, float] = {}

    def time(self, stage: str, elapsed_s: float) -> None:
        """Count how long a stage took."""
        self.times(((stage, elapsed_s),))

    def times(self, stages: Iterable[tuple[str, float]]) -> None:
        """Count how long several stages took, in seconds; a stage may come more than once."""
        with self._lock:
            for stage, elapsed_s in stages:
                histogram = self._stages.get(stage)
                if histogram is None:
                    histogram = self._stages[stage] = ExponentialHistogram()
                histogram.add(elapsed_s * 1000.0)
                self._sums_ms[stage] = self._sums_ms.get(stage, 0.0) + elapsed_s * 1000.0

    def count(self, name: str, n: int = 1, *, camera: str = "") -> None:
        """Add to a counter."""
        key = f"{name}/{camera}" if camera else name
        with self._lock:
            self._counters[key] = self._counters.get(key, 0) + n

    def gauge(self, name: str, value: float | None, *, camera: str = "") -> None:
        """Set a gauge: it is in every window until it is set again.

        Args:
            name: Of the gauge.
            value: None takes it away; so does a value that is not a finite number, which has no JSON.
            camera: Whose it is, if it is one camera's.
        """
        key = f"{name}/{camera}" if camera else name
        with self._lock:
            if value is None or not math.isfinite(value):
                self._gauges.pop(key, None)
            else:
                self._gauges[key] = float(value)

    def quality(self, camera: str, quality: Quality) -> None:
        """Count how a camera's frame looks."""
        with self._lock:
            self._signal(BRIGHTNESS, quality.brightness, camera)
            self._signal(BLUR, quality.sharpness, camera)

    def decision(self, decision: Decision) -> None:
        """Count one item event and its drift signals."""
        with self._lock:
            rows = len(decision.items) or 1  # a pair is two events
            for name, n in (("item_events", rows), ("asked", rows * (decision.outcome == "asked"))):
                if n:
                    self._counters[name] = self._counters.get(name, 0) + n
            self._signal(CONFIDENCE, decision.posterior)
            self._signal(MARGIN, decision.margin)
            if decision.camera_confidence:
                self._signal(CAMERA_DISAGREEMENT, decision.disagreeing)
            for item_ix in decision.items:
                self._signal(CLASS, item_ix)
            if decision.weight_residual_g is not None:
                self._signal(WEIGHT_RESIDUAL, decision.weight_residual_g)

    def _signal(self, signal: Signal, value: float, camera: str = "") -> None:
        key = f"{signal.name}/{camera}" if camera else signal.name
        counter = self._signals.get(key)
        if counter is None:
            counter = self._signals[key] = SignalCounter(signal)
        counter.add(value)

    def drain(self) -> Counts:
        """Return what was counted and start again from zero; gauges stay as they are."""
        with self._lock:
            stages, self._stages = self._stages, {}
            signals, self._signals = self._signals, {}
            counters, self._counters = self._counters, {}
            gauges = dict(self._gauges)
            _merge(self._past_stages, stages)
            _add(self._past_counters, counters)
        if len(counters) > MAX_NAMES:  # the cloud would refuse the window as a whole
            counters = dict(sorted(counters.items(), key=lambda item: -item[1])[: MAX_NAMES - 1])
            counters["names_cut"] = 1
        return Counts(
            hist={name: Buckets(*histogram.to_dense()) for name, histogram in stages.items()},
            sig={name: counter.drain() for name, counter in signals.items()},
            cnt=counters,
            gau=gauges,
        )

    def totals(self) -> Totals:
        """Return what was counted since the start, the open window included."""
        with self._lock:
            stages: dict[str, ExponentialHistogram] = {}
            _merge(stages, self._past_stages)
            _merge(stages, self._stages)
            counters = dict(self._past_counters)
            _add(counters, self._counters)
            return Totals(stages, dict(self._sums_ms), counters, dict(self._gauges))


def _merge(into: dict[str, ExponentialHistogram], stages: Mapping[str, ExponentialHistogram]) -> None:
    for name, histogram in stages.items():
        into.setdefault(name, ExponentialHistogram()).merge(histogram)


def _add(into: dict[str, int], counters: Mapping[str, int]) -> None:
    for name, n in counters.items():
        into[name] = into.get(name, 0) + n


def rounded(gauges: Mapping[str, Any]) -> dict[str, float]:
    """Round gauges to a tenth: more digits cost bytes and say nothing."""
    return {name: round(float(value), 1) for name, value in gauges.items()}
