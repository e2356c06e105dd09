"""Processes that are told to stop do, whichever of their threads the signal comes to."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WAITS = """
import signal, threading
from {module} import on_stop_signal
stop, waits = threading.Event(), threading.Event()
on_stop_signal(stop.set)
threading.Thread(target=waits.wait, daemon=True).start()
# The signal can only come to another thread; by itself the kernel mostly, not always, takes the main one.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
print("waits", flush=True)
stop.wait()
"""


@pytest.mark.parametrize("module", ["fleet_agent.stop_signals", "fleet_control.stop_signals"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_waiting_process_stops_although_the_signal_came_to_another_thread(
    module: str, number: signal.Signals
) -> None:
    """A main thread that waits without an end is woken by the thread that listens."""
    command = [sys.executable, "-c", WAITS.format(module=module)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        process.send_signal(number)
        try:
            assert process.wait(30) == 0
        finally:
            process.kill()
