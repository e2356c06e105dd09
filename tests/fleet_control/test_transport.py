"""The MQTT transport against real brokers: nothing is acknowledged early, nothing is lost."""

import threading
import time
from collections.abc import Callable

import pytest

from fleet_control.errors import AddressError, BrokerUnreachableError, PublishTimeoutError
from fleet_control.ingest.addresses import BrokerAddress, parse_broker
from fleet_control.ingest.deliveries import Delivery, Inbox
from fleet_control.ingest.outbox import Outbox
from fleet_control.ingest.transport_mqtt import BulkPublisher, MqttTransport, Session
from tests.fleet_control.conftest import RunningBroker

TEL = "fleet/v1/s001/s001-c01/tel"
ACK = "fleet/v1/s001/s001-c01/ack"


class Observer:
    """Counts what the transport reports."""

    def __init__(self) -> None:
        self.received = 0
        self.dropped = 0
        self.readiness: list[bool] = []

    def message_received(self) -> None:
        """Count."""
        self.received += 1

    def connection_changed(self, *, ready: bool) -> None:
        """Keep."""
        self.readiness.append(ready)

    def ack_dropped(self) -> None:
        """Count."""
        self.dropped += 1


class Reader:
    """An inbox with its transport."""

    def __init__(self, address: BrokerAddress, inbox: Inbox | None = None, client_id: str = "ingest") -> None:
        self.observer = Observer()
        self.inbox = Inbox() if inbox is None else inbox
        self.transport = MqttTransport(address, Session(client_id), self.observer)
        self.transport.start(self.inbox)
        assert self.transport.wait_ready(20), self.transport.why_not_ready()

    def take(self, count: int, timeout_s: float = 20) -> list[Delivery]:
        """Return the next deliveries."""
        taken: list[Delivery] = []
        deadline = time.monotonic() + timeout_s
        while len(taken) < count and time.monotonic() < deadline:
            taken += self.inbox.take(count - len(taken), 0.1)
        return taken


