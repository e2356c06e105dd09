"""The thread that looks after one agent: watchdog, degrade ladder, supervisor, crash-loop breaker."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from fleet_agent.config import HealthConfig
from fleet_agent.health.breaker import BreakerDecision, CrashBreaker
from fleet_agent.health.camera_watch import CameraWatch
from fleet_agent.health.machine import DiskReader, LinuxReader, Machine, MachineReader
from fleet_agent.health.nvml import NvmlReader
from fleet_agent.health.pressure import PressureGauge
from fleet_agent.health.sense import Sense
from fleet_agent.health.systemd import NoSupervisor, Supervisor
from fleet_agent.health.tegrastats import TegrastatsReader
from fleet_agent.health.watch import Heartbeats, Stuck
from fleet_agent.ports import Clock
from fleet_agent.telemetry import Telemetry

log = structlog.get_logger()

# Exit status of a process that ended itself because something hung: 86 means nothing else here.
EXIT_STUCK = 86
# How often machine and ladder are looked at. More often costs an idle cart; the ladder's own times
# are tens of seconds.
PRESSURE_S = 5.0
# A watchdog that could not look for so many of its periods was paused with the whole process (SIGSTOP, a
# virtual machine, swap). Lower: a busy machine is forgiven too much; higher: a pause ends the process.
PAUSE_LOOKS = 5
LEAST_PAUSE_S = 5.0


def exit_process(stuck: Stuck) -> None:
    """End the process at once: threads that hang would keep a polite end from coming."""
    log.critical("ending the process", stage=stuck.stage, doing=stuck.doing, stuck_s=round(stuck.for_s))
    sys.stderr.flush()
    os._exit(EXIT_STUCK)


def go_on(stuck: Stuck) -> None:  # the signature of `on_stuck`
    """Do nothing more than was logged and counted: for agents that share a process with others."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is around an agent in its process.

    Attributes:
        supervisor: Hears that the cart is ready and alive.
        breaker: Hears that it runs well, stops well, or hung.
        started: How this run was decided to be.
        machine: Readings; None: all that this machine has.
        on_stuck: Called once when the decider or the engine hangs; a cart that is a process of its own
            hands in `exit_process`.
        watchdog_s: How long the supervisor waits for a sign of life; None: it does not wait for one.
    """

    supervisor: Supervisor = field(default_factory=NoSupervisor)
    breaker: CrashBreaker | None = None
    started: BreakerDecision | None = None
    machine: Machine | None = None
    on_stuck: Callable[[Stuck], None] = go_on
    watchdog_s: float | None = None


def standard_machine(clock: Clock, spool: Path) -> Machine:
    """Return every reader that has something to say on this machine."""
    linux = LinuxReader()
    readers: list[MachineReader] = [linux, NvmlReader(), DiskReader(spool)]
    if "gpu_percent" not in linux.read():  # a process a minute only where /sys does not tell
        readers.append(TegrastatsReader(clock))
    return Machine(readers)


class Monitor:
    """Watches the threads of one agent.

    Telemetry: counters `watchdog_replaced` (per camera; `watchdog_replaced` alone for the scale),
    `watchdog_gave_up`, `watchdog_exits`; gauge `safe_mode`.

    Args:
        config: Limits.
        clock: Time.
        telemetry: Counts.
        beats: Heartbeats of all threads.
        senses: Threads that can be replaced, by the stage of their heartbeat.
        cameras: Their conditions.
        pressure: The ladder.
        surroundings: Who is told.
        engine_fails: Whether the network's last run failed: such a run is not healthy.
    """

    def __init__(
        self,
        config: HealthConfig,
        *,
        clock: Clock,
        telemetry: Telemetry,
        beats: Heartbeats,
        senses: Mapping[str, Sense],
        cameras: Mapping[str, CameraWatch],
        pressure: PressureGauge,
        surroundings: Surroundings,
        engine_fails: Callable[[], bool],
    ) -> None:
        self._config = config
        self._clock = clock
        self._telemetry = telemetry
        self._beats = beats
        self._senses = senses
        self._cameras = cameras
        self._pressure = pressure
        self._around = surroundings
        self._engine_fails = engine_fails
        # The manager must hear from a healthy cart several times before it loses patience.
        patience_s = surroundings.watchdog_s
        self._check_s = config.check_s if patience_s is None else min(config.check_s, patience_s / 3)
        self._stopping = clock.event()
        self._pressure_due_s = clock.monotonic_s()
        self._told_ready = False
        self._paused = False
        self._fatal: Stuck | None = None
        self.ticked_s = clock.monotonic_s()

    @property
    def fatal(self) -> Stuck | None:
        """What hangs and cannot be replaced."""
        return self._fatal

    def run(self) -> None:
        """Look once a second until the stop."""
        self._begin()
        while not self._stopping.is_set():
            try:
                self.tick()
            except Exception:  # a watchdog that dies of one bad look would watch nothing
                log.exception("health check failed")
                self._telemetry.count("health_failed")
            self._stopping.wait(self._check_s)

    def stop(self) -> None:
        """End `run`."""
        self._stopping.set()

    def stopped(self) -> None:
        """Note a clean stop."""
        self._around.supervisor.stopping()
        if self._around.breaker is not None and self._fatal is None:
            self._around.breaker.stopped()

    def _begin(self) -> None:
        started = self._around.started
        if started is None:
            return
        self._telemetry.gauge("safe_mode", float(started.safe_mode))
        for name, so in (("breaker_damaged", started.damaged), ("watchdog_exits", bool(started.hung))):
            if so:
                self._telemetry.count(name)

    def tick(self) -> None:
        """Look once."""
        now_s = self._clock.monotonic_s()
        self._judge(now_s)
        if self._fatal is None:
            self._say_alive(now_s)
        if now_s >= self._pressure_due_s:
            self._pressure_due_s = now_s + PRESSURE_S
            self._pressure.look(now_s)
            self._revive()
        self.ticked_s = now_s

    def _judge(self, now_s: float) -> None:
        """Act on who hangs or died; after a pause of the whole process nobody is to blame for the time."""
        gap_s = now_s - self.ticked_s
        # Never twice in a row: a machine so slow that every look is late must still be watched.
        self._paused = not self._paused and gap_s > max(LEAST_PAUSE_S, PAUSE_LOOKS * self._check_s)
        if self._paused:
            log.warning("process was paused", for_s=round(gap_s, 1))
            self._beats.forgive(gap_s)
            return
        for stuck in self._beats.stuck():
            self._act(stuck)
        for stage, sense in self._senses.items():
            if sense.dead:
                self._act(Stuck(stage, "nothing: its thread died", 0.0))

    def _revive(self) -> None:
        """Try cameras that were given up again, once their hanging threads have come back."""
        for stage, sense in self._senses.items():
            if sense.revive():
                log.info("given up source is tried again", stage=stage)

    def _say_alive(self, now_s: float) -> None:
        if self._around.breaker is not None:
            self._around.breaker.running(now_s, well=not self._engine_fails())
        if not self._told_ready:
            self._told_ready = True
            self._around.supervisor.ready()
        self._around.supervisor.alive(self.status)

    @property
    def level(self) -> int:
        """Where on the degrade ladder the cart stands."""
        return self._pressure.level

    @property
    def status(self) -> str:
        """One line for people."""
        sound = sum(watch.delivers for watch in self._cameras.values())
        safe = " safe mode" if self._around.started is not None and self._around.started.safe_mode else ""
        return f"{sound} of {len(self._cameras)} cameras, degrade level {self._pressure.level}{safe}"

    def _act(self, stuck: Stuck) -> None:
        sense = self._senses.get(stuck.stage)
        camera = stuck.stage.removeprefix("capture/") if stuck.stage.startswith("capture/") else ""
        if sense is None:
            self._hangs_for_good(stuck)
            return
        log.error("source hangs", stage=stuck.stage, doing=stuck.doing, stuck_s=round(stuck.for_s))
        if camera:
            self._cameras[camera].lost(f"its driver hangs in {stuck.doing}")
        if sense.replace():
            self._telemetry.count("watchdog_replaced", camera=camera)
        elif camera:  # the other cameras go on
            log.error("camera is given up", camera=camera)
            self._telemetry.count("watchdog_gave_up", camera=camera)
        else:  # no event is possible without the scale
            self._hangs_for_good(stuck)

    def _hangs_for_good(self, stuck: Stuck) -> None:
        if self._fatal is not None:
            return
        self._fatal = stuck
        log.critical("hangs", stage=stuck.stage, doing=stuck.doing, stuck_s=round(stuck.for_s))
        if self._around.breaker is not None:
            self._around.breaker.hung(stuck.stage)
        self._around.on_stuck(stuck)
