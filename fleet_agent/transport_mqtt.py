"""The way to the broker over MQTT: the only module of the cart that knows paho.

One thread does everything: it connects, reads, writes, and sleeps in `select` between. paho's own
reconnect is not used, because each connection needs a will with its own session number, and paho's
queue is not used, because it is lost with the process. MQTT 5 is tried first where the setting is
`auto`; a broker that refuses the version, is silent, or drops the connection is spoken to in 3.1.1.
"""

import os
import random
import selectors
import socket
import ssl
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from fleet_agent.config import MqttConfig
from fleet_agent.errors import AgentError, TransportError
from fleet_agent.ports import Clock, ConnectionPlan, Outbox, Outgoing

log = structlog.get_logger()

# Longest sleep while connected: keepalive and lost connections are looked after this often.
MAX_SLEEP_S = 5.0
# In `auto`, a broker has this long to answer MQTT 5 before 3.1.1 is tried: some brokers that do not
# know it stay silent. Too short only means that a slow broker is spoken to in 3.1.1.
FIVE_ANSWER_S = 2.0
# What paho calls a refusal of the MQTT version.
WRONG_VERSION = "Unsupported protocol version"


def read_password(config: MqttConfig, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the broker's password from where the settings say it is.

    Raises:
        TransportError: it is not there. The password itself is in no message.
    """
    if config.password_env:
        if config.password_env not in environment:
            raise TransportError(f"variable {config.password_env} with the broker's password is not set")
        return environment[config.password_env]
    if config.password_file:
        try:
            lines = Path(config.password_file).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise TransportError(f"{config.password_file}: {error.strerror}") from error
        return lines[0] if lines else ""
    return None


class _UnansweredError(TransportError):
    """The broker took the connection and does not answer, or not well: it may not speak this version."""


@dataclass(frozen=True, slots=True)
class _Dial:
    """How to reach the broker, once."""

    config: MqttConfig
    client_id: str
    password: str | None
    protocol: str
    answer_s: float
    clock: Clock


class MqttTransport:
    """Keeps one connection to the broker and sends what the outbox gives.

    Args:
        config: The broker.
        client_id: As the broker knows the cart; two of one name push each other out.
        clock: Time.
        rng: Jitter of the waits.

    Raises:
        TransportError: the password is not where the settings say.
    """

    def __init__(
        self, config: MqttConfig, *, client_id: str, clock: Clock, rng: random.Random | None = None
    ) -> None:
        self._config = config
        self._client_id = client_id
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311  # jitter is no secret
        self._password = read_password(config)
        self._protocol = "5" if config.protocol == "auto" else config.protocol
        self._wake_read, self._wake_write = socket.socketpair()
        for end in (self._wake_read, self._wake_write):
            end.settimeout(0.0)  # never blocks
        self._stopping = threading.Event()
        self._stop_deadline_s = float("inf")
        self._connected = False
        self._thread: threading.Thread | None = None

    @property
    def connected(self) -> bool:
        """Whether a broker has accepted us and has not gone since."""
        return self._connected

    @property
    def protocol(self) -> str:
        """The MQTT version spoken: 5 or 3.1.1."""
        return self._protocol

    def start(self, outbox: Outbox) -> None:
        """Begin to connect; returns at once."""
        name = f"mqtt-{self._client_id}"
        self._thread = threading.Thread(target=self._run, args=(outbox,), name=name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Say that the outbox has something new. Any thread; never blocks."""
        with suppress(OSError):  # full: a wake-up is waiting already; closed: nobody listens
            self._wake_write.send(b"w")

    def stop(self, timeout_s: float) -> None:
        """Send what the outbox gives now, say farewell, and end the thread."""
        self._stop_deadline_s = self._clock.monotonic_s() + timeout_s
        self._stopping.set()
        self.wake()
        if self._thread is not None:
            self._thread.join(timeout_s + self._config.connect_timeout_s)
        self._wake_write.close()
        self._wake_read.close()

    def probe(self) -> str:
        """Connect once and leave, for `check`; returns the MQTT version spoken.

        Raises:
            TransportError: the broker cannot be reached or refuses.
        """
        for _ in range(2):
            connection = self._connection(None)
            try:
                connection.open()
            except _UnansweredError:
                self._fall_back()
                continue
            finally:
                connection.close()
            return self.protocol
        raise TransportError("the broker answers neither in MQTT 5 nor in 3.1.1")

    def _connection(self, plan: ConnectionPlan | None) -> "_Connection":
        answer_s = self._config.connect_timeout_s
        if self._config.protocol == "auto" and self._protocol == "5":
            answer_s = min(answer_s, FIVE_ANSWER_S)
        dial = _Dial(self._config, self._client_id, self._password, self._protocol, answer_s, self._clock)
        return _Connection(dial, plan, self._wake_read)

    def _run(self, outbox: Outbox) -> None:
        failures = 0
        while not self._stopping.is_set():
            failures += 1
            try:
                self._connect_and_serve(outbox)
                failures = 0
            except TransportError as error:
                log.warning("broker not reached", client=self._client_id, why=str(error))
            except AgentError as error:
                log.warning("spool failed", client=self._client_id, why=str(error))
            except Exception:  # a fault of ours must not leave the cart silent and seemingly online
                log.exception("transport failed", client=self._client_id)
            self._stopping.wait(self._backoff_s(failures))

    def _connect_and_serve(self, outbox: Outbox) -> None:
        connection = self._connection(outbox.plan_connection())
        try:
            connection.open()
            self._connected = True
            log.info("connected", client=self._client_id, mqtt=self.protocol)
            connection.serve(outbox, self._stopping)
            if self._stopping.is_set():
                connection.leave(outbox, self._stop_deadline_s)
        except _UnansweredError as error:
            self._fall_back()
            log.info("trying the other MQTT version", client=self._client_id, why=str(error))
        except BaseException:
            connection.drop()
            raise
        finally:
            self._connected = False
            connection.close()

    def _fall_back(self) -> None:
        if self._config.protocol != "auto":
            raise TransportError(f"the broker does not answer in MQTT {self._protocol}")
        self._protocol = "3.1.1" if self._protocol == "5" else "5"

    def _backoff_s(self, failures: int) -> float:
        """Double with each failure, with full jitter: a broker that restarts is not stormed."""
        low, high = self._config.reconnect_min_s, self._config.reconnect_max_s
        ceiling: float = min(high, low * 2.0 ** min(failures, 20))
        return self._rng.uniform(low / 2, ceiling)


class _Connection:
    """One connection, from its will to its end. A new paho client each: no state is carried over."""

    def __init__(self, dial: _Dial, plan: ConnectionPlan | None, wake_read: socket.socket) -> None:
        self._dial = dial
        self._plan = plan
        self._wake_read = wake_read
        self._received: deque[bytes] = deque()
        self._answer: str | None = None
        self._accepted = False
        self._subscribed = False
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
        self._subscribed = True
        if any(reason.is_failure for reason in reasons):
            # Sending goes on: the cloud stores it, and a corrected access list is enough to be told so.
            log.warning("watermarks refused by the broker", client=self._dial.client_id, why=str(reasons[0]))

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        self._received.append(bytes(message.payload))

    def _on_publish(self, _client: Any, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        self._unanswered_mids.discard(mid)

    def open(self) -> None:
        """Connect and wait for the broker's answer.

        Raises:
            _UnansweredError: there is none, or it says that it does not speak this version.
            TransportError: it cannot be reached or refuses.
        """
        config = self._dial.config
        address = f"{config.host}:{config.port}"
        try:
            self._client.connect(config.host, config.port, config.keepalive_s)
        except (OSError, ValueError) as error:  # ssl errors are OSErrors
            raise TransportError(f"{address}: {error}") from error
        deadline_s = self._dial.clock.monotonic_s() + self._dial.answer_s
        alive = True
        while alive and self._answer is None:
            left_s = deadline_s - self._dial.clock.monotonic_s()
            alive = left_s > 0 and self._turn(left_s)
        if self._answer is None or self._answer == WRONG_VERSION:
            raise _UnansweredError(f"{address}: no answer to CONNECT in MQTT {self._dial.protocol}")
        if not self._accepted:
            raise TransportError(f"{address}: refused: {self._answer}")

    def serve(self, outbox: Outbox, stopping: threading.Event) -> None:
        """Send and receive until the connection breaks or the stop comes."""
        self._publish(outbox.on_connected())
        if self._plan:
            self._client.subscribe(self._plan.subscribe, qos=1)
        alive = True
        while alive and not stopping.is_set():
            now_s = self._dial.clock.monotonic_s()
            if self._subscribed:
                for message in outbox.take(now_s):
                    self._publish(message)
            alive = self._turn(min(MAX_SLEEP_S, outbox.next_due_s(now_s)))
            while self._received:
                outbox.on_received(self._received.popleft())

    def leave(self, outbox: Outbox, deadline_s: float) -> None:
        """Send what is there, then the farewell, and wait until the broker has it all."""
        now_s = self._dial.clock.monotonic_s()
        for message in (*outbox.take(now_s), outbox.farewell()):
            self._publish(message)
        alive = True
        while alive and self._unanswered_mids and (now_s := self._dial.clock.monotonic_s()) < deadline_s:
            alive = self._turn(min(MAX_SLEEP_S, deadline_s - now_s))

    def drop(self) -> None:
        """Cut the connection without a word, so that the broker publishes the will."""
        sock: Any = self._client.socket()
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Say DISCONNECT, so that the will stays unsent, and close the socket."""
        with suppress(OSError, ValueError):
            self._client.disconnect()
            self._turn(0.0)

    def _publish(self, message: Outgoing) -> None:
        info = self._client.publish(message.topic, message.payload, qos=1, retain=message.retain)
        if info.rc in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            self._unanswered_mids.add(info.mid)

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
