"""Stories about the watchdog of a whole cart, and who hears from it."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError

import pytest

from fleet_agent.config import CaptureConfig, HealthConfig, TelemetryConfig
from fleet_agent.engines.fake import FakeEngine
from fleet_agent.errors import ScaleLostError, ScaleOpenError
from fleet_agent.health.breaker import BreakerDecision, BreakerLimits, CrashBreaker
from fleet_agent.health.machine import Machine, Readings
from fleet_agent.health.monitor import EXIT_STUCK, Monitor, Surroundings
from fleet_agent.health.pressure import PressureGauge
from fleet_agent.health.systemd import NoSupervisor, Systemd, supervisor, watchdog_period_s
from fleet_agent.health.watch import Heartbeats, Stuck
from fleet_agent.perception import Tensor
from fleet_agent.ports import ScaleReading
from fleet_agent.telemetry import Telemetry
from tests.fleet_agent.simulated_cart import SimulatedCart, SimulatedScale, Stage, running
from tests.fleet_agent.worlds import COLORS, SteppedClock, config, manifest

SETTINGS = config(
    telemetry=TelemetryConfig(window_s=10.0),
    capture=CaptureConfig(event_fps=6.0, event_before_s=0.8, reconnect_min_s=0.2, reconnect_max_s=1.0),
    health=HealthConfig(stuck_source_s=5.0, stuck_decider_s=5.0, source_restarts=1, blurred_below=0.0),
)


class Fixed:
    """A machine that says what a story sets."""

    def __init__(self) -> None:
        self.readings: Readings = {}

    def read(self) -> Readings:
        """Say it."""
        return self.readings


class Ear:
    """A supervisor that remembers."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def ready(self) -> None:
        """Remember."""
        self.heard.append("ready")

    def alive(self, status: str) -> None:
        """Remember."""
        self.heard.append(status)

    def stopping(self) -> None:
        """Remember."""
        self.heard.append("stopping")


def test_a_cart_says_ready_then_how_it_is_then_that_it_stops(tmp_path: Path) -> None:
    """The supervisor hears once a second, with a line for people."""
    ear = Ear()
    surroundings = Surroundings(supervisor=ear, machine=Machine([]))
    with running(SimulatedCart(SETTINGS, tmp_path / "s.db", surroundings=surroundings)) as one:
        one.clock.sleep(10.0)
        assert ear.heard[0] == "ready"
        assert ear.heard.count("2 of 2 cameras, degrade level 0") >= 8
        one.cameras["left"].mode = "black"
        one.clock.sleep(5.0)
        assert ear.heard[-1] == "1 of 2 cameras, degrade level 0"
    assert ear.heard[-1] == "stopping"


def test_a_supervisor_with_little_patience_hears_more_often(tmp_path: Path) -> None:
    """Whatever the settings say, a healthy cart speaks three times before its manager would end it."""
    ear = Ear()
    lazy = replace(SETTINGS, health=replace(SETTINGS.health, check_s=20.0))
    surroundings = Surroundings(supervisor=ear, machine=Machine([]), watchdog_s=6.0)
    with running(SimulatedCart(lazy, tmp_path / "s.db", surroundings=surroundings)) as one:
        one.clock.sleep(20.0)
        assert len(ear.heard) >= 10


class HangingEngine(FakeEngine):
    """A network whose third run never returns."""

    def __init__(self) -> None:
        super().__init__(manifest(), COLORS, cameras=2)
        self.cart: SimulatedCart | None = None

    def infer(self, frames: int) -> Mapping[str, Tensor]:
        """Hang."""
        if self.calls == 2 and self.cart is not None:
            self.cart.clock.event().wait(60.0)
        return super().infer(frames)


def test_an_engine_that_hangs_ends_the_process_once_and_the_next_start_knows(tmp_path: Path) -> None:
    """It cannot be replaced in the process: whoever owns the process is told, and nobody is kept alive."""
    engine, told, ear = HangingEngine(), list[Stuck](), Ear()
    breaker = CrashBreaker(tmp_path / "starts.json", BreakerLimits())
    surroundings = Surroundings(
        supervisor=ear,
        breaker=breaker,
        started=breaker.started(1_000_000),
        machine=Machine([]),
        on_stuck=told.append,
    )
    with running(SimulatedCart(SETTINGS, tmp_path / "s.db", engine=engine, surroundings=surroundings)) as one:
        engine.cart = one
        one.clock.sleep(40.0)
        (stuck,) = told
        assert (stuck.stage, stuck.doing) in {("engine", "infer"), ("decide", "decide")}
        silent = len(ear.heard)
        one.clock.sleep(10.0)
        assert len(ear.heard) == silent
    again = CrashBreaker(tmp_path / "starts.json", BreakerLimits()).started(1_010_000)
    assert again.hung == stuck.stage
    assert again.crashes == 1


