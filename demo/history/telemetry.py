"""The telemetry windows of one cart's past, one per open hour, counted from its events and cameras."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from demo.history.decisions import Decisions, profile_of
from demo.history.eyes import Eyes
from demo.history.hours import HOUR_MS, Hours
from demo.history.profiles import Profile
from demo.world.places import Cart
from fleet_protocol.histogram import (
    BUCKETS_PER_DOUBLING,
    LARGEST_MS,
    SMALLEST_MS,
    bucket_midpoint_ms,
    bucket_of,
)
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
    trim,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Frames that one camera gives in an hour: calm ones all the time, more around a movement.
CALM_FRAMES_PER_HOUR = 1440
FRAMES_PER_EVENT = 12
# Frames counted for brightness and sharpness, of those.
QUALITY_SHARE = 0.9
STALE_SHARE = 0.0015
DAMAGED_SHARE = 0.0002


@dataclass(frozen=True, slots=True)
class Stage:
    """Duration of one stage: median, and spread as the standard deviation of its logarithm."""

    name: str
    median_ms: float
    spread: float


def stages_of(profile: Profile) -> tuple[Stage, ...]:
    """Return the stages that run for every inference."""
    return (
        Stage("capture", 2.2, 0.35),
        Stage("queue", 5.0, 0.5),
        Stage("preprocess", 0.7, 0.25),
        Stage("infer", profile.infer_ms, 0.22),
        Stage("decode", 0.2, 0.3),
    )


@dataclass(frozen=True, slots=True)
class WindowParts:
    """What one window says."""

    hist: dict[str, Buckets]
    sig: dict[str, list[int]]
    cnt: dict[str, int]
    gau: dict[str, float]


class Telemetry:
    """Draws the windows of a cart; all event-made signals are counted at once."""

    def __init__(
        self, cart: Cart, hours: Hours, decisions: Decisions, eyes: Eyes, rng: np.random.Generator
    ) -> None:
        self._cart = cart
        self._hours = hours
        self._eyes = eyes
        self._rng = rng
        self._decisions = decisions
        self._signals = _event_signals(decisions, len(hours))
        self._first = np.searchsorted(decisions.hour, np.arange(len(hours) + 1))

    def window(self, hour: int) -> WindowParts:
        """Return the window of one hour."""
        share = (self._hours.end_ms[hour] - self._hours.start_ms[hour]) / HOUR_MS
        frames = int(CALM_FRAMES_PER_HOUR * share + FRAMES_PER_EVENT * self._hours.events[hour])
        here = slice(int(self._first[hour]), int(self._first[hour + 1]))
        return WindowParts(
            hist=self._latency(hour, frames, here),
            sig={**self._seen(hour, frames), **self._decided(hour)},
            cnt=self._counters(frames, here),
            gau=self._gauges(hour),
        )

    def _latency(self, hour: int, frames: int, here: slice) -> dict[str, Buckets]:
        profile = profile_of(present=bool(self._hours.present[hour]))
        hist = {stage.name: _lognormal(stage, frames, self._rng) for stage in stages_of(profile)}
        decided_ms = self._decisions.decision_ms[here]
        if len(decided_ms):
            fuse_ms = np.exp(self._rng.normal(np.log(2.2), 0.3, len(decided_ms)))
            hist["fuse"] = _counted(fuse_ms)
            hist["camera_to_decision"] = _counted(decided_ms)
        return hist

    def _seen(self, hour: int, frames: int) -> dict[str, list[int]]:
        light = float(self._hours.light[hour])
        counted = int(frames * QUALITY_SHARE)
        signals = {}
        for i, camera in enumerate(self._cart.cameras):
            for signal in (BRIGHTNESS, BLUR):
                share = self._eyes.bins(signal, camera, light, float(self._hours.smear[i, hour]))
                signals[f"{signal.name}/{camera}"] = trim(self._rng.multinomial(counted, share).tolist())
        return signals

    def _decided(self, hour: int) -> dict[str, list[int]]:
        rows = {name: trim(table[hour].tolist()) for name, table in self._signals.items()}
        return {name: counts for name, counts in rows.items() if counts}

    def _counters(self, frames: int, here: slice) -> dict[str, int]:
        d, rng = self._decisions, self._rng
        counters = {
            "item_events": here.stop - here.start,
            "asked": int(d.asked[here].sum()),
            "corrected": int(d.corrected[here].sum()),
            "scanned": int(d.scanned[here].sum()),
            "unsettled": int(rng.poisson(0.1)),
        }
        for camera in self._cart.cameras:
            counters[f"frames/{camera}"] = frames
            counters[f"drop_stale/{camera}"] = int(rng.binomial(frames, STALE_SHARE))
            counters[f"drop_decode/{camera}"] = int(rng.binomial(frames, DAMAGED_SHARE))
        return {name: n for name, n in counters.items() if n}

    def _gauges(self, hour: int) -> dict[str, float]:
        rng, warm = self._rng, 38.0 + 4.0 * bool(self._hours.present[hour])
        return {
            "spool_bytes": float(rng.integers(0, 40) * 512),
            "spool_messages": float(rng.integers(0, 4)),
            "cpu_percent": round(float(rng.normal(17.0, 2.5)), 1),
            "rss_bytes": float(round(rng.normal(182e6, 3e6), -4)),
            "temp_c": round(float(rng.normal(warm, 1.5)), 1),
            "degrade_level": 0.0,
        }


def _event_signals(d: Decisions, hours: int) -> dict[str, Ints]:
    """Count the signals that come with decisions; tables of shape (hours, bins)."""
    return {
        CONFIDENCE.name: _table(CONFIDENCE, d.hour, d.posterior, hours),
        MARGIN.name: _table(MARGIN, d.hour, d.top_p[:, 0] - d.top_p[:, 1], hours),
        CLASS.name: _table(CLASS, d.hour, d.said.astype(np.float64), hours),
        WEIGHT_RESIDUAL.name: _table(WEIGHT_RESIDUAL, d.hour, d.residual_g, hours),
        CAMERA_DISAGREEMENT.name: _table(CAMERA_DISAGREEMENT, d.hour, d.disagree.astype(np.float64), hours),
    }


def _table(signal: Signal, hour: Ints, values: Floats, hours: int) -> Ints:
    table = np.zeros((hours, signal.bins), np.int64)
    np.add.at(table, (hour, np.searchsorted(signal.inner_edges, values, side="right")), 1)
    return table


def _lognormal(stage: Stage, n: int, rng: np.random.Generator) -> Buckets:
    """Count n lognormal durations: drawn as bucket counts at once, not one by one."""
    low, shares = _bucket_shares(stage)
    counts: list[int] = rng.multinomial(n, shares).tolist()
    return Buckets(low, counts)


@cache
def _bucket_shares(stage: Stage) -> tuple[int, Floats]:
    """Return the first bucket and the probability of each from there on."""
    # Beyond this many deviations lies 1 % of the frames: they would double the buckets of a window.
    reach = 2.6 * stage.spread
    low = bucket_of(stage.median_ms * float(np.exp(-reach)))
    high = bucket_of(stage.median_ms * float(np.exp(reach)))
    middle = np.asarray([bucket_midpoint_ms(bucket) for bucket in range(low, high + 1)])
    density = np.exp(-0.5 * (np.log(middle / stage.median_ms) / stage.spread) ** 2)
    return low, np.asarray(density / density.sum())


def _counted(values_ms: Floats) -> Buckets:
    """Count durations: the buckets of `fleet_protocol.histogram`, for an array at once."""
    clamped = np.clip(values_ms, SMALLEST_MS, LARGEST_MS)
    buckets = np.ceil(np.log2(clamped) * BUCKETS_PER_DOUBLING).astype(np.int64) - 1
    low = int(buckets.min())
    counts: list[int] = np.bincount(buckets - low).tolist()
    return Buckets(low, counts)
