"""The MQTT broker as ingest sees it, and a publisher of many messages.

Exactly-once hangs on two rules here: a message is acknowledged only when the pipeline says so, and
never on a later connection than it came on, because packet ids are used again. The inbox holds the network
back: when it is full, nothing is read.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from fleet_control.errors import BrokerUnreachableError, PublishTimeoutError
from fleet_control.ingest.addresses import BrokerAddress
from fleet_control.ingest.deliveries import AckToken, Delivery, Inbox
from fleet_control.ingest.outbox import Outbox
from fleet_control.mqtt_link import KEEPALIVE_S, Incoming, MqttLink, Terms, prepare_client
from fleet_protocol.topics import INGEST_FILTERS

# Watermarks sent and not yet acknowledged by the broker; the rest waits where it can be replaced.
MAX_OUTGOING = 500


class TransportObserver(Protocol):
    """Is told what happens on the connection."""

    def message_received(self) -> None:
        """A message was put into the inbox."""

    def connection_changed(self, *, ready: bool) -> None:
        """Connected and subscribed, or no longer."""

    def ack_dropped(self) -> None:
        """An acknowledgement came too late for its connection."""


@dataclass(frozen=True, slots=True)
class Session:
    """What ties an ingest to its messages on the broker.

    Attributes:
        client_id: Fixed: the broker keeps unacknowledged messages under it.
        filters: Topic filters, subscribed with QoS 1.
    """

    client_id: str
    filters: tuple[str, ...] = INGEST_FILTERS


class MqttTransport(MqttLink):
    """A persistent session with a broker; implements `ports.Transport`."""

    def __init__(
        self,
        address: BrokerAddress,
        session: Session,
        observer: TransportObserver,
        clock_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        super().__init__(address, Terms(session.client_id, session.filters, persistent=True))
        self._observer = observer
        self._clock_ms = clock_ms
        self._inbox: Inbox | None = None
        self._epoch = 0
        self._acks: deque[AckToken] = deque()
        self._outbox = Outbox()
        self._paused = threading.Event()

    def start(self, inbox: Inbox) -> None:
        """Connect in the background and stay connected."""
        self._inbox = inbox
        self._begin()

    def pause(self) -> None:
        """Read nothing more from the broker; acknowledgements still go out."""
        self._paused.set()

    def ack(self, tokens: Sequence[AckToken]) -> None:
        """Acknowledge deliveries; those of an earlier connection are dropped."""
        self._acks.extend(tokens)
        self._wake()

    def publish_retained(self, topic: str, payload: bytes) -> None:
        """Publish soon; a later payload of the same topic replaces one that still waits."""
        self._outbox.put(topic, payload)
        self._wake()

    def _connecting(self) -> None:
        self._epoch += 1
        self._acks.clear()
        self._outbox.take_back()

    def _changed(self, *, ready: bool) -> None:
        self._observer.connection_changed(ready=ready)

    def _take(self, message: Incoming) -> None:
        if self._inbox is None or self._stopping.is_set():
            return
        self._inbox.put(
            Delivery(
                message.topic,
                message.payload,
                self._clock_ms(),
                AckToken(self._epoch, message.packet_id),
                redelivered=message.again,
                retained=message.replayed,
            )
        )
        self._observer.message_received()

    def _answered(self, packet_id: int, refusal: str) -> None:  # noqa: ARG002  # a refusal repeats for ever
        self._outbox.answered(packet_id)

    def _send(self) -> None:
        while self._acks:
            token = self._acks.popleft()
            if token.epoch != self._epoch:
                self._observer.ack_dropped()
            elif token.packet_id:
                self._acknowledge(token.packet_id)
        while message := self._outbox.take(MAX_OUTGOING):
            self._outbox.sent(self._publish(*message), *message)

    def _has_room(self) -> bool:
        return not self._paused.is_set() and self._inbox is not None and self._inbox.has_room()

    def _is_idle(self) -> bool:
        return not self._acks and self._outbox.is_empty()


class BulkPublisher:
    """Publishes many messages with QoS 1 as fast as the broker acknowledges them.

    Speaks MQTT 3.1.1, which every broker has. For one thread; use it as a context manager.
    """

    def __init__(self, address: BrokerAddress, client_id: str, max_in_flight: int = 1_000) -> None:
        self._address = address
        self._max_in_flight = max_in_flight
        self._slots = threading.Semaphore(max_in_flight)
        self._connected = threading.Event()
        self._refusal = "no answer"
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv311)
        prepare_client(self._client, address)
        self._client.max_inflight_messages_set(max_in_flight)
        self._client.reconnect_delay_set(1, 5)
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish

    def connect(self, timeout_s: float) -> None:
        """Connect and keep connected.

        Raises:
            BrokerUnreachableError: it does not answer in time.
        """
        self._client.connect_async(self._address.host, self._address.port, KEEPALIVE_S)
        self._client.loop_start()
        if not self._connected.wait(timeout_s):
            self.close()
            raise BrokerUnreachableError(str(self._address), self._refusal)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, timeout_s: float = 30.0) -> None:
        """Send one message; waits while too many are unacknowledged.

        Raises:
            PublishTimeoutError: the broker acknowledged nothing for timeout_s.
        """
        if not self._slots.acquire(timeout=timeout_s):
            raise PublishTimeoutError(self._max_in_flight, timeout_s)
        self._client.publish(topic, payload, qos=1, retain=retain)

    def flush(self, timeout_s: float) -> None:
        """Wait until the broker has acknowledged everything.

        Raises:
            PublishTimeoutError: it did not in time.
        """
        deadline_s = time.monotonic() + timeout_s
        held = 0
        while held < self._max_in_flight and self._slots.acquire(
            timeout=max(deadline_s - time.monotonic(), 0)
        ):
            held += 1
        self._slots.release(held)
        if held < self._max_in_flight:
            raise PublishTimeoutError(self._max_in_flight - held, timeout_s)

    def close(self) -> None:
        """Disconnect; unacknowledged messages may be lost, so flush first."""
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _on_connect(
        self, _client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._refusal = str(reason)
        else:
            self._connected.set()

    def _on_publish(
        self, _client: paho.Client, _data: Any, _mid: int, _reason: ReasonCode, _properties: Any
    ) -> None:
        self._slots.release()
