"""The scale's thread: opens it, reads it, finds settled changes, opens it again when it is lost."""

import threading
from collections.abc import Callable

import structlog

from fleet_agent.capture import READ_TIMEOUT_S, Backoff
from fleet_agent.errors import ScaleError
from fleet_agent.ports import ScaleReading, ScaleSource
from fleet_agent.settling import SettleLimits, SettleState, WeightChange, step
from fleet_agent.telemetry import Telemetry

log = structlog.get_logger()

# A movement that has not settled after this long is counted: somebody leans on the cart, or the
# scale is broken.
UNSETTLED_S = 10.0


class WeighingLoop:
    """What the scale's thread does.

    Args:
        source: The scale.
        limits: What counts as quiet and as a change.
        backoff: Waits between attempts to open it.
        telemetry: Counts garbage, overloads, reconnects, unsettled movements.
        on_movement: Told when a movement begins (its monotonic time) and when one ends without a
            change (None).
        on_change: Told each settled change.
        stopping: Ends the loop.
    """

    def __init__(
        self,
        source: ScaleSource,
        limits: SettleLimits,
        *,
        backoff: Backoff,
        telemetry: Telemetry,
        on_movement: Callable[[float | None], None],
        on_change: Callable[[WeightChange], None],
        stopping: threading.Event,
    ) -> None:
        self._source = source
        self._limits = limits
        self._backoff = backoff
        self._telemetry = telemetry
        self._on_movement = on_movement
        self._on_change = on_change
        self._stopping = stopping
        self._state = SettleState()
        self._overloaded = False
        self._reported_unsettled = False

    def run(self) -> None:
        """Report changes until the stop."""
        connections = 0
        while not self._stopping.is_set():
            try:
                self._source.open()
                if connections:
                    self._telemetry.count("scale_reconnects")
                connections += 1
                self._read()
            except ScaleError as error:
                log.warning("scale does not deliver", why=str(error))
            except Exception:  # a source that a program injected may raise anything; the cart goes on
                log.exception("scale failed")
            finally:
                self._source.close()
            self._stopping.wait(self._backoff.next_s())

    def _read(self) -> None:
        while not self._stopping.is_set():
            reading = self._source.read(READ_TIMEOUT_S)
            if reading is not None:
                self._backoff.reset()
                self._take(reading)

    def _take(self, reading: ScaleReading) -> None:
        if reading.garbage_before:
            self._telemetry.count("scale_garbage", reading.garbage_before)
        if reading.overload and not self._overloaded:
            self._telemetry.count("scale_overload")
        self._overloaded = reading.overload
        before = self._state
        self._state, change = step(before, reading, self._limits)
        if change is not None:
            self._on_change(change)
        elif self._state.moving != before.moving:
            self._on_movement(self._state.moving_since_s)
        self._count_unsettled(reading.at_s)

    def _count_unsettled(self, now_s: float) -> None:
        since_s = self._state.moving_since_s
        late = since_s is not None and now_s - since_s > UNSETTLED_S
        if late and not self._reported_unsettled:
            self._telemetry.count("unsettled")
        self._reported_unsettled = late
