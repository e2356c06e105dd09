"""How fast ingest is, from the broker to durable and deduplicated, beside a bare paho subscriber.

    python -m benchmarks.ingest_throughput > ingest.json

Three loads, each with its own sessions on one mosquitto with the configuration we ship:

- `events`: messages of 60 item events with all columns that a cart fills (top 3, three cameras);
- `windows`: telemetry windows with about 150 histogram and signal counts;
- `history`: what the demo writes at its first start, 28 days of windows and of events in messages of 8.

A load waits in the broker before the clock starts, so that the publisher's work is not measured; the broker's
delivery is. Bare: a paho client that acknowledges and forgets. Ingest: `cartwright ingest` with the
embedded BigQuery endpoint beside it; it is done when `/metrics` says that everything is stored, and the
rows are counted in the warehouse afterwards. Everything shares one machine, as in the demo.
"""

import argparse
import json
import multiprocessing as mp
import os
import platform
import random
import socket
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from fleet_control.ingest.addresses import BrokerAddress
from fleet_control.ingest.transport_mqtt import BulkPublisher
from fleet_protocol.messages import AnyMessage, Buckets, EventColumns, Events, Window, encode
from fleet_protocol.signals import STAGES
from fleet_protocol.topics import INGEST_FILTERS
from queries.client import open_warehouse
from tests.conftest import find_tool
from tests.fleet_control.conftest import deployed_conf, running
from tests.fleet_control.processes import Process, emulator

ITEMS = [f"item-{n:02d}" for n in range(20)]
CAMERAS = ("front", "left", "right")
TIMEOUT_S = 300.0
COUNTS = """
SELECT
  (SELECT COUNT(*) FROM telemetry_raw WHERE window_start >= TIMESTAMP '2020-01-01 00:00:00+00') AS windows,
  (SELECT COUNT(*) FROM events_raw WHERE event_at >= TIMESTAMP '2020-01-01 00:00:00+00') AS events,
  (SELECT COUNT(*) FROM ingest_ledger WHERE received_at >= TIMESTAMP '2020-01-01 00:00:00+00') AS entries
"""


@dataclass(frozen=True, slots=True)
class Load:
    """Messages that wait in the broker; the store is the load's name."""

    name: str
    messages: int
    make: Callable[[str, int], AnyMessage]


def envelope(load: str, number: int, channel_count: int) -> dict[str, Any]:
    """Spread messages over 24 carts, in order per cart."""
    cart = f"{load}-c{number % 24:02d}"
    boot = f"{number % 24:016x}"
    seq = number // 24 // channel_count
    return {
        "store": load,
        "cart": cart,
        "boot": boot,
        "seq": seq,
        "fw": "0.1.0",
        "model": "ab" * 32,
        "sim": True,
    }


def events(rows: int, channel_count: int = 1) -> Callable[[str, int], Events]:
    """Return a maker of events messages."""

    def make(load: str, number: int) -> Events:
        rng = random.Random(number)
        share: list[float | None] = [round(rng.random(), 3) for _ in range(rows)]
        cols = EventColumns(
            id=[f"{number:x}-{row:x}" for row in range(rows)],
            ts=sorted(rng.randrange(60_000) for _ in range(rows)),
            type=["item"] * rows,
            session=[f"s{number // 5:x}"] * rows,
            item=rng.choices(ITEMS, k=rows),
            qty=[1] * rows,
            dir=rng.choices(["add", "remove"], k=rows),
            p=share,
            top=[
                [(item, round(0.9 / n, 2)) for n, item in enumerate(rng.sample(ITEMS, 3), 1)]
                for _ in range(rows)
            ],
            cam=[[(camera, round(rng.random(), 2)) for camera in CAMERAS] for _ in range(rows)],
            dw=[round(rng.uniform(-1000, 1000), 1) for _ in range(rows)],
            res=[round(rng.gauss(0, 5), 1) for _ in range(rows)],
            outcome=["accepted"] * rows,
            ms=[round(rng.uniform(20, 60), 1) for _ in range(rows)],
        )
        return Events(**envelope(load, number, channel_count), t0=_now_ms() - 120_000, cols=cols)

    return make


