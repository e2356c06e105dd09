"""All that looks after one agent, put together."""

from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from fleet_agent.config import CartConfig
from fleet_agent.errors import EndpointError
from fleet_agent.health.answers import AgentAnswers
from fleet_agent.health.camera_watch import CameraWatch
from fleet_agent.health.endpoint import HealthEndpoint
from fleet_agent.health.guard import GuardedEngine
from fleet_agent.health.monitor import Monitor, Surroundings, standard_machine
from fleet_agent.health.pace import Pace
from fleet_agent.health.pressure import PressureGauge
from fleet_agent.health.sense import Sense
from fleet_agent.health.watch import Heartbeats
from fleet_agent.ports import Clock
from fleet_agent.telemetry import Telemetry

log = structlog.get_logger()


class Caretaker:
    """Watchdog thread, degrade ladder and endpoint of one agent.

    Args:
        config: Of the cart.
        clock: Time.
        telemetry: Counts.
        beats: Heartbeats of the agent's threads.
        cameras: Conditions by name.
        senses: Threads that can be replaced, by the stage of their heartbeat.
        engine: The network.
        spool_works: Whether the spool took what it was given last.
        set_pace: Told how much to look.
        surroundings: Who is told how the agent is.
    """

    def __init__(
        self,
        config: CartConfig,
        *,
        clock: Clock,
        telemetry: Telemetry,
        beats: Heartbeats,
        cameras: Mapping[str, CameraWatch],
        senses: Mapping[str, Sense],
        engine: GuardedEngine,
        spool_works: Callable[[], bool],
        set_pace: Callable[[Pace], None],
        surroundings: Surroundings,
    ) -> None:
        self._config = config
        self._telemetry = telemetry
        self._endpoint: HealthEndpoint | None = None
        pressure = PressureGauge(
            config,
            machine=surroundings.machine or standard_machine(clock, Path(config.spool.path)),
            telemetry=telemetry,
            standings=lambda: {name: watch.standing for name, watch in cameras.items()},
            apply=set_pace,
        )
        self._monitor = Monitor(
            config.health,
            clock=clock,
            telemetry=telemetry,
            beats=beats,
            senses=senses,
            cameras=cameras,
            pressure=pressure,
            surroundings=surroundings,
            engine_fails=lambda: engine.failing,
        )
        self._answers = AgentAnswers(
            {"store": config.store, "cart": config.cart},
            telemetry=telemetry,
            beats=beats,
            monitor=self._monitor,
            check_s=config.health.check_s,
            engine=engine,
            cameras=cameras,
            scale=senses.get("scale"),
            spool_works=spool_works,
            started=surroundings.started,
            now_s=clock.monotonic_s,
        )
        name = f"{config.cart}-health"
        self._thread = clock.thread(self._monitor.run, name)

    @property
    def port(self) -> int | None:
        """Where `/live`, `/ready` and `/metrics` are served; None when they are not."""
        return None if self._endpoint is None else self._endpoint.port

    def start(self) -> None:
        """Begin to look, and to answer where the settings say so."""
        self._thread.start()
        health = self._config.health
        if not health.port:
            return
        try:
            self._endpoint = HealthEndpoint(health.host, health.port, self._answers.answers())
        except EndpointError as error:  # nobody may ask; the cart works all the same
            log.warning("no health endpoint", cart=self._config.cart, why=str(error))
            self._telemetry.count("endpoint_failed")

    def begin_stop(self) -> None:
        """Tell the watchdog to end."""
        self._monitor.stop()

    def stop(self, timeout_s: float) -> None:
        """End the watchdog and the endpoint."""
        self._thread.join(timeout_s)
        if self._endpoint is not None:
            self._endpoint.close()

    def farewell(self) -> None:
        """Note that the agent stopped cleanly."""
        self._monitor.stopped()