def test_what_the_run_before_left_is_in_the_first_window(tmp_path: Path) -> None:
    """Safe mode is a gauge in every window; a hang and a damaged memory are counted once."""
    started = BreakerDecision(safe_mode=True, crashes=5, hung="engine", damaged=True)
    surroundings = Surroundings(started=started, machine=Machine([]))
    with running(SimulatedCart(SETTINGS, tmp_path / "s.db", surroundings=surroundings)) as one:
        one.clock.sleep(25.0)
    assert set(one.gauges("safe_mode")) == {1.0}
    assert (one.counter("watchdog_exits"), one.counter("breaker_damaged")) == (1, 1)


class HangingScale(SimulatedScale):
    """A scale whose driver hangs after ten seconds, however often it is opened."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._clock = stage.clock
        self._hangs_from_s = stage.clock.monotonic_s() + 10.0

    def read(self, timeout_s: float) -> ScaleReading | None:
        """Hang."""
        if self._clock.monotonic_s() >= self._hangs_from_s:
            self._clock.event().wait()
        return super().read(timeout_s)


def test_a_scale_that_hangs_is_replaced_and_then_ends_the_process(tmp_path: Path) -> None:
    """Without a scale there are no events: one new thread is tried, then the process is to start again."""
    told: list[Stuck] = []
    surroundings = Surroundings(machine=Machine([]), on_stuck=told.append)
    with running(
        SimulatedCart(SETTINGS, tmp_path / "s.db", scale=HangingScale, surroundings=surroundings)
    ) as one:
        one.clock.sleep(40.0)
    assert one.counter("watchdog_replaced") == 1
    assert [stuck.stage for stuck in told] == ["scale"]


class UnpluggedScale(SimulatedScale):
    """A scale whose cable can be pulled."""

    gone = False

    def open(self) -> None:
        """Open it, if it is there."""
        if self.gone:
            raise ScaleOpenError("/dev/ttyUSB0: it is not there")

    def read(self, timeout_s: float) -> ScaleReading | None:
        """Read it, if it is there."""
        if self.gone:
            raise ScaleLostError("unplugged")
        return super().read(timeout_s)


def test_a_cart_whose_scale_is_unplugged_is_not_ready_and_says_why(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """No scale, no events: 503 and a counted loss while it is gone, ready again when it is back."""
    port, scales = free_port(), list[UnpluggedScale]()
    settings = replace(SETTINGS, health=replace(SETTINGS.health, port=port))

    def make(stage: Stage) -> UnpluggedScale:
        scales.append(UnpluggedScale(stage))
        return scales[-1]

    with running(SimulatedCart(settings, tmp_path / "s.db", scale=make)) as one:
        assert fetch(port, "/ready")[0] == 200
        scales[0].gone = True
        one.clock.sleep(60.0)
        status, body = fetch(port, "/ready")
        assert (status, json.loads(body)["parts"]["scale"]["ok"]) == (503, False)
        scales[0].gone = False
        one.clock.sleep(15.0)
        assert fetch(port, "/ready")[0] == 200
    assert one.counter("scale_lost") == 1
    assert {0.0, 1.0} <= set(one.gauges("scale_bad"))
    assert one.gauges("scale_bad")[-1] == 0.0


class SeizedScale(HangingScale):
    """A scale whose hanging thread keeps the port, so that the next thread cannot open it."""

    opened = 0

    def open(self) -> None:
        """Open it once."""
        self.opened += 1
        if self.opened > 1:
            raise ScaleOpenError("/dev/ttyUSB0: in use")


def test_a_hung_scale_that_cannot_be_opened_again_is_lost_by_name(tmp_path: Path) -> None:
    """Replacing the thread does not free the port: the cart must not look well."""
    with running(SimulatedCart(SETTINGS, tmp_path / "s.db", scale=SeizedScale)) as one:
        one.clock.sleep(60.0)
    assert (one.counter("watchdog_replaced"), one.counter("scale_lost")) == (1, 1)
    assert one.gauges("scale_bad")[-1] == 1.0


class QuittingScale(SimulatedScale):
    """A scale whose driver ends its own thread, once."""

    quits = True

    def read(self, timeout_s: float) -> ScaleReading | None:
        """End the thread that reads."""
        if self.quits:
            self.quits = False
            raise SystemExit
        return super().read(timeout_s)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_died_is_replaced(tmp_path: Path) -> None:
    """It hangs in nothing, so its heartbeat is silent: the watchdog looks whether it lives."""
    with running(SimulatedCart(SETTINGS, tmp_path / "s.db", scale=QuittingScale)) as one:
        one.clock.sleep(5.0)
        one.stage.move(1)
        assert [event.item_id for event in one.told] == ["item-1"]
    assert one.counter("watchdog_replaced") == 1


def watched(
    told: list[Stuck],
    breaker: CrashBreaker | None = None,
    engine_fails: Callable[[], bool] = lambda: False,
) -> tuple[SteppedClock, Heartbeats, Monitor]:
    """Return a watchdog whose looks and time a story makes."""
    clock, telemetry = SteppedClock(), Telemetry()
    beats = Heartbeats(clock)
    pressure = PressureGauge(
        config(), machine=Machine([]), telemetry=telemetry, standings=dict, apply=lambda _: None
    )
    monitor = Monitor(
        SETTINGS.health,
        clock=clock,
        telemetry=telemetry,
        beats=beats,
        senses={},
        cameras={},
        pressure=pressure,
        surroundings=Surroundings(machine=Machine([]), on_stuck=told.append, breaker=breaker),
        engine_fails=engine_fails,
    )
    return clock, beats, monitor


def breaker_forgot(folder: Path) -> bool:
    """Whether nothing is left of the starts before."""
    stored: dict[str, list[int]] = json.loads((folder / "starts.json").read_bytes())
    return stored["starts_ms"] == []


def test_a_pause_of_the_whole_process_is_nobodys_fault() -> None:
    """After a minute's pause calls have all their time left, but for what they had used before it."""
    clock = SteppedClock()
    beats = Heartbeats(clock)
    beats.set("engine", "infer", 5.0)
    clock.now_s += 60.0
    assert [one.stage for one in beats.stuck()] == ["engine"]
    beats.forgive(58.0)
    assert beats.stuck() == []
    clock.now_s += 3.5
    assert [one.for_s for one in beats.stuck()] == [pytest.approx(5.5)]


