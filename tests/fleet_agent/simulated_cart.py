"""A whole cart in simulated time: real agent, real spool, simulated cameras, scale and shopper."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np

from fleet_agent.agent import Agent
from fleet_agent.clock_simulated import SimulatedClock
from fleet_agent.config import CartConfig
from fleet_agent.engines.fake import FakeEngine
from fleet_agent.errors import CameraLostError, CameraOpenError
from fleet_agent.events import ItemEvent
from fleet_agent.health.machine import Machine
from fleet_agent.health.monitor import Surroundings
from fleet_agent.perception import Frame, PerceptionEngine, Pixels
from fleet_agent.ports import ScaleReading, ScaleSource, Transport
from fleet_agent.spool import Spool
from fleet_agent.transport_memory import MemoryCloud, MemoryTransport
from fleet_protocol.messages import Window
from tests.fleet_agent.worlds import CART, COLORS, STORE, WEIGHTS_G, manifest, noisy, picture

Mode = Literal["fine", "frozen", "black", "wide", "gone", "silent", "hangs", "hangs once"]
# Frames per second while the hand is in the picture, and of a calm cart.
BUSY_FPS, CALM_FPS = 6.0, 0.8
# Readings per second while the weight moves, and of a calm scale.
BUSY_READINGS, CALM_READINGS = 12.0, 1.0


class Stage:
    """What is in front of the cameras and on the scale. Changes wake who waits for one."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.clock = clock
        self._changed = clock.condition()
        self._busy_until_s = -1.0
        self.shown: int | None = None
        self.grams = 0.0

    def set(self, *, shown: int | None, grams: float) -> None:
        """Change both."""
        with self._changed:
            self.shown, self.grams = shown, grams
            self._busy_until_s = self.clock.monotonic_s() + 2.0
            self._changed.notify_all()

    @property
    def busy(self) -> bool:
        """Whether something changed a moment ago."""
        return self.clock.monotonic_s() < self._busy_until_s

    def wait(self, timeout_s: float) -> None:
        """Wait for a change, or so long."""
        with self._changed:
            self._changed.wait(timeout_s)

    def move(self, item_ix: int, *, pieces: int = 1) -> None:
        """Put pieces of an item into the cart, or (negative) take them out; takes three seconds."""
        self.set(shown=item_ix, grams=self.grams)
        self.clock.sleep(0.6)
        self.set(shown=item_ix, grams=self.grams + pieces * WEIGHTS_G[item_ix])
        self.clock.sleep(0.4)
        self.set(shown=None, grams=self.grams)
        self.clock.sleep(2.0)


class SimulatedCamera:
    """Shows the stage, and has the faults that real cameras have: set `mode`."""

    def __init__(self, name: str, stage: Stage) -> None:
        self.name = name
        self.mode: Mode = "fine"
        self.opened = 0
        self._stage = stage
        self._rng = np.random.default_rng(len(name))
        self._due_s = 0.0
        self._last: Pixels | None = None
        self.hang = stage.clock.event()

    def open(self) -> None:
        """Open, unless the cable is out."""
        self.opened += 1
        if self.mode == "gone":
            raise CameraOpenError(self.name, "it is not there")

    def read(self, timeout_s: float) -> Frame | None:
        """Return a frame when one is due."""
        clock = self._stage.clock
        deadline_s = clock.monotonic_s() + timeout_s
        while (now_s := clock.monotonic_s()) < (due_s := self._next_s()):
            if now_s >= deadline_s:
                return None
            self._stage.wait(min(due_s, deadline_s) - now_s)
        if self.mode == "gone":
            raise CameraLostError(self.name, "unplugged")
        if self.mode in ("hangs", "hangs once"):
            self.mode = "hangs" if self.mode == "hangs" else "fine"
            self.hang.wait()
        self._due_s = now_s
        if self.mode == "silent":
            clock.sleep(timeout_s)
            return None
        return Frame(self.name, self._pixels(), now_s)

    def _next_s(self) -> float:
        return self._due_s + 1 / (BUSY_FPS if self._stage.busy else CALM_FPS)

    def _pixels(self) -> Pixels:
        if self.mode == "black":
            return np.zeros((72, 96, 3), np.uint8)
        if self.mode == "frozen" and self._last is not None:
            return self._last.copy()
        size = (160, 90) if self.mode == "wide" else (96, 72)
        self._last = noisy(picture(self._stage.shown, width=size[0], height=size[1]), self._rng)
        return self._last

    def close(self) -> None:
        """Nothing is held."""


class SimulatedScale:
    """Weighs the stage, with a little noise."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._rng = np.random.default_rng(3)
        self._due_s = 0.0

    def open(self) -> None:
        """Nothing to open."""

    def read(self, timeout_s: float) -> ScaleReading | None:
        """Return a reading when one is due."""
        clock = self._stage.clock
        deadline_s = clock.monotonic_s() + timeout_s
        while (now_s := clock.monotonic_s()) < (due_s := self._next_s()):
            if now_s >= deadline_s:
                return None
            self._stage.wait(min(due_s, deadline_s) - now_s)
        self._due_s = now_s
        return ScaleReading(self._stage.grams + float(self._rng.normal(0, 1)), now_s)

    def _next_s(self) -> float:
        return self._due_s + 1 / (BUSY_READINGS if self._stage.busy else CALM_READINGS)

    def close(self) -> None:
        """Nothing is held."""


class SimulatedCart:
    """One agent in simulated time, and all that a story looks at. The story's thread takes part."""

    def __init__(
        self,
        config: CartConfig,
        path: Path,
        *,
        cameras: tuple[str, ...] = ("front", "left"),
        engine: PerceptionEngine | None = None,
        scale: Callable[[Stage], ScaleSource] = SimulatedScale,
        transport: Transport | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        self.clock = SimulatedClock()
        self.clock.take_part()
        self.stage = Stage(self.clock)
        self.cloud = MemoryCloud()
        self.told: list[ItemEvent] = []
        self.spool = Spool(path, config.spool, owner=f"{STORE}/{CART}")
        self.cameras = {name: SimulatedCamera(name, self.stage) for name in cameras}
        self.agent = Agent(
            config,
            cameras=list(self.cameras.values()),
            scale=scale(self.stage),
            engine=engine or FakeEngine(manifest(), COLORS, cameras=len(cameras)),
            manifest=manifest(),
            spool=self.spool,
            transport=transport or MemoryTransport(self.cloud),
            clock=self.clock,
            on_event=self.told.append,
            surroundings=surroundings or Surroundings(machine=Machine([])),
        )

    def windows(self) -> list[Window]:
        """Return the telemetry that arrived."""
        return [message for message in self.cloud.of("tel") if isinstance(message, Window)]

    def counter(self, name: str) -> int:
        """Return a counter over all windows."""
        return sum(window.cnt.get(name, 0) for window in self.windows())

    def gauges(self, name: str) -> list[float]:
        """Return a gauge's values, window by window."""
        return [window.gau[name] for window in self.windows() if name in window.gau]

    def stop(self) -> None:
        """Stop the agent, so that its last window has arrived."""
        self.clock.leave()
        self.agent.stop(10.0)


@contextmanager
def running(cart: SimulatedCart) -> Iterator[SimulatedCart]:
    """Start a cart, and stop it at the end."""
    cart.agent.start()
    try:
        cart.clock.sleep(3.0)  # the scale learns what lies in the cart
        yield cart
    finally:
        cart.stop()
        cart.spool.close()
