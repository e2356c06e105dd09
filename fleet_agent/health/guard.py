"""Sources and engines whose calls are watched: the heartbeat is set before each call.

A thread that hangs in a driver cannot be ended. It is abandoned: its guard keeps it from touching the
source when it comes back, and a new thread with a new guard opens the source again.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import numpy as np

from fleet_agent.errors import AgentError, CameraLostError, ScaleLostError
from fleet_agent.health.watch import Heartbeats
from fleet_agent.perception import EngineInfo, Frame, PerceptionEngine, Tensor
from fleet_agent.ports import CameraSource, ScaleReading, ScaleSource


class Guard:
    """Heartbeats of one thread at one source, until it is abandoned.

    Args:
        stage: Name of its heartbeat.
        beats: Where it is set.
        limit_s: Longest time of a call.
        gone: The error of a call that comes back after it was given up.
    """

    def __init__(self, stage: str, beats: Heartbeats, limit_s: float, gone: Callable[[], AgentError]) -> None:
        self._stage = stage
        self._beats = beats
        self._limit_s = limit_s
        self._gone = gone
        self.abandoned = False

    def abandon(self) -> None:
        """Give the thread up: whatever it is in, nothing it does from now on counts."""
        self.abandoned = True
        self._beats.end(self._stage)

    @contextmanager
    def calling(self, doing: str, extra_s: float = 0.0) -> Iterator[None]:
        """Set the heartbeat, and take it away when the call is back; the call may take `extra_s` more.

        Raises:
            AgentError: the thread was abandoned meanwhile.
        """
        self._check()
        self._beats.set(self._stage, doing, self._limit_s + extra_s)
        try:
            yield
        finally:
            if not self.abandoned:
                self._beats.end(self._stage)
        self._check()

    def _check(self) -> None:
        if self.abandoned:
            raise self._gone()


class Guarded(Protocol):
    """What guarded cameras and scales have in common."""

    @property
    def guard(self) -> Guard:
        """Its guard."""


class GuardedCamera:
    """A camera whose calls are watched.

    Args:
        source: The camera.
        beats: Where heartbeats are set.
        limit_s: Longest time of a call, beside the time a read was given.
    """

    def __init__(self, source: CameraSource, beats: Heartbeats, limit_s: float) -> None:
        self._source = source
        self.guard = Guard(
            f"capture/{source.name}", beats, limit_s, lambda: CameraLostError(source.name, "it hung too long")
        )

    @property
    def name(self) -> str:
        """Name of the camera."""
        return self._source.name

    def open(self) -> None:
        """Open the camera."""
        with self.guard.calling("open"):
            self._source.open()

    def read(self, timeout_s: float) -> Frame | None:
        """Read a frame."""
        with self.guard.calling("read", timeout_s):
            return self._source.read(timeout_s)

    def close(self) -> None:
        """Give the device back, unless it belongs to the next thread by now."""
        if not self.guard.abandoned:
            with self.guard.calling("close"):
                self._source.close()


class GuardedScale:
    """A scale whose calls are watched.

    Args:
        source: The scale.
        beats: Where heartbeats are set.
        limit_s: Longest time of a call, beside the time a read was given.
    """

    def __init__(self, source: ScaleSource, beats: Heartbeats, limit_s: float) -> None:
        self._source = source
        self.guard = Guard("scale", beats, limit_s, lambda: ScaleLostError("it hung too long"))

    def open(self) -> None:
        """Open the scale."""
        with self.guard.calling("open"):
            self._source.open()

    def read(self, timeout_s: float) -> ScaleReading | None:
        """Read the weight."""
        with self.guard.calling("read", timeout_s):
            return self._source.read(timeout_s)

    def close(self) -> None:
        """Give the device back, unless it belongs to the next thread by now."""
        if not self.guard.abandoned:
            with self.guard.calling("close"):
                self._source.close()


class GuardedEngine:
    """A network whose runs are watched. A run that hangs cannot be replaced: the process must end.

    Args:
        engine: The network.
        beats: Where heartbeats are set.
        limit_s: Longest time of a run.
        on_not_finite: Told each run whose answers hold something that is no number, or no end. Decoders leave
            such values out, so a network that answers nothing else would be blind without a word.
    """

    def __init__(
        self,
        engine: PerceptionEngine,
        beats: Heartbeats,
        limit_s: float,
        on_not_finite: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._beats = beats
        self._limit_s = limit_s
        self._on_not_finite = on_not_finite
        self._failing = False

    @property
    def failing(self) -> bool:
        """Whether its last run failed, or answered something that is no number."""
        return self._failing

    @property
    def info(self) -> EngineInfo:
        """What it is."""
        return self._engine.info

    @property
    def input(self) -> Tensor:
        """Where frames are written."""
        return self._engine.input

    def infer(self, frames: int) -> Mapping[str, Tensor]:
        """Run the network."""
        self._beats.set("engine", "infer", self._limit_s)
        try:
            outputs = self._engine.infer(frames)
        except BaseException:
            self._failing = True
            raise
        finally:
            self._beats.end("engine")
        self._failing = not all(_are_numbers(array[:frames]) for array in outputs.values())
        if self._failing:
            self._on_not_finite()
        return outputs

    def replace(self, engine: PerceptionEngine) -> PerceptionEngine:
        """Run another network from now on. Only the thread that runs it may call.

        Returns:
            The one before, for the caller to close when nobody writes into its input any more.
        """
        before, self._engine = self._engine, engine
        self._failing = False
        return before

    def close(self) -> None:
        """Give back memory and devices."""
        self._engine.close()


def _are_numbers(array: Tensor) -> bool:
    """Whether there is no NaN and no infinity; minus infinity is a sure no, which some heads say."""
    # One sum tells nearly always, and takes a thousandth of the network's time.
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(array.sum())
    return math.isfinite(total) or not (np.isnan(array).any() or np.isposinf(array).any())