def test_a_paused_cart_is_not_ended_for_the_pause() -> None:
    """A virtual machine that stood still for two minutes goes on; one that hangs is still found."""
    told: list[Stuck] = []
    clock, beats, monitor = watched(told)
    beats.set("engine", "infer", 5.0)
    monitor.tick()
    clock.now_s += 120.0
    monitor.tick()
    assert told == []
    clock.now_s += 6.0  # no excuse twice in a row, however slow the looks are
    monitor.tick()
    assert [stuck.stage for stuck in told] == ["engine"]


def test_a_run_whose_engine_fails_is_not_healthy(tmp_path: Path) -> None:
    """Ten minutes of failing inferences are no reason to forget the crashes before."""
    failing = [True]
    breaker = CrashBreaker(tmp_path / "starts.json", BreakerLimits(starts=1, healthy_after_s=600.0))
    breaker.started(1_000_000)
    clock, _, monitor = watched([], breaker, lambda: failing[0])
    for minute in range(30):
        failing[0] = minute < 15
        clock.now_s += 60.0
        monitor.tick()
        if minute == 14:
            assert breaker_forgot(tmp_path) is False
    assert breaker_forgot(tmp_path) is True


def test_a_hot_cart_looks_less_and_says_so(tmp_path: Path) -> None:
    """Level by level down while it is hot, up again when it is cool; every window shows where it stands."""
    machine = Fixed()
    machine.readings = {"temp_c": 95.0, "throttled": 1.0}
    surroundings = Surroundings(machine=Machine([machine]))
    settings = replace(SETTINGS, health=replace(SETTINGS.health, degrade_after_s=10.0, recover_after_s=30.0))
    with running(SimulatedCart(settings, tmp_path / "s.db", surroundings=surroundings)) as one:
        one.clock.sleep(60.0)
        one.stage.move(1)
        assert [event.item_id for event in one.told] == ["item-1"]
        machine.readings = {"temp_c": 50.0, "throttled": 0.0}
        one.clock.sleep(120.0)
        machine.readings = {}
        one.clock.sleep(20.0)
    levels = one.gauges("degrade_level")
    assert max(levels) == 3.0
    assert levels[-1] == 0.0
    assert (one.counter("degraded"), one.counter("recovered")) == (3, 3)
    assert one.counter("degraded_hot") == 3
    assert one.counter("throttled") == 1
    assert "temp_c" not in one.windows()[-1].gau


