"""Reads the machine and the stages, moves the cart on the degrade ladder, and says so."""

from collections.abc import Callable, Mapping

import structlog

from fleet_agent.config import CartConfig
from fleet_agent.health.degrade import Ladder, LadderLimits, Move, Pressure, climb
from fleet_agent.health.machine import Machine
from fleet_agent.health.pace import Pace, Standing, pace_of
from fleet_agent.health.recent import RecentStages
from fleet_agent.telemetry import Telemetry

log = structlog.get_logger()


def ladder_limits(config: CartConfig) -> LadderLimits:
    """Return when to look less, as configured."""
    health = config.health
    return LadderLimits(
        hot_c=health.hot_c,
        cool_c=min(health.cool_c, health.hot_c),
        late_share=health.late_share,
        late_decision_ms=health.late_decision_ms,
        low_memory_bytes=health.low_memory_bytes,
        degrade_after_s=health.degrade_after_s,
        recover_after_s=health.recover_after_s,
    )


class PressureGauge:
    """The cart on its ladder. One thread owns it.

    Telemetry: gauges of the machine, gauge `degrade_level`; counters `degraded` and `recovered` (steps),
    `degraded_hot` and so on by cause, `throttled` (how often that began).

    Args:
        config: Of the cart.
        machine: Readings.
        telemetry: Counts, and tells how long stages took.
        standings: What the cameras are like now.
        apply: Told each new pace.
    """

    def __init__(
        self,
        config: CartConfig,
        *,
        machine: Machine,
        telemetry: Telemetry,
        standings: Callable[[], Mapping[str, Standing]],
        apply: Callable[[Pace], None],
    ) -> None:
        self._config = config
        self._limits = ladder_limits(config)
        self._machine = machine
        self._telemetry = telemetry
        self._standings = standings
        self._apply = apply
        self._recent = RecentStages()
        self._ladder = Ladder()
        self._pace = Pace()
        self._shown: frozenset[str] = frozenset()
        self._throttled = False

    @property
    def level(self) -> int:
        """Where on the ladder the cart stands."""
        return self._ladder.level

    def look(self, now_s: float) -> None:
        """Read everything, and take a step if it is time for one."""
        readings = self._machine.read()
        self._show(readings)
        self._recent.look(self._telemetry.totals())
        if self._config.health.degrade:
            self._ladder, move = climb(self._ladder, self._pressure(readings), now_s, self._limits)
            if move is not None:
                self._tell(move)
            self._set_pace(pace_of(self.level, self._standings(), self._pace))
        self._telemetry.gauge("degrade_level", float(self.level))

    def _pressure(self, readings: Mapping[str, float]) -> Pressure:
        infer_ms = self._recent.p95_ms("infer")
        fps = self._config.model.active_inference_fps * self._pace.active_share
        throttled = readings.get("throttled")
        return Pressure(
            temp_c=readings.get("temp_c"),
            throttled=None if throttled is None else throttled > 0,
            infer_share=None if infer_ms is None else infer_ms / 1000.0 * fps,
            decision_ms=self._recent.p95_ms("camera_to_decision"),
            memory_bytes=readings.get("memory_available_bytes"),
        )

    def _show(self, readings: Mapping[str, float]) -> None:
        for name in self._shown - readings.keys():
            self._telemetry.gauge(name, None)
        for name, value in readings.items():
            self._telemetry.gauge(name, value)
        self._shown = frozenset(readings)
        throttled = readings.get("throttled", 0.0) > 0
        if throttled and not self._throttled:
            log.warning("machine is throttled", cart=self._config.cart, temp_c=readings.get("temp_c"))
            self._telemetry.count("throttled")
        self._throttled = throttled

    def _tell(self, move: Move) -> None:
        log.warning("degrade level", cart=self._config.cart, level=move.level, why=", ".join(move.causes))
        if move.causes == ("calm",):
            self._telemetry.count("recovered")
            return
        self._telemetry.count("degraded")
        for cause in move.causes:
            self._telemetry.count(f"degraded_{cause}")

    def _set_pace(self, pace: Pace) -> None:
        if pace != self._pace:
            self._pace = pace
            self._apply(pace)
