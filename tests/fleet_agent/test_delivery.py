"""Stories about what is sent and when."""

from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from fleet_agent.config import SpoolConfig
from fleet_agent.delivery import Delivery
from fleet_agent.ports import Outgoing
from fleet_agent.spool import Spool
from fleet_agent.transport_memory import MemoryCloud, MemoryTransport
from fleet_protocol.messages import CartState, Gap, decode_message, decode_state
from tests.fleet_agent.worlds import CART, STORE, events, open_spool, window

ACK = f"fleet/v1/{STORE}/{CART}/ack"


def state(*, online: bool, session: int) -> CartState:
    """Return a state of the bench cart."""
    return CartState(v=1, online=online, store=STORE, cart=CART, boot="a" * 16, session=session)


def delivery(spool: Spool, *, max_in_flight: int = 8, problems: list[str] | None = None) -> Delivery:
    """Return a delivery with a time-out of 30 s."""
    return Delivery(
        spool,
        state,
        store=STORE,
        cart=CART,
        max_in_flight=max_in_flight,
        resend_after_s=30.0,
        on_problem=(problems if problems is not None else []).append,
    )


def fill(spool: Spool, windows: int, events_: int) -> None:
    """Append windows, then events."""
    for minute in range(windows):
        spool.append("tel", partial(window, spool.boot_id, minute=minute))
    for i in range(events_):
        spool.append("evt", partial(events, spool.boot_id, event_id=f"e{i}"))


def channels(messages: list[Outgoing]) -> list[str]:
    """Return the channel of each."""
    return [message.topic.rsplit("/", 1)[1] for message in messages]


def test_events_go_before_telemetry_and_flight_is_bounded(spool: Spool) -> None:
    """A backlog of telemetry never delays an event, and only so much is in flight."""
    fill(spool, 20, 3)
    out = delivery(spool)
    out.on_connected()
    assert channels(out.take(0.0)) == ["evt"] * 3 + ["tel"] * 5
    assert out.take(1.0) == []


def test_what_is_no_watermark_is_an_order(spool: Spool) -> None:
    """The topic says which it is; an order is handed on as it came, and deletes nothing."""
    orders: list[tuple[str, bytes]] = []
    asked = f"fleet/v1/{STORE}/{CART}/desired"
    out = Delivery(
        spool,
        state,
        store=STORE,
        cart=CART,
        max_in_flight=8,
        resend_after_s=30.0,
        orders=(asked,),
        on_order=lambda *order: orders.append(order),
    )
    plan = out.plan_connection()
    assert (plan.subscribe, plan.orders) == (ACK, (asked,))
    out.on_received(asked, b"{not json")
    assert orders == [(asked, b"{not json")]


def test_a_confirmed_message_makes_room(spool: Spool) -> None:
    """The watermark, not PUBACK, frees a place in flight and deletes from the spool."""
    fill(spool, 0, 20)
    out, cloud = delivery(spool), MemoryCloud()
    out.on_connected()
    for message in out.take(0.0):
        cloud.receive(message)
    out.on_received(ACK, cloud.watermark())
    assert spool.messages == 12
    assert len(out.take(1.0)) == 8


def test_what_is_not_confirmed_is_sent_again_later_and_later(spool: Spool) -> None:
    """A cloud that is down gets each message after 30 s, then after 60 s more, and so on."""
    fill(spool, 0, 1)
    out = delivery(spool)
    out.on_connected()
    (first,) = out.take(0.0)
    assert out.next_due_s(10.0) == pytest.approx(20.0)
    assert out.take(29.0) == []
    assert out.take(30.0) == [first]
    assert out.take(89.0) == []
    assert out.take(90.0) == [first]


def receive(cloud: MemoryCloud, messages: list[Outgoing]) -> None:
    """Let a cloud have messages."""
    for message in messages:
        cloud.receive(message)


def test_a_cloud_that_forgot_the_boot_is_told_again_what_is_held(spool: Spool) -> None:
    """A connected cart whose cloud starts from nothing gets its watermark by itself, after 7.5 minutes."""
    problems: list[str] = []
    out = Delivery(
        spool,
        lambda *, online, session: replace(state(online=online, session=session), held=spool.held()),
        store=STORE,
        cart=CART,
        max_in_flight=8,
        resend_after_s=30.0,
        on_problem=problems.append,
    )
    before, after = MemoryCloud(), MemoryCloud()
    fill(spool, 0, 8)
    before.receive(out.on_connected())
    receive(before, out.take(0.0))
    out.on_received(ACK, before.watermark())
    assert spool.messages == 0
    fill(spool, 0, 3)
    for now_s in (0.0, 30.0, 90.0, 210.0):
        receive(after, out.take(now_s))
        out.on_received(ACK, after.watermark())
    assert (spool.messages, after.states, problems) == (3, [], [])
    assert out.next_due_s(210.0) == pytest.approx(240.0)
    again = out.take(450.0)
    assert channels(again) == ["state", "evt", "evt", "evt"]
    assert again[0].retain
    receive(after, again)
    out.on_received(ACK, after.watermark())
    assert (spool.messages, problems) == (0, ["births_repeated"])


