"""The embedded endpoint as a process: starts, refuses to start, stops, and is killed."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.queries.conftest import EmulatorProcess
from tests.queries.test_emulator_writes import Writes, batch, request, settle

CODE = "import sys; from queries.emulator.cli import main; sys.exit(main(sys.argv[1:]))"


def start_and_fail(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Start an endpoint that cannot start."""
    return subprocess.run(
        [sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def taken() -> socket.socket:
    """A port that somebody else listens on."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def test_a_taken_port_is_a_sentence(tmp_path: Path, taken: socket.socket) -> None:
    """A port in use ends the start with a sentence that names it and exit code 1."""
    port = str(taken.getsockname()[1])
    rest = start_and_fail("--data-dir", str(tmp_path / "a"), "--port", port, "--grpc-port", "0")
    grpc = start_and_fail("--data-dir", str(tmp_path / "b"), "--port", "0", "--grpc-port", port)
    taken.close()
    for found in (rest, grpc):
        assert found.returncode == 1
        assert f"127.0.0.1:{port}" in found.stderr
        assert "Traceback" not in found.stderr


def test_two_processes_do_not_share_a_directory(tmp_path: Path) -> None:
    """A second process on the same data is refused; the first goes on, and stops cleanly on SIGTERM."""
    first = EmulatorProcess(tmp_path)
    second = start_and_fail("--data-dir", str(tmp_path), "--port", "0", "--grpc-port", "0")
    assert (second.returncode, second.stderr.count("\n")) == (1, 1)
    assert "is in use by another process" in second.stderr
    writes = Writes(first)
    assert writes.values() == []
    writes.close()
    first.stop()
    assert first._process.returncode == 0
    third = EmulatorProcess(tmp_path)
    third.stop()


def test_acknowledged_rows_survive_a_kill(tmp_path: Path) -> None:
    """SIGKILL right after acknowledgements: rows, offsets and tables are all still there, none twice."""
    emulator = EmulatorProcess(tmp_path)
    writes = Writes(emulator)
    name = writes.create()
    stream = writes.open(name, batch(1).schema)
    futures = [stream.send(request(name, batch(*range(n * 100, n * 100 + 100)), n * 100)) for n in range(20)]
    acknowledged = [settle(f).append_result.offset for f in futures[:12]]
    emulator.stop(kill=True)
    writes.close()
    again = EmulatorProcess(tmp_path)
    writes.api = Writes(again).api
    after = Writes(again)
    after.dataset, after.parent = writes.dataset, writes.parent
    found = after.values()
    assert found == list(range(len(found)))
    assert len(found) >= max(acknowledged) + 100
    stream = after.open(name, batch(1).schema)
    next_offset = len(found)
    assert (
        settle(stream.send(request(name, batch(next_offset), next_offset))).append_result.offset
        == next_offset
    )
    stream.close()
    after.close()
    again.stop()
