"""The MQTT broker through paho: the only module of the cloud side that knows paho.

`MqttTransport` runs its own network loop instead of paho's, for three reasons: it stops reading its
socket when the inbox is full (the broker is the better place to wait), all acknowledgements are sent
from the one thread that knows the current connection, and reconnects are spread by jitter.

Exactly-once hangs on two rules here: a message is acknowledged only when the pipeline says so, and
never on a later connection than it came on, because packet ids are used again.
"""

import random
import select
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fleet_control.errors import BrokerUnreachableError, PublishTimeoutError
from fleet_control.ingest.addresses import BrokerAddress
from fleet_control.ingest.deliveries import AckToken, Delivery, Inbox
from fleet_control.ingest.outbox import Outbox, WakePipe
from fleet_protocol.topics import INGEST_FILTERS

_log = structlog.get_logger(__name__)

# Deliveries the broker may leave unacknowledged (MQTT 5). Lower than a batch starves the pipeline;
# the packet id ends at 65,535.
RECEIVE_MAXIMUM = 20_000
# How long the broker keeps the session of an ingest that is away (MQTT 5): a week of trouble.
SESSION_EXPIRY_S = 7 * 24 * 3600
KEEPALIVE_S = 30
# First and longest pause before the next connection attempt; the real one is a random share of it.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
# A broker that accepts TCP and then says nothing is given up after this.
CONNACK_TIMEOUT_S = 10.0
# The same for an attempt at level 5: amqtt misreads its CONNECT and waits for more bytes for ever.
# Lower takes a slow broker of MQTT 5 for an old one, which costs only its Receive Maximum.
LEVEL_5_TIMEOUT_S = 2.0
# Packets read between two looks at acknowledgements to send.
READ_CHUNK = 100
# Watermarks sent and not yet acknowledged by the broker; the rest waits where it can be replaced.
MAX_OUTGOING = 500
# Pause of the loop while the inbox is full.
FULL_PAUSE_S = 0.02


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