def test_a_birth_is_told_once_a_round(spool: Spool) -> None:
    """A cloud that is down all night is told the birth no more often than each message."""
    fill(spool, 0, 1)
    out = delivery(spool)
    out.on_connected()
    sent = []
    for minute in range(8 * 60):
        if minute < 16:
            spool.append("evt", partial(events, spool.boot_id, event_id=f"late{minute}"))
        sent += channels(out.take(minute * 60.0))
    assert 8 * 60 // 8 - 2 <= sent.count("state") <= 8 * 60 // 8


def test_a_refusal_of_the_broker_is_counted(spool: Spool) -> None:
    """What the broker does not allow is a counter of the cart, and nothing is deleted for it."""
    fill(spool, 0, 1)
    problems: list[str] = []
    delivery(spool, problems=problems).on_refused("publish_refused", "Not authorized")
    assert problems == ["publish_refused"]
    assert spool.messages == 1


def test_a_new_connection_sends_everything_again(spool: Spool) -> None:
    """What was in flight when the connection broke is sent at once on the next."""
    fill(spool, 2, 2)
    out = delivery(spool)
    out.on_connected()
    first = out.take(0.0)
    out.on_connected()
    assert out.take(1.0) == first


def test_declared_losses_go_first(tmp_path: Path) -> None:
    """The cloud's count waits for a gap, so the gap is sent before everything and beyond the bound."""
    spool = open_spool(tmp_path / "s.db", SpoolConfig(max_evt_messages=30))
    fill(spool, 0, 32)
    out = delivery(spool, max_in_flight=2)
    out.on_connected()
    first = out.take(0.0)[0]
    assert isinstance(decode_message(first.topic, first.payload).message, Gap)
    spool.close()


def test_an_evicted_message_leaves_no_ghost_in_flight(tmp_path: Path) -> None:
    """Messages that were sent and then evicted do not block the ones that are left."""
    spool = open_spool(tmp_path / "s.db", SpoolConfig(max_evt_messages=30))
    fill(spool, 0, 30)
    out, cloud = delivery(spool, max_in_flight=2), MemoryCloud()
    out.on_connected()
    out.take(0.0)  # these two never arrive
    fill(spool, 0, 10)
    for _ in range(60):
        for message in out.take(1.0):
            cloud.receive(message)
        out.on_received(ACK, cloud.watermark())
    assert spool.messages == 0
    spool.close()


def test_a_damaged_watermark_is_counted_and_forgotten(spool: Spool) -> None:
    """Rubbish on the ack topic deletes nothing and is counted."""
    fill(spool, 0, 1)
    problems: list[str] = []
    out = delivery(spool, problems=problems)
    out.on_received(ACK, b"{not json")
    out.on_received(ACK, b'{"v":1,"acks":"all"}')
    assert problems == ["ack_refused", "ack_refused"]
    assert spool.messages == 1


def test_each_connection_has_its_own_session_in_will_and_birth(spool: Spool) -> None:
    """The will of a connection carries the number that its birth carries."""
    out = delivery(spool)
    for expected in (1, 2):
        plan = out.plan_connection()
        will = decode_state(plan.will.topic, plan.will.payload)
        born = out.on_connected()
        birth = decode_state(born.topic, born.payload)
        assert (will.online, will.session) == (False, expected)
        assert (birth.online, birth.session) == (True, expected)
        assert plan.will.retain
        assert born.retain


def test_a_memory_transport_drains_the_spool(spool: Spool) -> None:
    """The double of broker and cloud stores each message once and empties the spool."""
    fill(spool, 30, 30)
    cloud = MemoryCloud()
    transport = MemoryTransport(cloud)
    transport.start(delivery(spool))
    assert spool.messages == 0
    assert len(cloud.of("evt")) == len(cloud.of("tel")) == 30
    assert cloud.repeats == 0
    transport.stop(1.0)
    assert cloud.states[-1].reason == "stopped"
