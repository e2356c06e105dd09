"""One connection to an MQTT broker through paho, kept up by a thread of its own.

`MqttLink` runs its own network loop instead of paho's, for three reasons: it can stop reading its socket
when there is no room (the broker is the better place to wait), everything is sent from the one thread that
knows the current connection, and reconnects are spread by jitter. What was handed to a connection that broke
is not sent again behind anybody's back: the next connection has a client of its own.
"""

import random
import select
import ssl
import threading
import time
from typing import Any, NamedTuple

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fleet_control.ingest.addresses import BrokerAddress
from fleet_control.ingest.outbox import WakePipe

_log = structlog.get_logger(__name__)

# Deliveries the broker may leave unacknowledged (MQTT 5). Lower than a batch starves the pipeline;
# the packet id ends at 65,535.
RECEIVE_MAXIMUM = 20_000
# How long the broker keeps a persistent session of somebody who is away (MQTT 5): a week of trouble.
SESSION_EXPIRY_S = 7 * 24 * 3600
KEEPALIVE_S = 30
# First and longest pause before the next connection attempt; the real one is a random share of it.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
# A broker that accepts TCP and then says nothing is given up after this.
CONNACK_TIMEOUT_S = 10.0
# The same for an attempt at level 5: amqtt misreads its CONNECT and waits for more bytes for ever.
# Lower takes a slow broker of MQTT 5 for an old one, which costs only what level 5 is good for.
LEVEL_5_TIMEOUT_S = 2.0
# Packets read between two looks at what there is to send.
READ_CHUNK = 100
# Messages that may be on their way if the broker says nothing else; the packet id ends at 65,535.
MAX_WINDOW = 65_535
# Pause of the loop while there is no room to read.
FULL_PAUSE_S = 0.02


class Terms(NamedTuple):
    """How a link connects.

    Attributes:
        client_id: As the broker knows it; two of one name push each other out.
        filters: Topic filters, subscribed with QoS 1.
        persistent: The broker keeps messages while the link is away, and each is acknowledged by hand.
            Otherwise it begins clean.
        paho_window: Messages sent and not acknowledged; paho holds back the rest, and looks through all of
            them at each answer. 0: whoever inherits keeps to `_window` instead.
    """

    client_id: str
    filters: tuple[str, ...]
    persistent: bool
    paho_window: int = 20


class Incoming(NamedTuple):
    """One PUBLISH as received.

    Attributes:
        topic: Where.
        payload: What.
        packet_id: 0 where there is nothing to acknowledge.
        again: It may have come before.
        replayed: It was retained before the subscription.
    """

    topic: str
    payload: bytes
    packet_id: int
    again: bool
    replayed: bool


