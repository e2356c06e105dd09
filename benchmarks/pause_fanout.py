"""From the call that pauses a rollout to the last cart told, beside a bare paho client and the same carts.

    python -m benchmarks.pause_fanout > pause.json

Carts, each with its own MQTT connection and subscribed as a cart is, hear a mosquitto with the configuration
we ship. A rollout over all of them runs, and is paused and resumed again and again through the control API
over HTTP. Behind it are the real controller, engine, outbox, SQLite file and MQTT connection, in a process of
their own; only the warehouse and the model repository are not there. The clock starts before the request is
sent and stops when the last cart has the permit. After each pause a bare paho client publishes a message
of the same size to the same carts, retained, with QoS 1. Everything shares one machine.
"""

import argparse
import json
import math
import multiprocessing as mp
import os
import platform
import resource
import tempfile
import time
import uuid
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import requests
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.ingest_throughput import free_ports
from benchmarks.mqtt_carts import Carts
from fleet_control.api.server import ApiServer, ApiSettings
from fleet_control.api.tokens import create_token
from fleet_control.cli import log_to_stderr
from fleet_control.ingest.addresses import BrokerAddress
from fleet_control.ingest.transport_mqtt import BulkPublisher
from fleet_control.rollouts.control import RolloutControl
from fleet_control.rollouts.controller import Controller
from fleet_control.rollouts.engine import Engine
from fleet_control.rollouts.fleet_mqtt import MqttFleet
from fleet_control.rollouts.outbox import OutboxPublisher
from fleet_control.rollouts.ports import PublishedModel
from fleet_control.rollouts.states import Role
from fleet_control.rollouts.store_sql import open_store
from fleet_protocol.messages import CartState, encode_control
from fleet_protocol.rollouts import Permit, encode_order, permit_topic
from fleet_protocol.topics import Topic
from tests.conftest import find_tool
from tests.fleet_control.conftest import deployed_conf, running

CARTS_PER_STORE = 50
MODEL, BASELINE = "b" * 16, "a" * 16
ROLLOUT = "benchmark"
PLAN = {
    "rollout": ROLLOUT,
    "model": MODEL,
    "baseline": BASELINE,
    "stages": [{"name": "all", "percent": 100, "approval": True}],
    "gates": [],
    "promotion": None,
    "device": {"rate_per_min": 1_000_000},
}
TIMEOUT_S = 120.0
GOAL_S = 1.0


class Shelf:
    """Two models that nobody fetches."""

    def models(self) -> tuple[PublishedModel, ...]:
        """Return both."""
        return tuple(
            PublishedModel(digest, "m", digest[0], digest[0] * 64, 1, 0) for digest in (MODEL, BASELINE)
        )

    def fetchable(self, digest: str) -> bool:
        """Whether it is one of them."""
        return digest in (MODEL, BASELINE)


def now_ms() -> int:
    """Return the time."""
    return time.time_ns() // 1_000_000


def control(address: BrokerAddress, folder: Path, pipe: Connection) -> None:
    """Drive rollouts and serve the API, in a process of its own, until it is ended."""
    log_to_stderr()
    tokens = folder / "tokens.toml"
    token = create_token(tokens, "bench", Role.OWNER, time.time() + 86_400, acts_for_people=False)
    with ExitStack() as stack:
        store = open_store(f"sqlite:///{folder / 'rollouts.db'}", now_ms)
        stack.callback(store.close)
        fleet = MqttFleet(address, client_id="control", now_ms=now_ms)
        stack.callback(fleet.stop)
        fleet.start()
        controller = Controller(
            "bench",
            store=store,
            fleet=fleet,
            engine=Engine(store, fleet, now_ms=now_ms),
            publisher=OutboxPublisher(store, fleet, now_ms=now_ms),
            observer=None,
        )
        steering = RolloutControl(store, fleet, Shelf(), now_ms=now_ms, on_change=controller.wake)
        server = ApiServer(steering, ApiSettings(tokens=tokens, port=0))
        stack.callback(server.close)
        controller.start()
        if not fleet.wait_ready(TIMEOUT_S):
            raise TimeoutError(fleet.why_not_ready())
        pipe.send((server.url, token))
        pipe.recv()


class Served:
    """The control process; use as a context manager, which gives its address and a token."""

    def __init__(self, address: BrokerAddress, folder: Path) -> None:
        context = mp.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._child = context.Process(target=control, args=(address, folder, theirs), daemon=True)
        self._child.start()

    def __enter__(self) -> tuple[str, str]:
        if not self._pipe.poll(TIMEOUT_S):
            msg = "the control process does not start"
            raise TimeoutError(msg)
        url, token = self._pipe.recv()
        return str(url), str(token)

    def __exit__(self, *_error: object) -> None:
        self._child.terminate()
        self._child.join(10)


