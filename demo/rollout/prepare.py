"""`python -m demo.rollout.prepare`: the model repository and the tokens of the demo; safe to repeat.

Its keys lie beside it, which is right for a demo on one machine and nowhere else.
"""

import argparse
import sys
import time
from pathlib import Path

import fleet_agent
from demo.data_dir import DataDir
from demo.logs import log_to_stderr
from fleet_control.api.tokens import create_token
from fleet_control.errors import FleetControlError
from fleet_control.registry.ceremony import KeyCount, initialise
from fleet_control.registry.keys import KeyRing
from fleet_control.registry.model import read_model
from fleet_control.registry.publisher import Publisher
from fleet_control.registry.settings import ROLES, RegistrySettings
from fleet_control.registry.storage import FolderStorage
from fleet_control.rollouts.states import Role

MODELS = Path(fleet_agent.__file__).parent / "models"
VERSIONS = ("v1", "v2", "v3-bad")
# Nobody renews the demo's repository while it runs: it is renewed at each start, and holds for as long as a
# laptop stays up.
SETTINGS = RegistrySettings(root_days=3_650, targets_days=3_650, snapshot_days=90, timestamp_days=90)
TOKEN_DAYS = 3_650


def prepare(data: DataDir, now_s: float) -> str:
    """Make what is missing; returns what is there, in a few words.

    Raises:
        FleetControlError: the disk refuses, or a model is not whole.
    """
    storage, keys = FolderStorage(data.repository), KeyRing([data.keys])
    if not (data.repository / "metadata" / "timestamp.json").exists():
        initialise(storage, keys, counts=dict.fromkeys(ROLES, KeyCount(1, 1)), settings=SETTINGS)
    publisher = Publisher(storage, keys)
    published = {model.version for model in publisher.models()}
    for version in VERSIONS:
        if version not in published:
            publisher.publish(read_model(MODELS / version))
    publisher.refresh(force=True)
    _make_tokens(data, now_s)
    return f"{len(publisher.models())} models published"


def _make_tokens(data: DataDir, now_s: float) -> None:
    data.control.mkdir(parents=True, exist_ok=True, mode=0o700)
    expires_s = now_s + TOKEN_DAYS * 86_400.0
    for path, name in ((data.owner_token, "demo"), (data.dashboard_token, "dashboard")):
        if not path.exists():
            token = create_token(
                data.tokens, name, Role.OWNER, expires_s, acts_for_people=name == "dashboard"
            )
            path.touch(mode=0o600)
            path.write_text(token + "\n", encoding="utf-8")


def main() -> int:
    """Prepare a data directory."""
    parser = argparse.ArgumentParser(prog="python -m demo.rollout.prepare", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    options = parser.parse_args()
    log_to_stderr()
    try:
        done = prepare(DataDir(options.data_dir), time.time())
    except FleetControlError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"DONE {done}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