class MqttLink:
    """Connects at `_begin` and again whenever the connection breaks, until `stop`.

    Whoever inherits fills in what is to be done. All the hooks run on the network thread; none may wait or
    raise.

    Args:
        address: The broker.
        terms: How to connect.
    """

    def __init__(self, address: BrokerAddress, terms: Terms) -> None:
        self._address = address
        self._terms = terms
        self._greeted = False
        self._protocol = paho.MQTTv5
        self._client: paho.Client | None = None
        self._alarm: WakePipe | None = None
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._flush_until_s = 0.0
        self._received = 0
        self._window = MAX_WINDOW
        self._refusal: str | None = None
        self._thread: threading.Thread | None = None

    def is_ready(self) -> bool:
        """Tell whether it is connected and subscribed."""
        return self._ready.is_set()

    def wait_ready(self, timeout_s: float) -> bool:
        """Return whether it is connected and subscribed, at the latest after the time-out."""
        return self._ready.wait(timeout_s)

    def why_not_ready(self) -> str:
        """Return the last reason why the broker could not be used."""
        return self._refusal or "it has not answered yet"

    def stop(self, timeout_s: float = 5.0) -> None:
        """Send what waits to be sent, then disconnect."""
        self._flush_until_s = time.monotonic() + timeout_s
        self._stopping.set()
        self._wake()
        if self._thread is None or self._alarm is None:
            return
        self._thread.join(timeout_s + CONNACK_TIMEOUT_S)
        if not self._thread.is_alive():
            self._alarm.close()

    # What those who inherit use.

    def _begin(self) -> None:
        """Connect in the background and stay connected."""
        self._alarm = WakePipe()
        self._thread = threading.Thread(
            target=self._run, args=(self._alarm,), name=f"mqtt-{self._terms.client_id}", daemon=True
        )
        self._thread.start()

    def _wake(self) -> None:
        """Say that there is something to send; from any thread."""
        if self._alarm is not None:
            self._alarm.wake()

    def _publish(self, topic: str, payload: bytes) -> int:
        """Send a retained message with QoS 1; returns its packet id. Network thread only."""
        return 0 if self._client is None else self._client.publish(topic, payload, qos=1, retain=True).mid

    def _acknowledge(self, packet_id: int) -> None:
        """Acknowledge a message of the present connection. Network thread only."""
        if self._client is not None:
            self._client.ack(packet_id, qos=1)

    # Hooks.

    def _connecting(self) -> None:
        """A new connection begins: packet ids of the last one mean nothing any more."""

    def _changed(self, *, ready: bool) -> None:
        """It is connected and subscribed, or no longer."""

    def _take(self, message: Incoming) -> None:
        """A message has come."""

    def _answered(self, packet_id: int, refusal: str) -> None:
        """The broker has a message, or says why it refuses it (MQTT 5)."""

    def _send(self) -> None:
        """Send what there is; called again and again while it is ready."""

    def _has_room(self) -> bool:
        """Whether more should be read."""
        return True

    def _is_idle(self) -> bool:
        """Whether nothing waits to be sent or answered."""
        return True

    # The network thread.

    def _run(self, alarm: WakePipe) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            was_ready = self._one_connection(alarm)
            self._ready.clear()
            self._changed(ready=False)
            pause_s = FIRST_PAUSE_S if was_ready else min(pause_s * 2, LONGEST_PAUSE_S)
            # Without jitter a restarted broker is met by everybody at once.
            self._stopping.wait(pause_s * random.uniform(0.3, 1.0))  # noqa: S311

    def _one_connection(self, alarm: WakePipe) -> bool:
        """Connect and serve until the connection ends; return whether it ever was ready."""
        client = self._client = self._new_client()
        self._greeted = False
        self._connecting()
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
        busy = not self._is_idle() or client.want_write()
        return not busy or not self._ready.is_set() or time.monotonic() > self._flush_until_s

    def _step(self, client: paho.Client, alarm: WakePipe) -> MQTTErrorCode:
        sock: Any = client.socket()
        reading = self._may_read()
        # While there is no room the socket is left alone; TCP then holds the broker back.
        readable = [sock, alarm.readable] if reading else [alarm.readable]
        writable = [sock] if client.want_write() else []
        woken, writing, _ = select.select(readable, writable, [], 1.0 if reading else FULL_PAUSE_S)
        if alarm.readable in woken:
            alarm.drain()
        if sock in woken:
            self._read(client)
        if self._ready.is_set():
            self._send()
        if writing and client.socket() is not None:
            client.loop_write()
        return client.loop_misc()

    def _may_read(self) -> bool:
        # Before CONNACK and while saying goodbye only answers of the broker are of interest.
        return not self._greeted or self._stopping.is_set() or self._has_room()

    def _read(self, client: paho.Client) -> None:
        for _ in range(READ_CHUNK):
            before = self._received
            if client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS or self._received == before:
                return
            if not self._may_read():
                return

    # Callbacks of paho; all run on the network thread and none of them waits.

    def _new_client(self) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._terms.client_id,
            protocol=self._protocol,
            # MQTT 5 says the same when it connects.
            clean_session=None if self._protocol == paho.MQTTv5 else not self._terms.persistent,
            reconnect_on_failure=False,
            manual_ack=self._terms.persistent,
        )
        prepare_client(client, self._address)
        client.max_inflight_messages_set(self._terms.paho_window)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    def _start_options(self) -> dict[str, Any]:
        if self._protocol != paho.MQTTv5:
            return {}
        properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho
        properties.SessionExpiryInterval = SESSION_EXPIRY_S if self._terms.persistent else 0
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        return {"clean_start": not self._terms.persistent, "properties": properties}

    def _on_connect(
        self, client: paho.Client, _data: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        if reason.is_failure:
            self._refusal = f"it refused the connection: {reason}"
            _log.warning("the broker refused the connection", broker=str(self._address), why=str(reason))
            client.disconnect()
            return
        self._greeted = True
        # A broker of MQTT 5 cuts the line of whoever sends more than it wants to have open.
        self._window = getattr(properties, "ReceiveMaximum", MAX_WINDOW)
        _log.info("connected", broker=str(self._address), session_present=flags.session_present)
        client.subscribe([(topic, 1) for topic in self._terms.filters])
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
            self._changed(ready=True)

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self._received += 1
        self._take(
            Incoming(
                _topic_text(message),
                bytes(message.payload),
                message.mid if message.qos else 0,
                again=message.dup,
                replayed=message.retain,
            )
        )

    def _on_publish(
        self, _client: paho.Client, _data: Any, mid: int, reason: ReasonCode, _properties: Any
    ) -> None:
        self._answered(mid, str(reason) if reason.is_failure else "")


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