class MqttTransport:
    """A persistent session with a broker; implements `ports.Transport`."""

    def __init__(
        self,
        address: BrokerAddress,
        session: Session,
        observer: TransportObserver,
        clock_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self._address = address
        self._session = session
        self._observer = observer
        self._clock_ms = clock_ms
        self._inbox: Inbox | None = None
        self._epoch = 0
        self._greeted = False
        self._protocol = paho.MQTTv5
        self._acks: deque[AckToken] = deque()
        self._outbox = Outbox()
        self._alarm: WakePipe | None = None
        self._ready = threading.Event()
        self._paused = threading.Event()
        self._stopping = threading.Event()
        self._flush_until_s = 0.0
        self._received = 0
        self._refusal: str | None = None
        self._thread: threading.Thread | None = None

    def start(self, inbox: Inbox) -> None:
        """Connect in the background and stay connected."""
        self._inbox = inbox
        self._alarm = WakePipe()
        self._thread = threading.Thread(
            target=self._run, args=(self._alarm,), name="ingest-mqtt", daemon=True
        )
        self._thread.start()

    def pause(self) -> None:
        """Read nothing more from the broker; acknowledgements still go out."""
        self._paused.set()

    def is_ready(self) -> bool:
        """Tell whether it is connected and subscribed."""
        return self._ready.is_set()

    def wait_ready(self, timeout_s: float) -> bool:
        """Return whether it is connected and subscribed, at the latest after the time-out."""
        return self._ready.wait(timeout_s)

    def why_not_ready(self) -> str:
        """Return the last reason why the broker could not be used."""
        return self._refusal or "it has not answered yet"

    def ack(self, tokens: Sequence[AckToken]) -> None:
        """Acknowledge deliveries; those of an earlier connection are dropped."""
        self._acks.extend(tokens)
        self._wake()

    def publish_retained(self, topic: str, payload: bytes) -> None:
        """Publish soon; a later payload of the same topic replaces one that still waits."""
        self._outbox.put(topic, payload)
        self._wake()

    def stop(self, timeout_s: float) -> None:
        """Send what waits to be sent, then disconnect."""
        self._flush_until_s = time.monotonic() + timeout_s
        self._stopping.set()
        self._wake()
        if self._thread is None or self._alarm is None:
            return
        self._thread.join(timeout_s + CONNACK_TIMEOUT_S)
        if not self._thread.is_alive():
            self._alarm.close()

    def _wake(self) -> None:
        if self._alarm is not None:
            self._alarm.wake()

    # The network thread.

    def _run(self, alarm: WakePipe) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            was_ready = self._one_connection(alarm)
            self._ready.clear()
            self._observer.connection_changed(ready=False)
            pause_s = FIRST_PAUSE_S if was_ready else min(pause_s * 2, LONGEST_PAUSE_S)
            # Without jitter a restarted broker is met by everybody at once.
            self._stopping.wait(pause_s * random.uniform(0.3, 1.0))  # noqa: S311

    def _one_connection(self, alarm: WakePipe) -> bool:
        """Connect and serve until the connection ends; return whether it ever was ready."""
        client = self._new_client()
        self._greeted = False
        self._acks.clear()
        self._outbox.take_back()
        try:
            client.connect(self._address.host, self._address.port, KEEPALIVE_S, **self._start_options())
            self._serve(client, alarm)
        except (OSError, ValueError) as error:
            self._refusal = str(error)
            _log.warning("the broker cannot be reached", broker=str(self._address), why=str(error))
            return False
        finally:
            _close(client)
        was_ready = self._ready.is_set()
        if not was_ready and self._protocol == paho.MQTTv5:
            # amqtt and other brokers of MQTT 3.1.1 hang up on level 5, each in its own way.
            self._protocol = paho.MQTTv311
        elif not was_ready:
            self._protocol = paho.MQTTv5
        return was_ready

    def _serve(self, client: paho.Client, alarm: WakePipe) -> None:
        patience_s = LEVEL_5_TIMEOUT_S if self._protocol == paho.MQTTv5 else CONNACK_TIMEOUT_S
        give_up_s = time.monotonic() + patience_s
        while not self._is_flushed(client):
            if not self._greeted and time.monotonic() > give_up_s:
                self._refusal = "it accepted the connection and then did not answer"
                return
            if client.socket() is None:
                return
            if self._step(client, alarm) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return

    def _is_flushed(self, client: paho.Client) -> bool:
        if not self._stopping.is_set():
            return False
        busy = bool(self._acks) or not self._outbox.is_empty() or client.want_write()
        return not busy or not self._ready.is_set() or time.monotonic() > self._flush_until_s

    def _step(self, client: paho.Client, alarm: WakePipe) -> MQTTErrorCode:
        sock: Any = client.socket()
        reading = self._may_read()
        # While the inbox is full the socket is left alone; TCP then holds the broker back.
        readable = [sock, alarm.readable] if reading else [alarm.readable]
        writable = [sock] if client.want_write() else []
        woken, writing, _ = select.select(readable, writable, [], 1.0 if reading else FULL_PAUSE_S)
        if alarm.readable in woken:
            alarm.drain()
        if sock in woken:
            self._read(client)
        if self._ready.is_set():
            self._send_acks(client)
            self._send_outbox(client)
        if writing and client.socket() is not None:
            client.loop_write()
        return client.loop_misc()

    def _may_read(self) -> bool:
        # Before CONNACK and while saying goodbye only answers of the broker are of interest.
        if not self._greeted or self._stopping.is_set():
            return True
        return not self._paused.is_set() and self._inbox is not None and self._inbox.has_room()

    def _read(self, client: paho.Client) -> None:
        for _ in range(READ_CHUNK):
            before = self._received
            if client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS or self._received == before:
                return
            if not self._may_read():
                return

    def _send_acks(self, client: paho.Client) -> None:
        while self._acks:
            token = self._acks.popleft()
            if token.epoch != self._epoch:
                self._observer.ack_dropped()
            elif token.packet_id:
                client.ack(token.packet_id, qos=1)

    def _send_outbox(self, client: paho.Client) -> None:
        while message := self._outbox.take(MAX_OUTGOING):
            info = client.publish(*message, qos=1, retain=True)
            self._outbox.sent(info.mid, *message)

    # Callbacks of paho; all run on the network thread and none of them waits.

    def _new_client(self) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._session.client_id,
            protocol=self._protocol,
            # MQTT 5 says the same when it connects.
            clean_session=None if self._protocol == paho.MQTTv5 else False,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        prepare_client(client, self._address)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    def _start_options(self) -> dict[str, Any]:
        if self._protocol != paho.MQTTv5:
            return {}
        properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        return {"clean_start": False, "properties": properties}

    def _on_connect(
        self, client: paho.Client, _data: Any, flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        self._epoch += 1
        if reason.is_failure:
            self._refusal = f"it refused the connection: {reason}"
            _log.warning("the broker refused the connection", broker=str(self._address), why=str(reason))
            client.disconnect()
            return
        self._greeted = True
        _log.info("connected", broker=str(self._address), session_present=flags.session_present)
        client.subscribe([(topic, 1) for topic in self._session.filters])
        if flags.session_present:
            # The old subscription holds, and SUBACK comes only behind everything the broker kept for us.
            self._become_ready()

    def _on_subscribe(
        self, client: paho.Client, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            self._refusal = "it refused the subscription"
            _log.error("the broker refused the subscription", broker=str(self._address))
            client.disconnect()
            return
        self._become_ready()

    def _become_ready(self) -> None:
        if not self._ready.is_set():
            self._ready.set()
            self._observer.connection_changed(ready=True)

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self._received += 1
        if self._inbox is None or self._stopping.is_set():
            return
        token = AckToken(self._epoch, message.mid if message.qos else 0)
        self._inbox.put(
            Delivery(
                _topic_text(message),
                bytes(message.payload),
                self._clock_ms(),
                token,
                redelivered=message.dup,
                retained=message.retain,
            )
        )
        self._observer.message_received()

    def _on_publish(
        self, _client: paho.Client, _data: Any, mid: int, _reason: ReasonCode, _properties: Any
    ) -> None:
        self._outbox.answered(mid)


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


def prepare_client(client: paho.Client, address: BrokerAddress) -> None:
    """Tell a client how to log in, and whether the line is encrypted."""
    if address.username is not None:
        client.username_pw_set(address.username, address.password)
    if address.tls:
        client.tls_set(cert_reqs=ssl.CERT_REQUIRED)


def _close(client: paho.Client) -> None:
    if client.socket() is None:
        return
    client.disconnect()
    if client.want_write():
        client.loop_write()


def _topic_text(message: paho.MQTTMessage) -> str:
    try:
        return str(message.topic)
    except UnicodeDecodeError:
        return "(not UTF-8)"