def test_a_cart_that_may_not_degrade_only_says_how_hot_it_is(tmp_path: Path) -> None:
    """The setting leaves the looking as it is."""
    machine = Fixed()
    machine.readings = {"temp_c": 95.0}
    settings = replace(SETTINGS, health=replace(SETTINGS.health, degrade=False))
    surroundings = Surroundings(machine=Machine([machine]))
    with running(SimulatedCart(settings, tmp_path / "s.db", surroundings=surroundings)) as one:
        one.clock.sleep(60.0)
    assert set(one.gauges("degrade_level")) == {0.0}
    assert one.gauges("temp_c")[-1] == 95.0


def fetch(port: int, path: str) -> tuple[int, str]:
    """Return status and body of a question to the cart."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return int(response.status), response.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_running_cart_answers_for_itself(tmp_path: Path, free_port: Callable[[], int]) -> None:
    """Live and ready with two cameras; not ready when both are black; the page counts its frames."""
    port = free_port()
    settings = replace(SETTINGS, health=replace(SETTINGS.health, port=port))
    with running(SimulatedCart(settings, tmp_path / "s.db")) as one:
        one.clock.sleep(12.0)
        assert one.agent.health_port == port
        assert fetch(port, "/live")[0] == 200
        status, body = fetch(port, "/ready")
        assert status == 200
        assert json.loads(body)["parts"]["cameras"]["conditions"] == {"front": "ok", "left": "ok"}
        for camera in one.cameras.values():
            camera.mode = "black"
        one.clock.sleep(10.0)
        status, body = fetch(port, "/ready")
        assert status == 503
        parts = json.loads(body)["parts"]
        assert parts["cameras"]["conditions"] == {"front": "black", "left": "black"}
        assert (parts["engine"]["ok"], parts["spool"]["ok"], parts["mode"]["safe_mode"]) == (
            True,
            True,
            False,
        )
        assert 'camera="front"' in fetch(port, "/metrics")[1]


def test_a_health_port_that_is_taken_does_not_stop_the_cart(tmp_path: Path) -> None:
    """Nobody can ask; that is counted, and the cart works."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        health = replace(SETTINGS.health, port=taken.getsockname()[1])
        with running(SimulatedCart(replace(SETTINGS, health=health), tmp_path / "s.db")) as one:
            one.stage.move(0)
            assert len(one.told) == 1
        assert one.counter("endpoint_failed") == 1


def test_systemd_hears_datagrams_of_its_protocol(tmp_path: Path) -> None:
    """READY, WATCHDOG with a status of one line, STOPPING; and a manager that is gone is no error."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(10.0)
        heard = supervisor({"NOTIFY_SOCKET": address})
        heard.ready()
        heard.alive("2 of 4 cameras\nREADY=0")
        heard.stopping()
        assert [manager.recv(1000) for _ in range(3)] == [
            b"READY=1",
            b"WATCHDOG=1\nSTATUS=2 of 4 cameras READY=0",
            b"STOPPING=1",
        ]
    heard.alive("nobody listens")
    Systemd("@cartwright-no-such-name").ready()


def test_abstract_sockets_are_heard_too() -> None:
    """An `@` stands for the zero byte of an abstract name."""
    name = f"cartwright-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name)
        manager.settimeout(10.0)
        supervisor({"NOTIFY_SOCKET": "@" + name}).ready()
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:3"}])
def test_without_a_manager_nobody_is_told(environment: dict[str, str]) -> None:
    """A cart started by hand says nothing to anybody."""
    assert isinstance(supervisor(environment), NoSupervisor)


@pytest.mark.parametrize(
    ("environment", "period_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "42"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "43"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({}, None),
    ],
)
def test_the_watchdogs_period_is_read_as_systemd_writes_it(
    environment: dict[str, str], period_s: float | None
) -> None:
    """Meant for this process, a positive number of microseconds, or no watchdog."""
    assert watchdog_period_s(environment, pid=42) == period_s


HANG = """
import threading, time
from fleet_agent.health.monitor import exit_process
from fleet_agent.health.watch import Heartbeats, Stuck
threading.Thread(target=lambda: threading.Event().wait()).start()
exit_process(Stuck("engine", "infer", 61.0))
"""


def test_a_process_that_hangs_ends_with_its_own_status() -> None:
    """Threads that never end do not keep it; the status tells the manager and people why."""
    begun = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", HANG], capture_output=True, timeout=60, check=False)
    assert ended.returncode == EXIT_STUCK
    assert time.monotonic() - begun < 60
    assert b"infer" in ended.stdout + ended.stderr
