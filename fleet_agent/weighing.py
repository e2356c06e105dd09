"""The scale's thread: opens it, reads it, finds settled changes, opens it again when it is lost."""

import threading
from collections.abc import Callable
from dataclasses import replace

import structlog

from fleet_agent.capture import READ_TIMEOUT_S, Backoff
from fleet_agent.errors import ScaleError, ScaleGarbageError
from fleet_agent.ports import Clock, ScaleReading, ScaleSource
from fleet_agent.scales.condition import Condition, ScaleLimits, is_weight, observe
from fleet_agent.settling import SettleLimits, SettleState, WeightChange, step
from fleet_agent.telemetry import Telemetry

log = structlog.get_logger()

# A movement that has not settled after this long is counted: somebody leans on the cart, or the
# scale is broken.
UNSETTLED_S = 10.0
# A scale without a reading for this long is counted and does not deliver. Battery-powered ones speak
# every two seconds at rest: shorter would count those.
SILENT_S = 10.0


class WeighingLoop:
    """What the scale's thread does.

    Args:
        source: The scale.
        limits: What counts as quiet and as a change.
        believable: What counts as trouble with the scale.
        backoff: Waits between attempts to open it.
        telemetry: Counts losses, garbage, overloads, silence, reconnects, unsettled movements and the
            troubles of `scales.condition`; its gauge `scale_zero_g` is the walk of the weight at rest,
            `scale_bad` is 1 while no weights come, or none that ever was at rest.
        clock: Time.
        on_movement: Told when a movement begins (its monotonic time) and when one ends without a
            change (None).
        on_change: Told each settled change.
        stopping: Ends the loop.
    """

    def __init__(
        self,
        source: ScaleSource,
        limits: SettleLimits,
        believable: ScaleLimits,
        *,
        backoff: Backoff,
        telemetry: Telemetry,
        clock: Clock,
        on_movement: Callable[[float | None], None],
        on_change: Callable[[WeightChange], None],
        stopping: threading.Event,
    ) -> None:
        self._source = source
        self._limits = limits
        self._believable = believable
        self._condition = Condition()
        self._backoff = backoff
        self._telemetry = telemetry
        self._clock = clock
        self._heard_s = self._weighed_s = 0.0
        self._silent = False
        self._lost = False
        self._delivers = False
        self._on_movement = on_movement
        self._on_change = on_change
        self._stopping = stopping
        self._state = SettleState()
        self._overloaded = False
        self._reported_unsettled = False
        self._first_s: float | None = None

    @property
    def delivers(self) -> bool:
        """Whether readings come: not before the first one, nor while it is lost or silent."""
        return self._delivers

    def run(self) -> None:
        """Report changes until the stop."""
        connections = 0
        self._say(delivers=False)
        while not self._stopping.is_set():
            try:
                self._source.open()
                if connections:
                    self._telemetry.count("scale_reconnects")
                connections += 1
                self._read()
            except ScaleError as error:
                log.warning("scale does not deliver", why=str(error))
                self._lose()
            except Exception:  # a source that a program injected may raise anything; the cart goes on
                log.exception("scale failed")
                self._lose()
            finally:
                self._close()
            self._stopping.wait(self._backoff.next_s())

    def _lose(self) -> None:
        """Count a loss once, however often the scale cannot be opened after it."""
        if self._stopping.is_set():  # a loop that was told to end has no say about the scale
            return
        if not self._lost:
            self._telemetry.count("scale_lost")
        self._lost = True
        self._say(delivers=False)

    def _say(self, *, delivers: bool) -> None:
        self._delivers = delivers
        self._telemetry.gauge("scale_bad", float(not delivers))

    def _close(self) -> None:
        try:
            self._source.close()
        except Exception:  # the scale is opened again all the same
            log.exception("scale does not close")

    def _read(self) -> None:
        self._heard_s, self._silent = self._clock.monotonic_s(), False
        while not self._stopping.is_set():
            try:
                reading = self._source.read(READ_TIMEOUT_S)
            except ScaleGarbageError as error:
                self._telemetry.count("scale_garbage", error.lines)
                reading = None
            if reading is None:
                self._count_silence()
            else:
                self._heard_s, self._silent, self._lost = self._clock.monotonic_s(), False, False
                self._backoff.reset()
                self._take(reading)
                self._judge(reading)

    def _judge(self, reading: ScaleReading) -> None:
        """Say whether anything can be decided from what comes: weights, and some time one at rest."""
        if is_weight(reading, self._believable):
            self._weighed_s = reading.at_s
            delivers = self._state.baseline_g is not None or not self._reported_unsettled
        else:
            delivers = self._delivers and reading.at_s - self._weighed_s < SILENT_S
        if delivers != self._delivers:
            self._say(delivers=delivers)

    def _count_silence(self) -> None:
        """Count, once, that the scale is there and gives no reading."""
        if self._silent or self._clock.monotonic_s() - self._heard_s < SILENT_S:
            return
        self._silent = True
        self._telemetry.count("scale_silent")
        self._say(delivers=False)

    def _take(self, reading: ScaleReading) -> None:
        if reading.garbage_before:
            self._telemetry.count("scale_garbage", reading.garbage_before)
        if reading.overload and not self._overloaded:
            self._telemetry.count("scale_overload")
        self._overloaded = reading.overload
        before = self._state
        # What is no weight is no change either: a broken cable's 99 kg must not be put on a shopper's bill.
        weighs = is_weight(reading, self._believable)
        self._state, change = step(
            before, reading if weighs else replace(reading, overload=True), self._limits
        )
        if weighs and self._first_s is None:
            self._first_s = reading.at_s
        self._watch(reading, before, change)
        if change is not None:
            self._on_change(change)
        elif self._state.moving != before.moving:
            self._on_movement(self._state.moving_since_s)
        self._count_unsettled(reading.at_s)

    def _watch(self, reading: ScaleReading, before: SettleState, change: WeightChange | None) -> None:
        """Report trouble with the scale: its weight at rest walks, it leaps, it talks nonsense."""
        walked_g = 0.0
        if before.baseline_g is not None and self._state.baseline_g is not None:
            walked_g = self._state.baseline_g - before.baseline_g - (change.change_g if change else 0.0)
        self._condition, troubles = observe(self._condition, reading, walked_g, self._believable)
        for trouble in troubles:
            self._telemetry.count(trouble)
            log.warning("trouble with the scale", what=trouble, zero_g=round(self._condition.zero_g, 1))
        self._telemetry.gauge("scale_zero_g", self._condition.zero_g)

    def _count_unsettled(self, now_s: float) -> None:
        # Before the first rest nothing moves, and nothing can be decided.
        since_s = self._first_s if self._state.baseline_g is None else self._state.moving_since_s
        late = since_s is not None and now_s - since_s > UNSETTLED_S
        if late and not self._reported_unsettled:
            self._telemetry.count("unsettled")
        self._reported_unsettled = late
