"""One child process in its own group, with its output in a log file."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from demo.up.components import Component
from demo.up.readiness import Signs, last_line

POLL_S = 0.02
# Every numeric library gets one thread: ten processes with a thread per core each would spend
# the laptop's time on switching between them. And glibc keeps a heap per thread, which costs a
# process with forty threads a hundred megabytes.
FRUGAL = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_NUM_THREADS"), "1"),
    "MALLOC_ARENA_MAX": "2",
}


class Child:
    """A running component."""

    def __init__(self, component: Component, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.component = component
        self.log = log
        # What it says on stdout has a file of its own: a log line of another thread must never run
        # into the READY line. Only this start counts, so it begins empty.
        self._said = log.with_suffix(".out")
        self._process = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._said.open("wb") as said, self.log.open("ab") as log:
            return subprocess.Popen(
                self.component.argv,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=log,
                cwd=self.component.cwd,
                env={**FRUGAL, **os.environ, "PYTHONUNBUFFERED": "1", **self.component.env},
                # A group of its own: Ctrl-C in the terminal reaches only the supervisor, which then
                # stops components in order, and a component's own children can be stopped with it.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id, which is its group id too."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit status (negative for a signal), or None while it runs."""
        return self._process.poll()

    def signs(self) -> Signs:
        """Return what a readiness probe may look at."""
        return Signs(self._said, self.exit_code)

    @property
    def last_words(self) -> str:
        """The last line it wrote to its log, or else to stdout."""
        return last_line(self.log) or last_line(self._said)

    def ask_to_stop(self) -> None:
        """Send SIGTERM to its group."""
        if self.exit_code is None:
            signal_group(self.pid, signal.SIGTERM)

    def finish(self, deadline_s: float) -> None:
        """Wait until it has ended (deadline on the monotonic clock), then kill what is left of it."""
        while self.exit_code is None and time.monotonic() < deadline_s:
            time.sleep(POLL_S)
        signal_group(self.pid, signal.SIGKILL)
        self._process.wait()


def signal_group(pgid: int, number: signal.Signals) -> None:
    """Send a signal to a process group; one that is gone already is fine."""
    # macOS answers EPERM for a group whose only members are zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, number)
