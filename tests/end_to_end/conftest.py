"""A cloud side for strangers: a real broker, the embedded warehouse, ingest."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import find_tool
from tests.end_to_end.processes import module, running
from tests.end_to_end.warehouse import Reader

PROJECT = "cartwright-test"


@dataclass(frozen=True, slots=True)
class Cloud:
    """Where the cloud side is."""

    broker_port: int
    reader: Reader


@pytest.fixture
def cloud(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Cloud]:
    """Start mosquitto, the BigQuery endpoint and ingest; stop them afterwards."""
    broker, http, grpc, status = (free_port() for _ in range(4))
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {broker} 127.0.0.1\nallow_anonymous true\n")
    warehouse = f"emulator://127.0.0.1:{http}/{PROJECT}.cartwright?grpc={grpc}"
    with ExitStack() as stack:
        stack.enter_context(running([find_tool("mosquitto") or "mosquitto", "-c", str(config)]))
        emulator = stack.enter_context(
            running(
                module(
                    "demo.cli",
                    *("bigquery-emulator", "--data-dir", str(tmp_path / "warehouse"), "--project", PROJECT),
                    *("--port", str(http), "--grpc-port", str(grpc)),
                )
            )
        )
        emulator.wait_for("READY")
        ingest = stack.enter_context(
            running(
                module(
                    "demo.cli",
                    *("ingest", "--broker", f"mqtt://127.0.0.1:{broker}", "--warehouse", warehouse),
                    *("--http-port", str(status), "--rollup-interval-s", "3600"),
                )
            )
        )
        ingest.wait_for("READY")
        reader = Reader(http, PROJECT)
        yield Cloud(broker, reader)
        reader.close()
    shutil.rmtree(tmp_path / "warehouse", ignore_errors=True)