def windows(channel_count: int = 1) -> Callable[[str, int], Window]:
    """Return a maker of windows of about 150 nested counts."""

    def make(load: str, number: int) -> Window:
        rng = random.Random(number)
        names = [
            *(f"{s}/{c}" for s in ("brightness", "blur") for c in CAMERAS),
            "confidence",
            "margin",
            "class",
        ]
        start = _now_ms() - 28 * 86_400_000 + number * 1_000
        return Window(
            **envelope(load, number, channel_count),
            t0=start,
            t1=start + 3_600_000,
            hist={stage: Buckets(rng.randrange(100), rng.choices(range(1, 9), k=11)) for stage in STAGES},
            sig={name: rng.choices(range(1, 9), k=8) for name in names},
            cnt={f"frames/{camera}": 36_000 for camera in CAMERAS},
            gau={"temp_c": 51.2, "cpu_percent": 33.0},
        )

    return make


def history(load: str, number: int) -> AnyMessage:
    """Alternate windows and small events messages."""
    return windows(2)(load, number) if number // 24 % 2 else events(8, 2)(load, number)


LOADS = (
    Load("events", 20_000, events(60)),
    Load("windows", 20_000, windows()),
    Load("history", 32_000, history),
)


def fill(address: BrokerAddress, load: Load) -> int:
    """Open both sessions, then publish; return the payload bytes."""
    for client_id in ("bare", "ingest"):
        subscribe_once(address, client_id)
    size_bytes = 0
    with BulkPublisher(address, "bench") as publisher:
        publisher.connect(20)
        for number in range(load.messages):
            message = load.make(load.name, number)
            payload = encode(message)
            size_bytes += len(payload)
            channel = "tel" if isinstance(message, Window) else "evt"
            publisher.publish(f"fleet/v1/{message.store}/{message.cart}/{channel}", payload)
        publisher.flush(60)
    return size_bytes


def session_client(client_id: str) -> paho.Client:
    """Return a client of a persistent session."""
    return paho.Client(
        CallbackAPIVersion.VERSION2, client_id, clean_session=False, protocol=paho.MQTTv311, manual_ack=True
    )


def subscribe_once(address: BrokerAddress, client_id: str) -> None:
    """Make the broker keep messages for a client."""
    client = session_client(client_id)
    client.on_connect = lambda c, *_: c.subscribe([(name, 1) for name in INGEST_FILTERS])
    client.on_subscribe = lambda c, *_: c.disconnect()
    client.connect(address.host, address.port)
    client.loop_forever()


