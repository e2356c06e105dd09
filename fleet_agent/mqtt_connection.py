"""One connection to an MQTT broker, from its will to its end: the only module of the cart that knows paho.

The thread that owns it does everything: it connects, reads, writes, and sleeps in `select` between. paho's
own reconnect is not used, because each connection needs a will with its own session number, and paho's
queue is not used, because it is lost with the process.
"""

import os
import selectors
import socket
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from fleet_agent.config import MqttConfig
from fleet_agent.errors import AccessRefusedError, TransportError
from fleet_agent.ports import Clock, ConnectionPlan, Outbox, Outgoing

# Longest sleep while connected: keepalive and lost connections are looked after this often.
MAX_SLEEP_S = 5.0
# How long a trial listens for a retained watermark after the broker granted it. Shorter calls a slow
# broker empty; longer makes `check` slow for carts that have none yet.
RETAINED_S = 1.0
# How long a farewell may take to reach the broker. Shorter, and a broker that is busy publishes the will of a
# cart that said goodbye; longer, and a cart that leaves a dead link comes back later.
FAREWELL_S = 2.0
# What paho calls a refusal of the MQTT version.
WRONG_VERSION = "Unsupported protocol version"


class UnansweredError(TransportError):
    """The broker took the connection and does not answer, or not well: it may not speak this version."""


