"""Real brokers, the real embedded BigQuery, real kills: read back through Google's own client."""

import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zstandard

from fleet_control.ingest.addresses import BrokerAddress
from fleet_control.ingest.deliveries import Inbox
from fleet_control.ingest.metrics import IngestMetrics
from fleet_control.ingest.transport_mqtt import BulkPublisher, MqttTransport, Session
from fleet_protocol.messages import AnyMessage, CartState, decode_ack
from queries.client import open_warehouse
from tests.fleet_control.conftest import RunningBroker
from tests.fleet_control.processes import Process, emulator, ingest
from tests.fleet_control.wire import (
    BOOT,
    CART,
    STORE,
    envelope,
    events,
    now_ms,
    payload_of,
    raw,
    state,
    topic_of,
    window,
)

pytestmark = pytest.mark.timeout(150)
MESSAGES = 5_000
ACK = f"fleet/v1/{STORE}/{CART}/ack"


@pytest.fixture
def warehouse(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[str]:
    """Run the embedded BigQuery endpoint on a fresh folder."""
    with emulator(tmp_path / "warehouse", free_port(), free_port()) as target:
        yield target


def ask(target: str, sql: str) -> list[dict[str, Any]]:
    """Ask through google-cloud-bigquery."""
    with open_warehouse(target) as opened:
        return [dict(row.items()) for row in opened.client.query_and_wait(sql)]


def until(look: Callable[[], bool], timeout_s: float = 60) -> None:
    """Poll with a deadline."""
    deadline = time.monotonic() + timeout_s
    while not look():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@contextmanager
def watermarks(address: BrokerAddress) -> Iterator[Inbox]:
    """Listen as a cart does."""
    inbox = Inbox()
    transport = MqttTransport(address, Session("watcher", (ACK,)), IngestMetrics())
    transport.start(inbox)
    assert transport.wait_ready(20)
    try:
        yield inbox
    finally:
        transport.stop(1)


def wait_for_watermark(inbox: Inbox, **expected: int) -> None:
    """Wait until the cart may delete that much."""

    def look() -> bool:
        for delivery in inbox.take(100, 0.1):
            told.update({mark.boot: mark for mark in decode_ack(delivery.payload).acks})
        mark = told.get(BOOT)
        return mark is not None and all(getattr(mark, c) == seq for c, seq in expected.items())

    told: dict[str, Any] = {}
    until(look, 90)


COUNTS = """
SELECT COUNT(*) AS n, COUNT(DISTINCT CONCAT(cart_id, boot_id, channel, CAST(seq AS STRING), '/',
  CAST(row_ix AS STRING))) AS different, MIN(seq) AS low, MAX(seq) AS high
FROM {table} WHERE {column} >= TIMESTAMP '2020-01-01 00:00:00+00'
"""


@pytest.mark.mosquitto
def test_5000_messages_survive_an_ingest_that_is_killed_again_and_again(
    mosquitto: RunningBroker, warehouse: str
) -> None:
    """SIGKILL after the rows and before the ledger, after the ledger and before the ack, and anywhere."""

    def publish() -> None:
        with BulkPublisher(mosquitto.address, "cart") as publisher:
            publisher.connect(20)
            for seq in range(MESSAGES // 2):
                for message in (events(seq, rows=2), window(seq)):
                    publisher.publish(topic_of(message), payload_of(message))
            publisher.flush(60)

    argv = ("-m", "tests.fleet_control.slow_ingest", str(mosquitto.address), warehouse)
    publishing = threading.Thread(target=publish)
    said: list[str] = []
    for number, gap in enumerate(("GAP rows", "GAP ledger", "GAP rows", "GAP ledger")):
        life = Process(*argv)
        life.wait_for("READY")
        if number == 0:
            publishing.start()
        for _ in range(1 + number % 2):
            life.wait_for(gap)
        life.kill()
        said += life.errors
    publishing.join(60)

    with (
        watermarks(mosquitto.address) as inbox,
        ingest(mosquitto.address, warehouse, "--no-rollups") as (last, _),
    ):
        wait_for_watermark(inbox, tel=MESSAGES // 2 - 1, evt=MESSAGES // 2 - 1)
        assert last.terminate() == 0

    assert any("died between rows and ledger" in line for line in said)
    high = MESSAGES // 2 - 1
    [rows] = ask(warehouse, COUNTS.format(table="events_raw", column="event_at"))
    assert rows == {"n": MESSAGES, "different": MESSAGES, "low": 0, "high": high}
    [rows] = ask(warehouse, COUNTS.format(table="telemetry_raw", column="window_start"))
    assert rows == {"n": MESSAGES // 2, "different": MESSAGES // 2, "low": 0, "high": high}
    [entries] = ask(
        warehouse,
        "SELECT COUNT(*) AS n, SUM(row_count) AS row_count FROM ingest_ledger "
        "WHERE received_at >= TIMESTAMP '2020-01-01 00:00:00+00'",
    )
    assert entries == {"n": MESSAGES, "row_count": MESSAGES + MESSAGES // 2}


@pytest.mark.parametrize("broker_name", [pytest.param("mosquitto", marks=pytest.mark.mosquitto), "amqtt"])
def test_bad_input_is_filed_with_its_reason_and_ingest_goes_on(
    broker_name: str, request: pytest.FixtureRequest, warehouse: str
) -> None:
    """Each kind of bad message between good ones, on both brokers; then a clean stop and a restart."""
    broker: RunningBroker = request.getfixturevalue(broker_name)
    tel = f"fleet/v1/{STORE}/{CART}/tel"
    bad = [
        (tel, b'{"v":1,'),
        (tel, b"\x00\x01"),
        (tel, b"{" + b" " * 270_000),
        (tel, zstandard.compress(b"{" + b" " * 30_000_000)),
        (tel, raw({**envelope(1), "v": 2, "kind": "window"})),
        (tel, raw({**envelope(2), "v": 1, "kind": "window"})),
        (tel, raw({**envelope(3, cart="s001-c99"), "v": 1, "kind": "window", "t0": 1, "t1": 2})),
        ("fleet/v1/Store/Cart/tel", b"{}"),
        (tel, payload_of(window(3, t0=now_ms() - 4_000_000_000))),
    ]
    good: list[AnyMessage | CartState] = [state(1), window(0), events(0), window(4)]
    with (
        watermarks(broker.address) as inbox,
        ingest(broker.address, warehouse, "--rollup-interval-s", "1") as (
            process,
            address,
        ),
    ):
        with BulkPublisher(broker.address, "cart") as publisher:
            publisher.connect(20)
            for message in good[:2]:
                publisher.publish(topic_of(message), payload_of(message), retain=message is good[0])
            for topic, payload in bad:
                publisher.publish(topic, payload)
            for message in good[2:]:
                publisher.publish(topic_of(message), payload_of(message))
            publisher.flush(30)
        wait_for_watermark(inbox, tel=4, evt=0)
        text = urllib.request.urlopen(f"{address}/metrics", timeout=10).read().decode()  # noqa: S310
        assert process.terminate() == 0

    letters = ask(
        warehouse,
        "SELECT reason, store_id, payload_bytes, LENGTH(payload) AS kept FROM dead_letters "
        "WHERE received_at >= TIMESTAMP '2020-01-01 00:00:00+00'",
    )
    assert sorted(row["reason"] for row in letters) == sorted(
        [
            *("malformed_json", "bad_encoding", "oversized", "decompression_bomb", "wrong_version"),
            *("bad_schema", "foreign_cart", "bad_topic", "absurd_clock"),
        ]
    )
    [oversized] = [row for row in letters if row["reason"] == "oversized"]
    assert (oversized["payload_bytes"], oversized["kept"]) == (270_001, 262_144)
    [states] = ask(
        warehouse,
        "SELECT COUNT(*) AS n FROM cart_states_raw WHERE received_at >= TIMESTAMP '2020-01-01 00:00:00+00'",
    )
    assert states == {"n": 1}
    assert 'cartwright_ingest_messages_total{outcome="stored"} 4.0' in text
    assert 'cartwright_ingest_messages_total{outcome="dead_letter"} 9.0' in text
