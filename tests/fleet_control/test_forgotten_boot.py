"""A cart's own sending against the real ingest: a new warehouse never strands a cart that stays connected."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from fleet_agent.config import SpoolConfig
from fleet_agent.delivery import Delivery
from fleet_agent.spool import Spool
from fleet_control.ingest.memory import MemoryBroker, MemoryWarehouse
from fleet_protocol.messages import CartState
from tests.fleet_control.test_pipeline import Ingest
from tests.fleet_control.wire import CART, STORE, events

ACK = f"fleet/v1/{STORE}/{CART}/ack"
STATE = f"fleet/v1/{STORE}/{CART}/state"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """The cart's spool."""
    opened = Spool(tmp_path / "spool.db", SpoolConfig(), owner=f"{STORE}/{CART}")
    yield opened
    opened.close()


class Cart:
    """A cart that stays connected to one broker."""

    def __init__(self, spool: Spool, broker: MemoryBroker) -> None:
        self._spool = spool
        self._broker = broker
        self._box = Delivery(spool, self._state, store=STORE, cart=CART, max_in_flight=8, resend_after_s=30.0)
        self._box.plan_connection()
        birth = self._box.on_connected()
        self._birth = birth.payload
        broker.publish(birth.topic, birth.payload)

    def _state(self, *, online: bool, session: int) -> CartState:
        held = self._spool.held() if online else []
        return CartState(
            v=1, online=online, store=STORE, cart=CART, boot=self._spool.boot_id, session=session, held=held
        )

    def retained(self) -> None:
        """Let a new subscriber have the birth that the broker kept."""
        self._broker.publish(STATE, self._birth)

    def send(self, now_s: float) -> None:
        """Publish what is due, and hear the watermark if there is one."""
        for message in self._box.take(now_s):
            self._broker.publish(message.topic, message.payload)

    def hear(self) -> None:
        """Hear the retained watermark."""
        if ACK in self._broker.retained:
            self._box.on_received(ACK, self._broker.retained[ACK])


def test_a_connected_cart_gets_its_watermark_from_a_new_warehouse(spool: Spool) -> None:
    """What the cart no longer holds is settled by its second birth; nothing waits for a reconnect."""
    broker = MemoryBroker()
    cart = Cart(spool, broker)
    for seq in range(5):
        spool.append("evt", lambda n: events(n, rows=1, boot=spool.boot_id))
        cart.send(float(seq))
    old = Ingest(broker, MemoryWarehouse()).run().settle()
    old.stop()
    cart.hear()
    assert spool.messages == 0

    broker.retained.clear()
    warehouse = MemoryWarehouse()
    new = Ingest(broker, warehouse).run()
    cart.retained()
    for _ in range(3):
        spool.append("evt", lambda n: events(n, rows=1, boot=spool.boot_id))
    for now_s in (100.0, 130.0, 190.0, 310.0):
        cart.send(now_s)
        new.settle()
        cart.hear()
    assert spool.messages == 3
    cart.send(550.0)
    new.settle().stop()
    cart.hear()
    assert spool.messages == 0
    assert sorted(row["seq"] for row in warehouse.rows("ingest_ledger")) == [5, 6, 7]  # type: ignore[type-var]
