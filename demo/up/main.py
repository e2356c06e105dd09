"""`cartwright up`."""

import os
import signal
import sys
import time
from collections.abc import Sequence

from demo.data_dir import DataDir, locked, write_atomically
from demo.errors import DemoError
from demo.up.board import Board
from demo.up.broker import choose_kind
from demo.up.plan import Plan, addresses, needed_ports
from demo.up.ports import LOOPBACK, Ports, settle
from demo.up.settings import UpSettings, read_settings
from demo.up.supervisor import Change, Supervisor
from demo.up.watchman import Watchman
from demo.world.record import start_record


class StopRequest:
    """Set by Ctrl-C, SIGTERM, or a terminal that goes away; looked at between two steps.

    A signal never interrupts a step: a process that was just started must not be forgotten.
    """

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: object) -> None:
        del number, frame
        self.asked = True


def main(argv: Sequence[str] | None = None) -> int:
    """Start everything and watch over it; returns the exit status."""
    board = Board(sys.stdout)
    try:
        settings = read_settings(sys.argv[2:] if argv is None else argv)
        with locked(DataDir(settings.data_dir)):
            _run(settings, board)
    except DemoError as error:
        sys.stderr.write(f"cartwright up: {error}\n")
        return 1
    return 0


def _run(settings: UpSettings, board: Board) -> None:
    data = DataDir(settings.data_dir)
    stop = StopRequest()
    # Everything that can be wrong is found before anything is started or written.
    kind = "none" if settings.broker else choose_kind(settings.broker_kind, os.environ)
    ports = settle(settings.ports, needed_ports(settings))
    record = start_record(data, settings.wishes, lambda: time.time_ns() // 1_000_000)
    board.greet(record, str(data.root))
    components = Plan(settings, ports, record, kind, os.environ).components()
    watchman = Watchman()
    journal = Journal(data, settings, ports)
    supervisor = Supervisor(
        components,
        logs=data.logs,
        orphanage=watchman,
        on_change=lambda change: _tell(board, journal, supervisor, change),
    )
    try:
        _watch(supervisor, board, stop, settings, ports)
    finally:
        board.say("\nStopping.")
        supervisor.stop()
        watchman.dismiss()
        journal.write(supervisor)
        board.say(f"All stopped. The next `cartwright up` goes on with the data in {data.root}.")


def _watch(
    supervisor: Supervisor, board: Board, stop: StopRequest, settings: UpSettings, ports: Ports
) -> None:
    begun_s, until_s = time.monotonic(), float("inf")
    was_up = False
    while not stop.asked and time.monotonic() < until_s:
        supervisor.step()
        if supervisor.all_up and not was_up:
            was_up = True
            board.all_up(_dashboard_url(settings, ports), time.monotonic() - begun_s)
            if settings.run_for_s is not None:
                until_s = time.monotonic() + settings.run_for_s
        time.sleep(supervisor.pause_s)


def _dashboard_url(settings: UpSettings, ports: Ports) -> str | None:
    return None if settings.headless else f"http://{LOOPBACK}:{ports.dashboard}"


def _tell(board: Board, journal: "Journal", supervisor: Supervisor, change: Change) -> None:
    board.change(change)
    journal.write(supervisor)


class Journal:
    """`run.json`: what runs now, for scripts and tests."""

    def __init__(self, data: DataDir, settings: UpSettings, ports: Ports) -> None:
        self._data = data
        where = addresses(settings, ports)
        self._fixed = {
            "pid": os.getpid(),
            "broker": where.broker,
            "warehouse": where.warehouse,
            "dashboard": _dashboard_url(settings, ports),
            "ingest": f"http://{LOOPBACK}:{ports.ingest}",
            "control": f"http://{LOOPBACK}:{ports.control}",
            "models": f"http://{LOOPBACK}:{ports.models}",
        }

    def write(self, supervisor: Supervisor) -> None:
        """Write what runs now."""
        components = {
            name: {
                "state": str(slot.state),
                "pid": slot.pid,
                "address": slot.component.address,
                "log": str(supervisor.log_of(slot.component)),
            }
            for name, slot in supervisor.slots.items()
        }
        write_atomically(
            self._data.run, {**self._fixed, "all_up": supervisor.all_up, "components": components}
        )
