"""`python -m demo.history`: writes the past of the simulated stores and waits until it is durable."""

import argparse
import os
import sys
from pathlib import Path

from demo.broker_address import PASSWORD_ENV, mqtt_config
from demo.data_dir import DataDir
from demo.errors import DemoError
from demo.history.messages import Models
from demo.history.writer import cart_pasts, mark_complete, write_history
from demo.logs import log_to_stderr
from demo.model import PREVIOUS_DIGEST, present_manifest
from demo.world.record import require_record
from demo.world.settings import World
from fleet_agent.ports import SystemClock
from fleet_agent.quality import measure
from fleet_agent.transport_mqtt import MqttTransport


def main() -> int:
    """Write the history of the world in a data directory."""
    parser = argparse.ArgumentParser(prog="python -m demo.history", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--broker", required=True, help=f"the password comes from {PASSWORD_ENV}")
    options = parser.parse_args()
    log_to_stderr()
    try:
        _write(DataDir(options.data_dir), options.broker)
    except DemoError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _write(data_dir: DataDir, broker: str) -> None:
    world = World(require_record(data_dir.root).settings)
    models = Models(PREVIOUS_DIGEST, present_manifest().digest)
    transport = MqttTransport(mqtt_config(broker, os.environ), client_id="demo-history", clock=SystemClock())
    written = write_history(cart_pasts(world, models, measure), transport, data_dir.truth)
    mark_complete(data_dir, written)
    days = world.settings.history_days
    sys.stdout.write(f"DONE {days} days, {written.events} events in {written.messages} messages\n")


if __name__ == "__main__":
    sys.exit(main())