class Api:
    """Steers the rollout over HTTP."""

    def __init__(self, url: str, token: str) -> None:
        self._url = f"{url}/v1/rollouts"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"

    def create(self) -> None:
        """Make the rollout."""
        self._post("", PLAN)

    def act(self, action: str) -> None:
        """Steer it."""
        self._post(f"/{ROLLOUT}/actions", {"action": action, "reason": "benchmark"})

    def told(self) -> int:
        """Return how many carts are on their way."""
        answer = self._session.get(f"{self._url}/{ROLLOUT}", timeout=TIMEOUT_S).json()
        return sum(int(stage["counts"]["told"]) for stage in answer["stages"])

    def _post(self, path: str, body: Any) -> None:
        key = {"Idempotency-Key": str(uuid.uuid4())}
        self._session.post(self._url + path, json=body, headers=key, timeout=TIMEOUT_S).raise_for_status()


def bear(address: BrokerAddress, names: list[tuple[str, str]]) -> None:
    """Publish the births of all carts."""
    with BulkPublisher(address, "births") as publisher:
        publisher.connect(20)
        for number, (store, cart) in enumerate(names):
            birth = CartState(
                v=1,
                online=True,
                store=store,
                cart=cart,
                boot=f"{number:016x}",
                session=1,
                model=BASELINE,
                hw="x",
            )
            publisher.publish(str(Topic(store, cart, "state")), encode_control(birth), retain=True)
        publisher.flush(60)


class Bare:
    """One paho client that publishes."""

    def __init__(self, address: BrokerAddress) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "bare", protocol=paho.MQTTv311)
        self._client.connect(address.host, address.port)
        self._client.loop_start()

    def tell(self, generation: int) -> None:
        """Publish a permit of a rollout of its own; the same carts hear it."""
        permit = Permit(rollout="bare-paho", generation=generation, state="paused", until=now_ms())
        self._client.publish(permit_topic("bare-paho"), encode_order(permit), qos=1, retain=True)

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


def measure(api: Api, heard: Carts, bare: Bare, rounds: int) -> dict[str, list[float]]:
    """Pause and resume; return seconds of each round."""
    times: dict[str, list[float]] = {"answered": [], "told": [], "bare": []}
    for number in range(rounds):
        # A permit's generation is the time of the change, at least.
        began_s, began_ms = time.perf_counter(), now_ms()
        api.act("pause")
        answered_s = time.perf_counter()
        told_s = heard.all_heard(ROLLOUT, began_ms, TIMEOUT_S)
        times["answered"].append(answered_s - began_s)
        times["told"].append(told_s - began_s)
        began_s = time.perf_counter()
        bare.tell(number)
        times["bare"].append(heard.all_heard("bare-paho", number, TIMEOUT_S) - began_s)
        began_ms = now_ms()
        api.act("resume")
        heard.all_heard(ROLLOUT, began_ms, TIMEOUT_S)
    return times


def play(carts: int, rounds: int, processes: int) -> dict[str, list[float]]:
    """Start everything, begin a rollout over all carts, and measure."""
    names = [
        (f"s{n // CARTS_PER_STORE:04d}", f"s{n // CARTS_PER_STORE:04d}-c{n % CARTS_PER_STORE:02d}")
        for n in range(carts)
    ]
    [port] = free_ports(1)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        conf = folder / "mosquitto.conf"
        conf.write_text(deployed_conf(folder, port))
        broker = stack.enter_context(running([str(find_tool("mosquitto")), "-c", str(conf)], port))
        bear(broker.address, names)
        heard = stack.enter_context(Carts(broker.address.host, port, names, processes))
        api = Api(*stack.enter_context(Served(broker.address, folder)))
        bare = Bare(broker.address)
        stack.callback(bare.close)
        api.create()
        api.act("start")
        heard.all_heard(ROLLOUT, 1, TIMEOUT_S)
        deadline_s = time.monotonic() + TIMEOUT_S
        while (told := api.told()) < carts:
            if time.monotonic() > deadline_s:
                msg = f"only {told} carts were told"
                raise TimeoutError(msg)
            time.sleep(0.5)
        return measure(api, heard, bare, rounds)


def summary(seconds: list[float]) -> dict[str, float]:
    """Return percentiles, by rank, in milliseconds."""
    ordered = sorted(seconds)
    ranks = {"p50": 0.5, "p95": 0.95, "max": 1.0}
    return {
        name: round(1000 * ordered[math.ceil(share * len(ordered)) - 1], 1) for name, share in ranks.items()
    }


def report(times: dict[str, list[float]], carts: int) -> dict[str, Any]:
    """Return what was measured."""
    told_ms, bare_ms = summary(times["told"]), summary(times["bare"])
    return {
        "machine": {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "load_1_min": round(os.getloadavg()[0], 1),
        },
        "carts": carts,
        "pauses": len(times["told"]),
        "api_answered_ms": summary(times["answered"]),
        "last_cart_told_ms": told_ms,
        "bare_paho_ms": bare_ms,
        "share_of_bare_paho": {name: round(bare_ms[name] / told_ms[name], 2) for name in ("p50", "p95")},
        "goal_p95_ms": GOAL_S * 1000,
        "reached": told_ms["p95"] <= GOAL_S * 1000,
    }


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--carts", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--processes", type=int, default=2, help="that the carts share")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # mosquitto inherits it: a connection is a file.
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    times = play(options.carts, options.rounds, options.processes)
    print(json.dumps(report(times, options.carts), indent=2))


if __name__ == "__main__":
    main()
