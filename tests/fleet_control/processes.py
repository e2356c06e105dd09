"""Our processes, started for real: the embedded BigQuery endpoint and ingest."""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Imports of Google's clients take seconds on a busy machine.
START_S = 60.0


class Process:
    """A child whose standard output is read line by line."""

    def __init__(self, *argv: str) -> None:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.child = subprocess.Popen(
            [sys.executable, *argv],
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.errors: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read_lines, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def wait_for(self, start: str, timeout_s: float = START_S) -> str:
        """Return the next line that starts so."""
        while True:
            try:
                line = self._lines.get(timeout=timeout_s)
            except queue.Empty:
                raise AssertionError(f"no {start!r}; stderr: {''.join(self.errors[-20:])}") from None
            if line.startswith(start):
                return line.strip()

    def kill(self) -> None:
        """SIGKILL."""
        self.child.kill()
        self._end()

    def terminate(self, timeout_s: float = 30) -> int:
        """SIGTERM; return the exit status."""
        self.child.terminate()
        status = self.child.wait(timeout_s)
        self._end()
        return status

    def _end(self) -> None:
        self.child.wait(30)
        for reader in self._readers:
            reader.join(10)
        for stream in (self.child.stdout, self.child.stderr):
            if stream is not None:
                stream.close()

    def _read_lines(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            self._lines.put(line)

    def _read_errors(self) -> None:
        assert self.child.stderr is not None
        self.errors.extend(self.child.stderr)


@contextmanager
def emulator(folder: Path, port: int, grpc_port: int) -> Iterator[str]:
    """Run the embedded BigQuery endpoint; yields the warehouse's target."""
    process = Process(
        *("-m", "queries.emulator.cli", "--data-dir", str(folder), "--project", "test"),
        *("--port", str(port), "--grpc-port", str(grpc_port)),
    )
    try:
        process.wait_for("READY")
        yield f"emulator://127.0.0.1:{port}/test.cartwright?grpc={grpc_port}"
    finally:
        process.kill()


@contextmanager
def ingest(broker: object, warehouse: str, *options: str) -> Iterator[tuple[Process, str]]:
    """Run `cartwright ingest`; yields the process and its status address."""
    process = Process(
        *("-m", "fleet_control.cli", "--broker", str(broker), "--warehouse", warehouse),
        *("--http-port", "0", *options),
    )
    try:
        yield process, process.wait_for("READY").split()[1]
    finally:
        process.kill()
