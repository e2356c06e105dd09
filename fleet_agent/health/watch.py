"""Who is stuck: heartbeats set before each call, and the judge.

A heartbeat that is set after a call says nothing about a call that never returns. So each thread notes
what it is about to do, and for how long that may take; who is past it is stuck.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fleet_agent.ports import Clock


@dataclass(frozen=True, slots=True)
class Beat:
    """What a stage is doing.

    Attributes:
        doing: The call, such as `read` or `infer`.
        since_s: When it began, on the clock that never jumps.
        limit_s: How long it may take.
    """

    doing: str
    since_s: float
    limit_s: float


@dataclass(frozen=True, slots=True)
class Stuck:
    """A stage that is past its limit.

    Attributes:
        stage: Such as `capture/front`, `scale` or `decide`.
        doing: The call it is in.
        for_s: Since when, in seconds.
    """

    stage: str
    doing: str
    for_s: float


def stuck(beats: Mapping[str, Beat], now_s: float) -> list[Stuck]:
    """Return the stages that are past their limits, the longest first."""
    late = [
        Stuck(stage, beat.doing, now_s - beat.since_s)
        for stage, beat in beats.items()
        if now_s - beat.since_s > beat.limit_s
    ]
    return sorted(late, key=lambda one: -one.for_s)


class Heartbeats:
    """The heartbeats of one cart. Any thread may set its own.

    Args:
        clock: Time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._beats: dict[str, Beat] = {}

    def set(self, stage: str, doing: str, limit_s: float) -> None:
        """Note what a stage is about to do; replaces what it did before."""
        beat = Beat(doing, self._clock.monotonic_s(), limit_s)
        with self._lock:
            self._beats[stage] = beat

    def end(self, stage: str) -> None:
        """Note that a stage has ended and does nothing any more."""
        with self._lock:
            self._beats.pop(stage, None)

    def forgive(self, gap_s: float) -> None:
        """Take a pause of the whole process from everybody's time."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            for stage, beat in self._beats.items():
                self._beats[stage] = replace(beat, since_s=min(now_s, beat.since_s + gap_s))

    def stuck(self) -> list[Stuck]:
        """Return who is past its limit now."""
        with self._lock:
            beats = dict(self._beats)
        return stuck(beats, self._clock.monotonic_s())
