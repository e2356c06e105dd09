"""The way to the broker over MQTT: keeps one connection and makes the next when it breaks.

One thread does everything. MQTT 5 is tried first where the setting is `auto`; a broker that refuses the
version, is silent, or drops the connection is spoken to in 3.1.1. What paho knows is in `mqtt_connection`.
"""

import os
import random
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from fleet_agent.config import MqttConfig
from fleet_agent.errors import AccessRefusedError, AgentError, TransportError
from fleet_agent.mqtt_connection import Connection, Dial, Trial, Tried, UnansweredError
from fleet_agent.ports import Clock, ConnectionPlan, Outbox

log = structlog.get_logger()

# In `auto`, a broker has this long to answer MQTT 5 before 3.1.1 is tried: some brokers that do not
# know it stay silent. Too short only means that a slow broker is spoken to in 3.1.1.
FIVE_ANSWER_S = 2.0
# A connection that lasted this long was a good one: the next wait is short again. Lower, and a broker
# that takes connections only to cut them is stormed; higher, and a cart waits long for no reason.
STEADY_S = 10.0
# Some brokers cut the connection of whom they refuse a subscription. After so many cuts in a row the orders
# are not asked for again. Lower, and a link that breaks at the wrong moment makes a cart deaf until its next
# start; higher, and a cart at such a broker delivers later.
MOST_CUTS = 3


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
        self._renewing = threading.Event()
        self._stop_deadline_s = float("inf")
        self._connected = False
        self._cuts = 0
        self._told_deaf = False
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

    def renew(self) -> None:
        """Connect again, so that a new birth tells who the cart is by now. Any thread; never blocks."""
        self._renewing.set()
        self.wake()

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
        """Connect once and leave; returns the MQTT version spoken.

        Raises:
            TransportError: the broker cannot be reached or refuses.
        """
        for _ in range(2):
            connection = self._connection(None)
            try:
                connection.open()
            except UnansweredError:
                self._fall_back()
                continue
            finally:
                connection.close()
            return self.protocol
        raise TransportError("the broker answers neither in MQTT 5 nor in 3.1.1")

    def try_out(self, trial: Trial) -> Tried:
        """Connect once, hear and say what a cart must, and leave: for `check`.

        Raises:
            AccessRefusedError: the broker does not let this account do it.
            TransportError: the broker cannot be reached or refuses.
        """
        self.probe()
        connection = self._connection(None)
        try:
            connection.open()
            return connection.try_out(trial)
        finally:
            connection.close()

    def _connection(self, plan: ConnectionPlan | None) -> Connection:
        answer_s = self._config.connect_timeout_s
        if self._config.protocol == "auto" and self._protocol == "5":
            answer_s = min(answer_s, FIVE_ANSWER_S)
        dial = Dial(self._config, self._client_id, self._password, self._protocol, answer_s, self._clock)
        return Connection(dial, plan, self._wake_read)

    def _run(self, outbox: Outbox) -> None:
        failures = 0
        while not self._stopping.is_set():
            failures += 1
            began_s = self._clock.monotonic_s()
            try:
                self._connect_and_serve(outbox)
            except TransportError as error:
                log.warning("broker not reached", client=self._client_id, why=str(error))
            except AgentError as error:
                log.warning("spool failed", client=self._client_id, why=str(error))
            except Exception:  # a fault of ours must not leave the cart silent and seemingly online
                log.exception("transport failed", client=self._client_id)
            if self._clock.monotonic_s() - began_s >= STEADY_S:
                failures = 0
            if self._renewing.is_set():  # we left, the broker did nothing wrong
                continue
            self._stopping.wait(self._backoff_s(failures))

    def _connect_and_serve(self, outbox: Outbox) -> None:
        self._renewing.clear()
        plan = outbox.plan_connection()
        connection = self._connection(plan)
        try:
            connection.open()
            self._subscribe(connection, plan.subscribe, outbox)
            self._subscribe_to_orders(connection, plan.orders, outbox)
            self._connected = True
            log.info("connected", client=self._client_id, mqtt=self.protocol)
            connection.serve(outbox, lambda: self._stopping.is_set() or self._renewing.is_set())
            if self._stopping.is_set():
                connection.leave(outbox, self._stop_deadline_s)
        except UnansweredError as error:
            self._fall_back()
            log.info("trying the other MQTT version", client=self._client_id, why=str(error))
        except BaseException:
            connection.drop()
            raise
        finally:
            self._connected = False
            connection.close()

    def _subscribe(self, connection: Connection, topic: str, outbox: Outbox) -> None:
        """Ask for the watermarks before anything is sent: without them nothing would ever be confirmed."""
        try:
            connection.subscribe(topic)
        except AccessRefusedError as error:
            outbox.on_refused("ack_refused", str(error))
            raise

    def _subscribe_to_orders(self, connection: Connection, topics: tuple[str, ...], outbox: Outbox) -> None:
        """Ask for what a cart can do without; a refusal is told once, and asked about at each connection."""
        if self._cuts >= MOST_CUTS:
            self._tell_deaf(outbox, "the broker cuts the connection of a cart that asks for orders")
            return
        self._cuts += 1
        for topic in topics:
            try:
                connection.subscribe(topic)
            except AccessRefusedError as error:
                self._tell_deaf(outbox, str(error))
        self._cuts = 0

    def _tell_deaf(self, outbox: Outbox, why: str) -> None:
        if not self._told_deaf:
            self._told_deaf = True
            outbox.on_refused("orders_refused", why)

    def _fall_back(self) -> None:
        if self._config.protocol != "auto":
            raise TransportError(f"the broker does not answer in MQTT {self._protocol}")
        self._protocol = "3.1.1" if self._protocol == "5" else "5"

    def _backoff_s(self, failures: int) -> float:
        """Double with each failure, with full jitter: a broker that restarts is not stormed."""
        low, high = self._config.reconnect_min_s, self._config.reconnect_max_s
        ceiling: float = min(high, low * 2.0 ** min(failures, 20))
        return self._rng.uniform(low / 2, ceiling)
