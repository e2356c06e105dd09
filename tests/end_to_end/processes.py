"""Real processes for end-to-end stories: started, watched for a line, always ended."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Process:
    """One child process whose output is read line by line."""

    def __init__(self, argv: list[str], env: Mapping[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self._news: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._popen = subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as stdout:
            for line in stdout:
                self.lines.append(line)
                self._news.put(line)

    def wait_for(self, text: str, timeout_s: float = 60.0) -> str:
        """Return the first new line that contains a text; fail with the output otherwise."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                line = self._news.get(timeout=min(left, 0.5))
                if text in line:
                    return line
            if self._popen.poll() is not None and self._news.empty():
                break
        raise AssertionError(f"no {text!r} from {self._popen.args!r}:\n{self.output}")

    def wait(self, timeout_s: float) -> int:
        """Wait for the end and return the exit code."""
        return self._popen.wait(timeout_s)

    def stop(self, timeout_s: float = 20.0) -> int:
        """Ask to stop, then insist."""
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            return self._popen.wait(5)

    @property
    def output(self) -> str:
        """Everything said so far."""
        return "".join(self.lines)


@contextlib.contextmanager
def running(argv: list[str], env: Mapping[str, str] | None = None) -> Iterator[Process]:
    """Run a process for the length of a block."""
    process = Process(argv, env)
    try:
        yield process
    finally:
        process.stop()


def module(name: str, *arguments: str) -> list[str]:
    """Return the command line of one of our modules in this interpreter."""
    return [sys.executable, "-m", name, *arguments]


def until(ready: Callable[[], bool], what: str, timeout_s: float = 60.0, pause_s: float = 0.3) -> None:
    """Look until something is so; fail with its name when it never is."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s in vain for {what}")
        time.sleep(pause_s)
