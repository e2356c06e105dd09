"""A load cell under a simulated cart."""

from collections.abc import Callable

import numpy as np

from demo.carts.theatre import Theatre
from fleet_agent.ports import ScaleReading

# Readings per second around a movement: enough to see it begin and settle.
BUSY_HZ = 10.0
# Seconds between readings of a calm cart.
IDLE_S = 2.0
# The scale is read fast until this long after a movement: ringing, and then half a second of quiet
# that the agent waits for. Shorter and the agent learns of the settled weight late.
LINGER_S = 2.5
# Standard deviation of one reading.
NOISE_SD_G = 1.2
RESOLUTION_G = 1.0


class SimulatedScale:
    """`ScaleSource` of one simulated cart: the weight of what lies in it, ringing and noise."""

    def __init__(self, theatre: Theatre, *, seed: int, monotonic_s: Callable[[], float]) -> None:
        self._theatre = theatre
        self._monotonic_s = monotonic_s
        self._rng = np.random.default_rng([seed, 0x5CA1E])
        self._last_s = -1e9

    def open(self) -> None:
        """Nothing to open."""

    def read(self, timeout_s: float) -> ScaleReading | None:
        """Wait for the next reading."""
        deadline_s = self._monotonic_s() + timeout_s
        while (now_s := self._monotonic_s()) < deadline_s:
            seen = self._theatre.changes
            due_s = self._last_s + (1 / BUSY_HZ if self._lively(now_s) else IDLE_S)
            if now_s >= due_s:
                return self._reading(now_s)
            self._theatre.wait(seen, min(due_s, deadline_s))
        return None

    def _lively(self, now_s: float) -> bool:
        movement = self._theatre.stage.movement
        return movement is not None and movement.begun_s <= now_s <= movement.ends_s + LINGER_S

    def _reading(self, now_s: float) -> ScaleReading:
        self._last_s = now_s
        load_g = self._theatre.stage.load_g(now_s) + float(self._rng.normal(0.0, NOISE_SD_G))
        return ScaleReading(round(load_g / RESOLUTION_G) * RESOLUTION_G, now_s)

    def close(self) -> None:
        """Nothing to close."""
