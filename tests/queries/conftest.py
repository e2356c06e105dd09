"""The embedded endpoint as a real process, and warehouses in it."""

from __future__ import annotations

import itertools
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from queries.client import Warehouse, open_warehouse
from queries.schema import apply_schema
from queries.target import Target

PROJECT = "cartwright"
START_TIMEOUT_S = 60.0
_numbers = itertools.count()


class EmulatorProcess:
    """`cartwright bigquery-emulator` on free ports."""

    def __init__(self, data_dir: Path, port: int = 0, grpc_port: int = 0) -> None:
        self.data_dir = data_dir
        arguments = ["--data-dir", str(data_dir), "--port", str(port), "--grpc-port", str(grpc_port)]
        code = "import sys; from queries.emulator.cli import main; sys.exit(main(sys.argv[1:]))"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments, "--project", PROJECT], stdout=subprocess.PIPE, text=True
        )
        self.rest_url, self.grpc_address = self._addresses()

    def _addresses(self) -> tuple[str, str]:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], START_TIMEOUT_S)
        line = self._process.stdout.readline() if ready else ""
        found = re.search(r"READY (http://\S+) grpc (\S+)", line)
        if found is None:
            self.stop()
            pytest.fail(f"the emulator did not become ready: {line!r}")
        return found[1], found[2]

    def target(self, dataset: str) -> Target:
        """Return a dataset in it."""
        return Target(PROJECT, dataset, self.rest_url, self.grpc_address)

    def stop(self, *, kill: bool = False) -> None:
        """End it; waits until it is gone."""
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.wait(30)
        if self._process.stdout is not None:
            self._process.stdout.close()


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    """One endpoint for all tests; each takes a dataset of its own."""
    process = EmulatorProcess(tmp_path_factory.mktemp("warehouse"))
    yield process
    process.stop()


@pytest.fixture
def empty_warehouse(emulator: EmulatorProcess) -> Iterator[Warehouse]:
    """A dataset of its own with the schema and no rows."""
    with open_warehouse(emulator.target(f"test_{next(_numbers)}")) as warehouse:
        apply_schema(warehouse)
        yield warehouse