@dataclass(frozen=True, slots=True)
class Dial:
    """How to reach the broker, once."""

    config: MqttConfig
    client_id: str
    password: str | None
    protocol: str
    answer_s: float
    clock: Clock


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial connection does.

    Attributes:
        subscribe: Topic that is subscribed to.
        publish: Topic that gets an empty message, not retained, which changes nothing.
    """

    subscribe: str
    publish: str


@dataclass(frozen=True, slots=True)
class Tried:
    """What a trial connection found out.

    Attributes:
        protocol: The MQTT version spoken.
        retained: Whether a retained message waited on the subscribed topic.
        publish_answered: Whether the broker says if publishing is allowed; MQTT 3.1.1 does not.
    """

    protocol: str
    retained: bool
    publish_answered: bool


class Connection:
    """One connection. A new paho client each: no state is carried over.

    Args:
        dial: How to reach the broker.
        plan: Whose will it has; None for a trial.
        wake_read: A socket that becomes readable when there is something to send.
    """

    def __init__(self, dial: Dial, plan: ConnectionPlan | None, wake_read: socket.socket) -> None:
        self._dial = dial
        self._plan = plan
        self._wake_read = wake_read
        self._received: deque[tuple[str, bytes]] = deque()
        self._answer: str | None = None
        self._accepted = False
        self._granted: bool | None = None
        self._why_not_granted = ""
        self._why_not_published = ""
        self._unanswered_mids: set[int] = set()
        self._client = self._make_client()

    def _make_client(self) -> paho.Client:
        five = self._dial.protocol == "5"
        config = self._dial.config
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._dial.client_id,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            clean_session=None if five else True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = config.connect_timeout_s
        if config.username:
            client.username_pw_set(config.username, self._dial.password)
        if config.tls:
            client.tls_set_context(_tls_context(config))
        if self._plan:
            will = self._plan.will
            client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    # Callbacks run inside loop_read of this thread and only take notes.

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._accepted = not reason.is_failure
        self._answer = str(reason)

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        refusals = [str(reason) for reason in reasons if reason.is_failure]
        self._granted = not refusals
        self._why_not_granted = ", ".join(refusals)

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        self._received.append((message.topic, bytes(message.payload)))

    def _on_publish(self, _client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        self._unanswered_mids.discard(mid)
        if reason.is_failure:
            self._why_not_published = str(reason)

    def open(self) -> None:
        """Connect and wait for the broker's answer.

        Raises:
            UnansweredError: there is none, or it says that it does not speak this version.
            TransportError: it cannot be reached or refuses.
        """
        config = self._dial.config
        try:
            self._client.connect(config.host, config.port, config.keepalive_s)
        except (OSError, ValueError) as error:  # ssl errors are OSErrors
            raise TransportError(f"{self._address}: {error}") from error
        self._turn_until(lambda: self._answer is not None, self._dial.answer_s)
        if self._answer is None or self._answer == WRONG_VERSION:
            raise UnansweredError(f"{self._address}: no answer to CONNECT in MQTT {self._dial.protocol}")
        if not self._accepted:
            raise TransportError(f"{self._address}: refused: {self._answer}")

    def subscribe(self, topic: str) -> None:
        """Subscribe and wait for the broker's answer.

        Raises:
            AccessRefusedError: the broker does not let us.
            TransportError: it does not answer.
        """
        self._ask_for(topic)
        self._turn_until(lambda: self._granted is not None, self._dial.config.connect_timeout_s)
        if self._granted is None:
            raise TransportError(f"{self._address}: no answer to SUBSCRIBE")
        if not self._granted:
            raise AccessRefusedError(f"{self._address}: may not read {topic}: {self._why_not_granted}")

    def _ask_for(self, topic: str) -> None:
        self._granted = None
        self._client.subscribe(topic, qos=1)

    def serve(self, outbox: Outbox, over: Callable[[], bool]) -> None:
        """Send and receive until the connection breaks or it is over."""
        self._hand_over(outbox)
        self._publish(outbox.on_connected())
        alive = True
        while alive and not over():
            now_s = self._dial.clock.monotonic_s()
            for message in outbox.take(now_s):
                self._publish(message)
            alive = self._turn(min(MAX_SLEEP_S, outbox.next_due_s(now_s)))
            self._hand_over(outbox)

    def try_out(self, trial: Trial) -> Tried:
        """Find out whether the account may do what a cart must.

        Raises:
            AccessRefusedError: it may not.
            TransportError: the broker does not answer.
        """
        self.subscribe(trial.subscribe)
        self._turn_until(lambda: bool(self._received), RETAINED_S)
        self._publish(Outgoing(trial.publish, b""))
        timeout_s = self._dial.config.connect_timeout_s
        if not self._turn_until(lambda: not self._unanswered_mids, timeout_s):
            # Some brokers cut the connection of whom they refuse.
            raise AccessRefusedError(f"{self._address}: publishing to {trial.publish} is not answered")
        if self._why_not_published:
            raise AccessRefusedError(
                f"{self._address}: may not write {trial.publish}: {self._why_not_published}"
            )
        return Tried(self._dial.protocol, bool(self._received), self._dial.protocol == "5")

    def leave(self, outbox: Outbox, deadline_s: float) -> None:
        """Send what is there, then the farewell, and wait until the broker has it all."""
        now_s = self._dial.clock.monotonic_s()
        for message in (*outbox.take(now_s), outbox.farewell()):
            self._publish(message)
        self._turn_until(lambda: not self._unanswered_mids, deadline_s - now_s)

    def drop(self) -> None:
        """Cut the connection without a word, so that the broker publishes the will."""
        sock: Any = self._client.socket()
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Say DISCONNECT, so that the will stays unsent, and close once the broker has heard it.

        A socket that is closed while answers of the broker lie in it unread is reset by the system. The
        broker then fails at its next answer, before it has read the DISCONNECT, and publishes the will. So
        the line is held by a second handle until the broker hangs up.
        """
        sock = self._client.socket()
        if sock is None:
            return
        with suppress(OSError, ValueError), socket.socket(fileno=os.dup(sock.fileno())) as line:
            deadline_s = self._dial.clock.monotonic_s() + FAREWELL_S
            self._client.disconnect()
            self._turn_until(lambda: self._client.socket() is None, FAREWELL_S)
            line.shutdown(socket.SHUT_WR)
            while (left_s := deadline_s - self._dial.clock.monotonic_s()) > 0:
                line.settimeout(left_s)
                if not line.recv(65_536):
                    break

    @property
    def _address(self) -> str:
        return f"{self._dial.config.host}:{self._dial.config.port}"

    def _hand_over(self, outbox: Outbox) -> None:
        while self._received:
            outbox.on_received(*self._received.popleft())
        if self._why_not_published:
            outbox.on_refused("publish_refused", self._why_not_published)
            self._why_not_published = ""

    def _publish(self, message: Outgoing) -> None:
        info = self._client.publish(message.topic, message.payload, qos=1, retain=message.retain)
        if info.rc in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            self._unanswered_mids.add(info.mid)

    def _turn_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Move bytes until a condition holds; False when the time or the connection ended before."""
        deadline_s = self._dial.clock.monotonic_s() + timeout_s
        alive = True
        while alive and not condition():
            left_s = deadline_s - self._dial.clock.monotonic_s()
            alive = left_s > 0 and self._turn(min(MAX_SLEEP_S, left_s))
        return condition()

    def _turn(self, timeout_s: float) -> bool:
        """Sleep until something is to be read or written or somebody wakes us; False when it is over."""
        sock = self._client.socket()
        if sock is None:
            return False
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._client.want_write() else 0)
        with selectors.DefaultSelector() as selector:
            selector.register(sock, wanted)
            selector.register(self._wake_read, selectors.EVENT_READ)
            ready = dict(selector.select(0.0 if _buffered(sock) else timeout_s))
        if any(key.fileobj is self._wake_read for key in ready):
            with suppress(OSError):
                self._wake_read.recv(4096)
        return self._move(sock, next((mask for key, mask in ready.items() if key.fileobj is sock), 0))

    def _move(self, sock: Any, mask: int) -> bool:
        done = MQTTErrorCode.MQTT_ERR_SUCCESS
        results = [done]
        if mask & selectors.EVENT_READ or _buffered(sock):
            results.append(self._client.loop_read())
        if mask & selectors.EVENT_WRITE:
            results.append(self._client.loop_write())
        results.append(self._client.loop_misc())
        return all(result == done for result in results)


def _buffered(sock: Any) -> bool:
    """Tell whether TLS has decrypted bytes that `select` cannot see."""
    return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0


def _tls_context(config: MqttConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.ca_file or None)
        if config.cert_file:
            context.load_cert_chain(config.cert_file, config.key_file)
    except (OSError, ssl.SSLError) as error:
        raise TransportError(f"certificates: {error}") from error
    return context