def bare(address: BrokerAddress, messages: int, answers: "mp.Queue[float]") -> None:
    """Receive and acknowledge, nothing else; put the seconds from the first message to the last."""
    times: list[float] = []

    def on_message(client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        times.append(time.perf_counter())
        client.ack(message.mid, 1)
        if len(times) == messages:
            client.disconnect()

    client = session_client("bare")
    client.on_message = on_message
    client.connect(address.host, address.port)
    client.loop_forever()
    answers.put(times[-1] - times[0])


def time_bare(address: BrokerAddress, messages: int) -> float:
    """Run the bare subscriber in a process of its own."""
    context = mp.get_context("spawn")
    answers: mp.Queue[float] = context.Queue()
    child = context.Process(target=bare, args=(address, messages, answers))
    child.start()
    seconds = answers.get(timeout=TIMEOUT_S)
    child.join(10)
    return seconds


def sample(address: str, name: str) -> float:
    """Read one sample of `/metrics`."""
    text = urllib.request.urlopen(f"{address}/metrics", timeout=10).read().decode()  # noqa: S310
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


def wait_for_sample(status: str, name: str, least: float) -> float:
    """Poll until a sample is large enough; return when the poll before was, so that no time is hidden."""
    deadline_s = time.perf_counter() + TIMEOUT_S
    before_s = time.perf_counter()
    while time.perf_counter() < deadline_s:
        now_s = time.perf_counter()
        try:
            if sample(status, name) >= least:
                return before_s
        except OSError:
            pass  # not started yet
        before_s = now_s
        time.sleep(0.02)
    msg = f"{name} did not reach {least:g}"
    raise TimeoutError(msg)


def time_ingest(address: BrokerAddress, warehouse: str, messages: int, port: int) -> dict[str, float]:
    """Run ingest until everything is stored; the clock starts with the first message."""
    argv = ("-m", "fleet_control.cli", "--broker", str(address), "--warehouse", warehouse)
    process = Process(*argv, "--http-port", str(port), "--no-rollups", "--client-id", "ingest")
    status = f"http://127.0.0.1:{port}"
    first_s = wait_for_sample(status, "cartwright_ingest_messages_received_total", 1)
    wait_for_sample(status, 'cartwright_ingest_messages_total{outcome="stored"}', messages)
    seconds = time.perf_counter() - first_s
    rss_mib = int(Path(f"/proc/{process.child.pid}/statm").read_text().split()[1]) * 4096 / 2**20
    cpu_s = sum(map(int, Path(f"/proc/{process.child.pid}/stat").read_text().split()[13:15])) / 100
    batches = sample(status, "cartwright_ingest_batch_messages_count")
    commit_s = sample(status, "cartwright_ingest_commit_seconds_sum")
    process.terminate()
    return {"s": seconds, "rss_mib": rss_mib, "cpu_s": cpu_s, "batches": batches, "commit_s": commit_s}


def count_rows(warehouse: str) -> dict[str, int]:
    """Count what is in the warehouse, through Google's client."""
    with open_warehouse(warehouse) as opened:
        [row] = opened.client.query_and_wait(COUNTS)
    return dict(row.items())


def measure(load: Load, ports: list[int]) -> dict[str, Any]:
    """Measure one load on a broker and a warehouse of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        conf = folder / "mosquitto.conf"
        conf.write_text(deployed_conf(folder, ports[0]))
        broker = stack.enter_context(running([str(find_tool("mosquitto")), "-c", str(conf)], ports[0]))
        size_bytes = fill(broker.address, load)
        bare_s = time_bare(broker.address, load.messages)
        warehouse = stack.enter_context(emulator(folder / "warehouse", ports[1], ports[2]))
        ingest = time_ingest(broker.address, warehouse, load.messages, ports[3])
        rows = count_rows(warehouse)
    return {
        "messages": load.messages,
        "bytes_per_message": round(size_bytes / load.messages),
        "bare_paho_messages_per_s": round(load.messages / bare_s),
        "ingest_messages_per_s": round(load.messages / ingest["s"]),
        "ratio": round(bare_s / ingest["s"], 3),
        "ingest": {name: round(value, 2) for name, value in ingest.items()},
        "rows_in_warehouse": rows,
        "entries_complete": rows["entries"] == load.messages,
    }


def free_ports(count: int) -> list[int]:
    """Return ports that nobody uses."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--loads", nargs="*", default=[load.name for load in LOADS])
    parser.add_argument("--scale", type=float, default=1.0, help="share of the messages, for a quick look")
    options = parser.parse_args()
    results = {}
    for load in LOADS:
        if load.name in options.loads:
            scaled = replace(load, messages=round(load.messages * options.scale))
            results[load.name] = measure(scaled, free_ports(4))
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "load_1_min": os.getloadavg()[0]}
    print(json.dumps({"machine": machine, "loads": results}, indent=2))


def _now_ms() -> int:
    return int(time.time() * 1000)


if __name__ == "__main__":
    main()
