"""`python -m demo.carts`: the carts of one store, until it is told to stop."""

import argparse
import os
import sys
import threading
from pathlib import Path

from demo.broker_address import PASSWORD_ENV, mqtt_config
from demo.carts.rush import Pace, Rush
from demo.data_dir import DataDir
from demo.errors import DemoError
from demo.logs import log_to_stderr
from demo.world.record import require_record
from demo.world.settings import World
from demo.world.truth import open_truth
from fleet_agent.config import UpdatesConfig
from fleet_agent.errors import AgentError
from fleet_agent.stop_signals import on_stop_signal

# A new model is watched for so long. Lower judges it on nothing; higher makes a show of rollouts longer.
PROBATION_S = 20.0
PROBATION_LOOKS = 5
# A cart that nobody has touched for so long is empty. A trip of the demo has no longer pauses.
UPDATE_IDLE_S = 90.0


def main() -> int:
    """Run one store's carts."""
    parser = argparse.ArgumentParser(prog="python -m demo.carts", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--store", required=True)
    parser.add_argument("--broker", required=True, help=f"the password comes from {PASSWORD_ENV}")
    parser.add_argument("--repository", default="", metavar="URL", help="where models come from")
    parser.add_argument("--root", default="", metavar="FILE", help="its trusted root metadata")
    options = parser.parse_args()
    log_to_stderr()
    stopping = threading.Event()
    on_stop_signal(stopping.set)
    try:
        updates = updates_config(options.repository, options.root)
        run_store(options.data_dir, options.store, options.broker, updates, stopping)
    except (DemoError, AgentError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def updates_config(repository: str, root: str) -> UpdatesConfig:
    """Return how simulated carts take updates: as real ones do, and watched for a shorter time."""
    return UpdatesConfig(
        repository=repository,
        root=root,
        idle_s=UPDATE_IDLE_S,
        probation_s=PROBATION_S,
        probation_looks=PROBATION_LOOKS,
    )


def run_store(
    data_dir: Path, store_id: str, broker: str, updates: UpdatesConfig, stopping: threading.Event
) -> None:
    """Run the carts of a store until the stop.

    Raises:
        DemoError: the data directory or the store is not there.
        AgentError: the model or a spool cannot be opened.
    """
    # After the signal handlers: importing OpenCV takes longer than an impatient stop.
    from demo.carts.host import Staffing, StoreHost  # noqa: PLC0415

    record = require_record(data_dir)
    world = World(record.settings)
    world.store(store_id)
    with open_truth(DataDir(data_dir).truth) as truth:
        shared = Staffing(
            world=world,
            data_dir=DataDir(data_dir),
            start=record.starts,
            mqtt=mqtt_config(broker, os.environ),
            updates=updates,
            truth=truth,
            pace=Pace(Rush(DataDir(data_dir).rush)),
        )
        host = StoreHost(store_id, shared)
        cameras = sum(len(live.cart.cameras) for live in host.carts)
        host.run(stopping, on_started=lambda: _say_ready(len(host.carts), cameras))


def _say_ready(carts: int, cameras: int) -> None:
    sys.stdout.write(f"READY {carts} carts, {cameras} cameras\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
