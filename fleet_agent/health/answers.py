"""What `/live`, `/ready` and `/metrics` say of one agent."""

from collections.abc import Callable, Mapping

from fleet_agent.health.breaker import BreakerDecision
from fleet_agent.health.camera_watch import CameraWatch
from fleet_agent.health.endpoint import Answers, Part, Report
from fleet_agent.health.exposition import expose
from fleet_agent.health.guard import GuardedEngine
from fleet_agent.health.monitor import Monitor
from fleet_agent.health.sense import Sense
from fleet_agent.health.watch import Heartbeats
from fleet_agent.telemetry import Telemetry

# A watchdog that has not looked for this many of its own periods does not watch.
MISSED_LOOKS = 10
LEAST_MISSED_S = 10.0


class AgentAnswers:
    """Asks the parts of one agent.

    Args:
        labels: On every metric: store and cart.
        telemetry: Totals.
        beats: Heartbeats.
        monitor: The watchdog.
        check_s: How often it looks.
        engine: The network.
        cameras: Conditions by name.
        scale: Its thread; None for a cart without one.
        spool_works: Whether the spool took what it was given last.
        started: How this run was decided to be.
        now_s: The clock that never jumps.
    """

    def __init__(
        self,
        labels: Mapping[str, str],
        *,
        telemetry: Telemetry,
        beats: Heartbeats,
        monitor: Monitor,
        check_s: float,
        engine: GuardedEngine,
        cameras: Mapping[str, CameraWatch],
        scale: Sense | None,
        spool_works: Callable[[], bool],
        started: BreakerDecision | None,
        now_s: Callable[[], float],
    ) -> None:
        self._labels = labels
        self._telemetry = telemetry
        self._beats = beats
        self._monitor = monitor
        self._missed_s = max(LEAST_MISSED_S, MISSED_LOOKS * check_s)
        self._engine = engine
        self._cameras = cameras
        self._scale = scale
        self._spool_works = spool_works
        self._started = started
        self._now_s = now_s

    def answers(self) -> Answers:
        """Return what the endpoint serves."""
        return Answers(self.live, self.ready, self.metrics)

    def live(self) -> Report:
        """Nothing hangs, and somebody looks."""
        hanging = {one.stage: one.doing for one in self._beats.stuck()}
        if self._monitor.fatal is not None:
            hanging[self._monitor.fatal.stage] = self._monitor.fatal.doing
        silent_s = self._now_s() - self._monitor.ticked_s
        return Report(
            {
                "stages": Part(not hanging, {"hanging": hanging}),
                "watchdog": Part(silent_s <= self._missed_s, {"silent_s": round(silent_s, 1)}),
            }
        )

    def ready(self) -> Report:
        """The cart can make events: a network that runs, a camera and a scale that deliver, a spool."""
        conditions = {name: watch.condition.name.lower() for name, watch in self._cameras.items()}
        safe = self._started is not None and self._started.safe_mode
        return Report(
            {
                "engine": Part(not self._engine.failing, {"engine": str(self._engine.info)}),
                "cameras": Part(
                    any(watch.delivers for watch in self._cameras.values()), {"conditions": conditions}
                ),
                **({} if self._scale is None else {"scale": Part(self._scale.delivers)}),
                "spool": Part(self._spool_works()),
                # A safe mode is ready: it makes events. It is here for people to see.
                "mode": Part(ok=True, detail={"safe_mode": safe, "degrade_level": self._monitor.level}),
            }
        )

    def metrics(self) -> str:
        """All totals since the start."""
        return expose(self._telemetry.totals(), self._labels)
