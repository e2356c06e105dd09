"""Carts that lose power at a counted step of an update: run as a module with a folder.

One warm process forks a cart per line on stdin. The cart boots, looks at golden scenes, says what it found,
and does what the cloud asks until its nth file operation, in whichever thread, before which it sends itself
SIGKILL. The cloud of these carts confirms nothing, so that all reports stay in the spool.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from fleet_agent.activation.outcomes import Opened
from fleet_agent.logs import log_to_stderr
from fleet_agent.transport_memory import MemoryCloud
from fleet_agent.updates.repository_folder import FolderRepository
from tests.fleet_agent.activation.carts import ITEMS_SHOWN, items_seen
from tests.fleet_agent.activation.killed_cart import Countdown
from tests.fleet_agent.updates.carts import UpdatedCart, name_of
from tests.fleet_agent.worlds import wait_for


def serve(folder: Path) -> None:
    """Fork a cart for each order, and say how it ended."""
    os.fsync = _no_wait  # type: ignore[assignment]
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                _live(folder, order)
            finally:
                sys.stdout.flush()
                os._exit(0)
        _, status = os.waitpid(child, 0)
        _say(signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)


def _live(folder: Path, order: dict[str, Any]) -> None:
    models = {name_of(path): path for path in (folder / "models").iterdir()}

    def on_opened(opened: Opened) -> None:
        right = items_seen(opened.engine, opened.manifest) == ITEMS_SHOWN
        fallbacks = [fallback.why for fallback in opened.fallbacks]
        _say(opened=opened.manifest.digest, right=right, fallbacks=fallbacks)

    countdown = Countdown(folder / "cart", order["at"], every_thread=True)
    cart = UpdatedCart(
        folder / "cart",
        folder / "models" / "base",
        FolderRepository(models, piece_bytes=1024),
        MemoryCloud(),
        probation_s=0.05,
        probation_looks=1,
        on_opened=on_opened,
        acknowledge=False,
    )
    _say(boot=cart.spool.boot_id)
    cart.desire(folder / "models" / order["model"], order["attempt"], attempt=order["attempt"])
    cart.permit()

    def over() -> bool:
        record = cart.updater.record
        asked = record.target is not None and record.target.attempt == order["attempt"]
        return asked and record.state in ("COMMITTED", "ROLLED_BACK", "IDLE") and cart.updater.told

    wait_for(over)
    reason = cart.updater.record.reason
    _say(state=cart.updater.record.state, reason=reason, runs=cart.runs, operations=countdown.passed)


def _no_wait(_: object) -> None:
    """Stand in for `fsync`."""


def _say(**words: object) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    log_to_stderr()
    serve(Path(sys.argv[1]))
