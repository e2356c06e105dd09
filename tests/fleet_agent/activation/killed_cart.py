"""Carts that are killed at a counted step: run as a module with a folder and `copying` or `real`.

One warm process forks a cart per line on stdin. The cart boots, looks at golden scenes, says what it found,
and then does what it is told until its nth file operation, before which it sends itself SIGKILL. File
operations are counted by Python's audit hook, so no code under test knows of it.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fleet_agent.activation.store import read_offer
from fleet_agent.engines.contract import PlanRequest
from fleet_agent.engines.onnxruntime_backend import OnnxRuntimeBackend
from fleet_agent.engines.tensorrt.backend import TensorRtBackend
from fleet_agent.errors import EngineError
from fleet_agent.logs import log_to_stderr
from fleet_agent.manifest import ModelManifest, Precision
from fleet_agent.perception import PerceptionEngine
from tests.fleet_agent.activation.carts import ITEMS_SHOWN, CartOnBench, items_seen
from tests.fleet_agent.activation.copying import CopyingBackend
from tests.fleet_agent.worlds import SteppedClock

EVENTS = frozenset(
    (
        "open",
        "os.mkdir",
        "os.rename",
        "os.remove",
        "os.rmdir",
        "os.utime",
        "subprocess.Popen",
        "shutil.rmtree",
    )
)
DAY_S = 86_400.0


class DeadlyBackend(CopyingBackend):
    """Ends the process when it opens the plan of a certain network.

    Args:
        network: sha256 of it; empty: none is deadly.
    """

    def __init__(self, network: str) -> None:
        super().__init__()
        self._network = network

    def open(
        self,
        directory: Path,
        manifest: ModelManifest,
        *,
        precision: Precision,
        cameras: int,
        plan: Path | None,
    ) -> PerceptionEngine:
        """Die, or open."""
        if manifest.sha256 == self._network:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().open(directory, manifest, precision=precision, cameras=cameras, plan=plan)


class RealBuilder(CopyingBackend):
    """Builds real plans with TensorRT for RTX; without a GPU, ONNX Runtime stands in for running them."""

    def __init__(self) -> None:
        super().__init__()
        self._real = TensorRtBackend.building_only("8.6")
        self._facts = self._real.facts()

    def build_command(self, request: PlanRequest) -> list[str] | None:
        """Return TensorRT's child."""
        return self._real.build_command(request)

    def open(
        self,
        directory: Path,
        manifest: ModelManifest,
        *,
        precision: Precision,
        cameras: int,
        plan: Path | None,
    ) -> PerceptionEngine:
        """Run the ONNX file, if a plan of plausible size is there."""
        if plan is None or plan.stat().st_size < 1000:
            raise EngineError("no plan")
        return OnnxRuntimeBackend().open(directory, manifest, precision=precision, cameras=cameras)


class Countdown:
    """Ends the process before its nth file operation or step of progress.

    Args:
        folder: Only what happens in it counts, and starting a child.
        at: n; 0 only counts.
        every_thread: Whether what other threads do counts too.
    """

    def __init__(self, folder: Path, at: int, *, every_thread: bool = False) -> None:
        self._folder = str(folder)
        self._at = at
        self.passed = 0
        self._torn = False
        self._thread = None if every_thread else threading.get_ident()
        # What was written survives SIGKILL without the disk's word for it, so nobody waits for the disk.
        os.fsync = self.step  # type: ignore[assignment]
        sys.addaudithook(self._hear)

    def step(self, _: object = None) -> None:
        """Count one."""
        self.passed += 1
        if self.passed == self._at:
            os.kill(os.getpid(), signal.SIGKILL)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS or self._torn or self._thread not in (None, threading.get_ident()):
            return
        if event == "subprocess.Popen" or str(arguments[0]).startswith(self._folder):
            self.step()
            if event == "open" and arguments[2] & os.O_ACCMODE != os.O_RDONLY and arguments[2] & os.O_CREAT:
                self._tear(arguments[0])

    def _tear(self, path: Any) -> None:
        """Count one more for a file that was opened and of which one byte is written, if this is its end."""
        if self.passed + 1 == self._at:
            # Opening it here must not be counted again.
            self._torn = True
            os.write(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), b"{")
        self.step()


def serve(folder: Path, backend_name: str) -> None:
    """Fork a cart for each order, and say how it ended."""
    os.fsync = _no_wait  # type: ignore[assignment]
    backend = RealBuilder() if backend_name == "real" else CopyingBackend()
    for number, line in enumerate(sys.stdin):
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                deadly = order.get("deadly")
                used = DeadlyBackend(deadly) if deadly else backend
                _live(folder, used, order, SteppedClock(1000.0 + number * DAY_S))
            finally:
                sys.stdout.flush()
                os._exit(0)
        _, status = os.waitpid(child, 0)
        _say(signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)


def _live(folder: Path, backend: CopyingBackend, order: dict[str, Any], clock: SteppedClock) -> None:
    cart = CartOnBench(folder / "cart", folder / "base", backend=backend, clock=clock)
    opened = cart.activator.open_at_boot()
    _say(
        source=opened.source,
        fallbacks=[fallback.why for fallback in opened.fallbacks],
        pending=opened.pending is not None and opened.source != "base",
        right=items_seen(opened.engine, opened.manifest) == ITEMS_SHOWN,
        leftovers=cart.leftovers(),
        models=_slots(cart),
    )
    opened.engine.close()
    countdown = Countdown(folder / "cart", order["at"])
    if order["during"] == "boot":
        again = cart.again()
        again.activator.open_at_boot()
    else:
        model = _next(cart, [folder / name for name in order["models"]])
        cart.activator.activate(model, on_progress=countdown.step)
        _say(models=_slots(cart))
    _say(operations=countdown.passed)


def _no_wait(_: object) -> None:
    """Stand in for `fsync`."""


def _next(cart: CartOnBench, folders: Sequence[Path]) -> Path:
    """Return the first model that is in no slot, so that each activation builds a plan and switches."""
    return next(path for path in folders if read_offer(path).name not in cart.activator.slots.models)


def _slots(cart: CartOnBench) -> list[str | None]:
    slots = cart.activator.slots
    return [slot.model if slot else None for slot in (slots.current, slots.last_good)]


def _say(**words: object) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    log_to_stderr()
    serve(Path(sys.argv[1]), sys.argv[2])
