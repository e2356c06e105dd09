"""The control process: a real broker, the embedded warehouse, a signed repository, SQLite, and its API."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from fleet_control.api.tokens import create_token
from fleet_control.ingest.transport_mqtt import BulkPublisher
from fleet_control.registry.ceremony import KeyCount, initialise
from fleet_control.registry.keys import KeyRing
from fleet_control.registry.model import read_model
from fleet_control.registry.pins import Pins
from fleet_control.registry.publisher import Publisher
from fleet_control.registry.settings import ROLES, RegistrySettings
from fleet_control.registry.storage import FolderStorage
from fleet_control.rollouts.states import Role
from fleet_control.service.service import needed_models
from fleet_protocol.messages import CartState, encode_control
from tests.fleet_control.conftest import RunningBroker
from tests.fleet_control.rollouts.worlds import BASELINE, MODEL, Told, plan, sightings
from tests.queries.conftest import PROJECT, EmulatorProcess

pytestmark = [pytest.mark.mosquitto, pytest.mark.end_to_end]
MODELS = Path(__file__).parents[3] / "fleet_agent" / "models"


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[EmulatorProcess]:
    """Run the embedded warehouse."""
    running = EmulatorProcess(tmp_path / "warehouse")
    yield running
    running.stop()


@pytest.fixture
def running() -> Iterator["list[subprocess.Popen[str]]"]:
    """Hold processes that end with the story."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait(10)


def test_a_rollout_is_created_started_and_paused_over_http_and_survives_a_restart(
    tmp_path: Path,
    mosquitto: RunningBroker,
    endpoint: EmulatorProcess,
    running: "list[subprocess.Popen[str]]",
) -> None:
    """Carts are seen by their births, models are pinned, and a killed controller goes on where it was."""
    storage, keys = FolderStorage(tmp_path / "models"), KeyRing([tmp_path / "keys"])
    initialise(storage, keys, counts=dict.fromkeys(ROLES, KeyCount(1, 1)), settings=RegistrySettings())
    publisher = Publisher(storage, keys)
    old, new = (publisher.publish(read_model(MODELS / version)) for version in ("v1", "v2"))
    with BulkPublisher(mosquitto.address, "carts") as carts:
        carts.connect(20)
        for number in range(1, 5):
            carts.publish(f"fleet/v1/s001/c{number}/state", birth(f"c{number}", old.digest), retain=True)
        carts.flush(20)
    token = create_token(
        tmp_path / "tokens.toml", "story", Role.OWNER, time.time() + 3_600, acts_for_people=False
    )
    argv = control(tmp_path, mosquitto, endpoint)
    process, url = started(argv)
    running.append(process)
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    tree = {
        "rollout": "autumn",
        "model": new.digest,
        "stages": [{"name": "all", "percent": 100}],
        "gates": [],
        "promotion": None,
    }
    made = session.post(f"{url}/v1/rollouts", json=tree, headers={"Idempotency-Key": "create-1"}, timeout=20)
    assert made.status_code == 201, made.text
    act(session, url, "start")
    eventually(lambda: view(session, url)["current_stage"] == 0)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process, url = started(argv)
    running.append(process)
    assert act(session, url, "pause")["status"] == "paused"
    needs = ("rollouts: autumn", "rollouts: what carts run")
    eventually(lambda: [Pins(storage).holders(one.digest) for one in (new, old)] == [needs[:1], needs])
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_what_carts_run_and_open_rollouts_need_is_kept() -> None:
    """The model, the baseline, and whatever else some cart runs; who retires one reads who needs it."""
    told = Told(plan())
    running = sightings(1, 1, model="c" * 16).values()
    assert needed_models([told.rollout], running) == {
        told.rollout.rollout_id: {MODEL, BASELINE},
        "what carts run": {"c" * 16},
    }


def birth(cart: str, digest: str) -> bytes:
    """Return the birth of a cart."""
    told = CartState(
        v=1, online=True, store="s001", cart=cart, boot="0" * 16, session=1, model=digest, hw="orin"
    )
    return encode_control(told)


def control(folder: Path, broker: RunningBroker, endpoint: EmulatorProcess) -> list[str]:
    """Return the command line of a controller."""
    rest, grpc = endpoint.rest_url.removeprefix("http://"), endpoint.grpc_address.rpartition(":")[2]
    warehouse = f"emulator://{rest}/{PROJECT}.rollouts?grpc={grpc}"
    return [
        *(sys.executable, "-m", "demo.cli", "control", "--broker", str(broker.address)),
        *("--warehouse", warehouse, "--database", f"sqlite:///{folder}/rollouts.db"),
        *("--repository", str(folder / "models"), "--root", str(folder / "models/metadata/1.root.json")),
        *("--tokens", str(folder / "tokens.toml")),
        *("--pins", str(folder / "models"), "--http-port", "0", "--observe-s", "0.2"),
    ]


def started(argv: list[str]) -> tuple["subprocess.Popen[str]", str]:
    """Start a controller; returns it and its address."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("READY http"), line
    process.stdout.close()
    return process, line.split()[1]


def act(session: requests.Session, url: str, action: str) -> dict[str, object]:
    """Ask for an action."""
    answer = session.post(
        f"{url}/v1/rollouts/autumn/actions",
        json={"action": action, "reason": "story"},
        headers={"Idempotency-Key": f"{action}-the-rollout"},
        timeout=20,
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def view(session: requests.Session, url: str) -> dict[str, object]:
    """Return the rollout."""
    found: dict[str, object] = session.get(f"{url}/v1/rollouts/autumn", timeout=20).json()
    return found


def eventually(condition: object) -> None:
    """Wait for processes, and for nothing longer than it takes."""
    deadline_s = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline_s, "it never came"
        time.sleep(0.05)
