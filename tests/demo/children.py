"""Tiny real processes for the supervisor's tests."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from demo.up.components import Component
from demo.up.readiness import CleanExit, ReadyLine

# Long enough for a loaded machine; nothing waits this long when all is well.
PATIENCE_S = 30.0

LOYAL = "import time; print('READY here', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('READY', flush=True); time.sleep(600)"
)
PARENT = (
    "import subprocess, sys, time;"
    "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "print('READY', p.pid, flush=True); time.sleep(600)"
)
BROKEN = "import sys; sys.stderr.write('the key is lost\\n'); raise SystemExit(3)"
SILENT = "import time; time.sleep(600)"


def service(
    name: str,
    code: str = LOYAL,
    *,
    after: tuple[str, ...] = (),
    ready_timeout_s: float = 600.0,
    stop_timeout_s: float = 10.0,
) -> Component:
    """Return a component that runs a line of Python and says READY."""
    return Component(
        name,
        (sys.executable, "-c", code),
        ReadyLine(),
        after=after,
        ready_timeout_s=ready_timeout_s,
        stop_timeout_s=stop_timeout_s,
    )


def errand(name: str, code: str, *, after: tuple[str, ...] = ()) -> Component:
    """Return a one-shot component."""
    return Component(name, (sys.executable, "-c", code), CleanExit(), after=after, one_shot=True)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll a condition until it holds.

    Raises:
        AssertionError: it did not in time.
    """
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited in vain: {what}"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Tell whether a process has ended (a zombie has)."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def pids_in(log: Path) -> list[int]:
    """Return the process ids that PARENT components have written."""
    words = log.read_text().split() if log.exists() else []
    return [int(word) for word in words if word.isdigit()]
