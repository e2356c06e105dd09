"""Stories about a cart as a process: counted starts, safe mode, and what the service manager hears."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from fleet_agent.config import CartConfig, ModelConfig, parse_config
from fleet_agent.health.breaker import parse_state
from fleet_agent.health.process import safe_config
from fleet_agent.launch import SHIPPED_MODELS
from tests.fleet_agent.worlds import CART, STORE, noisy, picture, wait_for

ROOT = Path(__file__).parents[3]
needs_model = pytest.mark.skipif(
    not any(SHIPPED_MODELS.glob("*/model.onnx")), reason="no model is shipped: python -m training.run"
)


@dataclass(frozen=True, slots=True)
class Bench:
    """A cart's folder, the address of its health endpoint, and what its service manager heard."""

    folder: Path
    port: int
    heard: list[bytes]

    def start(self) -> "subprocess.Popen[str]":
        """Start the cart."""
        return subprocess.Popen(
            [sys.executable, "-m", "fleet_agent.cli", "run", "--config", str(self.folder / "cart.toml")],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "NOTIFY_SOCKET": str(self.folder / "notify"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, path: str) -> str:
        """Return the answer of the cart, which says yes."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as response:
            text: str = response.read().decode()
            return text

    def ready(self) -> bool:
        """Whether the cart says that it is."""
        try:
            self.ask("/ready")
        except OSError:
            return False
        return True

    def starts(self) -> tuple[int, bool]:
        """Return the starts that did not end well, and whether that is a loop."""
        state = parse_state((self.folder / "spool.db.starts.json").read_bytes())
        assert state is not None
        return len(state.starts_ms), state.tripped


@pytest.fixture
def bench(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Bench]:
    """A cart with one camera whose model's folder is not there."""
    rng = np.random.default_rng(2)
    (tmp_path / "images").mkdir()
    for ix in range(20):
        cv2.imwrite(str(tmp_path / "images" / f"{ix:03d}.png"), noisy(picture(ix % 3), rng))
    port = free_port()
    (tmp_path / "cart.toml").write_text(
        f"""
        store = "{STORE}"
        cart = "{CART}"
        simulated = true
        [model]
        backend = "tensorrt"
        device = 999
        [[cameras]]
        name = "front"
        kind = "images"
        source = "{tmp_path}/images"
        fps = 5.0
        loop = true
        [spool]
        path = "{tmp_path}/spool.db"
        [mqtt]
        port = 9
        [health]
        port = {port}
        check_s = 0.1
        crash_starts = 2
        healthy_after_s = 3.0
        """
    )
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))

        def listen() -> None:
            while not heard or heard[-1] != b"":
                heard.append(manager.recv(1000))

        ear = threading.Thread(target=listen, daemon=True)
        ear.start()
        yield Bench(tmp_path, port, heard)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(tmp_path / "notify"))
        ear.join(10.0)


@needs_model
def test_a_cart_that_cannot_start_starts_in_safe_mode_and_recovers(bench: Bench) -> None:
    """A GPU that is not there: two starts fail, the third runs the shipped model, and says so."""
    for failures in (1, 2):
        process = bench.start()
        _, log = process.communicate(timeout=60)
        assert process.returncode == 1, log
        assert bench.starts() == (failures, False)
    process = bench.start()
    try:
        wait_for(lambda: len(bench.heard) >= 2)
        assert bench.heard[0] == b"READY=1"
        assert bench.heard[1].startswith(b"WATCHDOG=1\nSTATUS=")
        wait_for(bench.ready)
        mode = json.loads(bench.ask("/ready"))["parts"]["mode"]
        assert mode["safe_mode"] is True
        assert json.loads(bench.ask("/live"))["ok"] is True
        wait_for(lambda: bench.starts() == (0, False))  # it was healthy: the next start is a normal one
        assert f'cartwright_safe_mode{{cart="{CART}",store="{STORE}"}} 1' in bench.ask("/metrics")
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0, log
    wait_for(lambda: bench.heard[-1] == b"STOPPING=1")


def test_safe_mode_is_the_shipped_model_on_the_processor() -> None:
    """What can crash least: no GPU, no plan, full precision, no look while nothing moves; all else stays."""
    config = CartConfig(
        store=STORE,
        cart=CART,
        model=ModelConfig(directory="/x", backend="tensorrt", precision="int8", provider="cuda", threads=4),
    )
    safe = safe_config(config)
    assert (safe.model.directory, safe.model.backend, safe.model.precision) == ("", "onnxruntime", "fp32")
    assert (safe.model.provider, safe.model.threads, safe.model.idle_inference_fps) == ("cpu", 1, 0.0)
    assert (safe.cameras, safe.scale, safe.mqtt) == (config.cameras, config.scale, config.mqtt)
    assert parse_config('store = "a"\ncart = "b"').health.crash_starts == 5