def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    """Poll with a deadline."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture(params=[pytest.param("mosquitto", marks=pytest.mark.mosquitto), "amqtt"])
def broker(request: pytest.FixtureRequest) -> RunningBroker:
    """Each story on both brokers."""
    found: RunningBroker = request.getfixturevalue(request.param)
    return found


def publish(address: BrokerAddress, count: int, first: int = 0) -> None:
    """Publish numbered messages and wait until the broker has them."""
    with BulkPublisher(address, "history") as publisher:
        publisher.connect(20)
        for n in range(first, first + count):
            publisher.publish(TEL, b"%d" % n)
        publisher.flush(20)


@pytest.mark.mosquitto
def test_what_is_not_acknowledged_comes_again_to_the_next_life_and_the_rest_does_not(
    mosquitto: RunningBroker,
) -> None:
    """The session outlives the process; an acknowledgement is final.

    Not on amqtt, which drops sessions of anonymous clients; there the carts send again.
    """
    first = Reader(mosquitto.address)
    publish(mosquitto.address, 10)
    taken = first.take(10)
    first.transport.ack([d.token for d in taken[:6]])
    first.transport.pause()
    first.transport.stop(5)

    second = Reader(mosquitto.address)
    again = second.take(4)

    assert [d.payload for d in taken] == [b"%d" % n for n in range(10)]
    assert [d.payload for d in again] == [b"6", b"7", b"8", b"9"]
    assert second.inbox.take(1, 0.3) == []
    second.transport.stop(5)


@pytest.mark.mosquitto
def test_a_full_inbox_stops_reading_and_nothing_is_lost(mosquitto: RunningBroker) -> None:
    """The broker is the better place to wait; the overshoot is what was read already."""
    reader = Reader(mosquitto.address, Inbox(max_messages=50))
    publish(mosquitto.address, 5_000)
    until(lambda: not reader.inbox.has_room())
    time.sleep(0.1)

    assert len(reader.inbox) <= 50
    taken = reader.take(5_000)

    assert [d.payload for d in taken] == [b"%d" % n for n in range(5_000)]
    reader.transport.stop(5)


@pytest.mark.mosquitto
def test_after_a_broker_restart_old_acknowledgements_are_dropped(mosquitto: RunningBroker) -> None:
    """Packet ids start again, so an old ack would acknowledge a new message."""
    reader = Reader(mosquitto.address)
    publish(mosquitto.address, 3)
    old = reader.take(3)
    mosquitto.kill()
    until(lambda: not reader.transport.is_ready())
    mosquitto.start()
    until(reader.transport.is_ready)
    publish(mosquitto.address, 3, first=10)
    new = reader.take(3)

    reader.transport.ack([d.token for d in old])
    until(lambda: reader.observer.dropped == 3)

    assert {d.payload for d in new} >= {b"10"}
    assert {d.token.epoch for d in new}.isdisjoint({d.token.epoch for d in old})
    reader.transport.stop(5)


def test_the_newest_watermark_is_retained_also_when_the_transport_stops_at_once(
    broker: RunningBroker,
) -> None:
    """Stopping flushes; later payloads of a topic win."""
    writer = Reader(broker.address)
    for n in range(100):
        writer.transport.publish_retained(ACK, b"%d" % n)
    writer.transport.stop(5)

    reader = MqttTransport(broker.address, Session("other", (ACK,)), Observer())
    inbox = Inbox()
    reader.start(inbox)
    [delivery] = inbox.take(1, 20)

    assert (delivery.payload, delivery.retained) == (b"99", True)
    reader.stop(5)


def test_a_broker_that_comes_late_is_found(free_port: Callable[[], int]) -> None:
    """Nobody listens: the transport says so and keeps trying."""
    transport = MqttTransport(BrokerAddress("127.0.0.1", free_port()), Session("x"), Observer())
    transport.start(Inbox())

    until(lambda: "refused" in transport.why_not_ready().lower())

    assert not transport.is_ready()
    transport.stop(1)


def test_a_publisher_without_a_broker_says_so(free_port: Callable[[], int]) -> None:
    """A clear sentence, not a hang."""
    publisher = BulkPublisher(BrokerAddress("127.0.0.1", free_port()), "history")

    with pytest.raises(BrokerUnreachableError, match="cannot be reached"):
        publisher.connect(0.3)


@pytest.mark.mosquitto
def test_a_publisher_whose_broker_dies_says_how_much_is_open(mosquitto: RunningBroker) -> None:
    """Flush has a time-out, and leaves no thread behind."""
    before = threading.active_count()
    with BulkPublisher(mosquitto.address, "history", max_in_flight=10) as publisher:
        publisher.connect(20)
        mosquitto.kill()
        publisher.publish(TEL, b"x")

        with pytest.raises(PublishTimeoutError, match="1 messages"):
            publisher.flush(0.2)
    assert threading.active_count() <= before


def test_the_outbox_sends_the_newest_payload_of_a_topic_and_again_what_was_not_answered() -> None:
    """A watermark never goes backwards."""
    outbox = Outbox()
    outbox.put("a", b"1")
    outbox.put("b", b"1")
    outbox.put("a", b"2")
    assert outbox.take(10) == ("a", b"2")
    outbox.sent(1, "a", b"2")
    assert outbox.take(1) is None
    assert outbox.take(10) == ("b", b"1")
    outbox.sent(2, "b", b"1")
    outbox.answered(2)
    outbox.put("a", b"3")
    outbox.take_back()

    assert outbox.take(10) == ("a", b"3")
    assert outbox.is_empty()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mqtt://h", BrokerAddress("h", 1883)),
        ("mqtts://h/", BrokerAddress("h", 8883, tls=True)),
        ("mqtt://u:p%40@h:9", BrokerAddress("h", 9, username="u", password="p@")),  # noqa: S106
    ],
)
def test_addresses_are_read(text: str, expected: BrokerAddress) -> None:
    """Ports have defaults, passwords are unquoted and never shown."""
    address = parse_broker(text)

    assert address == expected
    assert "p@" not in f"{address} {address!r}"


@pytest.mark.parametrize(
    "text", ["", "h:1883", "http://u:secret@h", "mqtt://", "mqtt://h:x", "mqtt://h/path"]
)
def test_an_unreadable_address_is_a_clear_sentence_without_the_password(text: str) -> None:
    """The user learns what is expected."""
    with pytest.raises(AddressError, match="expected mqtt://HOST") as caught:
        parse_broker(text)
    assert "secret" not in str(caught.value)
