"""The carts over MQTT, through paho: births and steps in, permits and orders out.

The session begins clean: what matters is retained, and a lost report matters to nobody, because a cart's
telemetry proves what it runs. MQTT 3.1.1 is spoken, which every broker has.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from fleet_control.errors import BrokerUnreachableError
from fleet_control.ingest.addresses import BrokerAddress
from fleet_control.ingest.transport_mqtt import prepare_client
from fleet_control.rollouts import inventory
from fleet_control.rollouts.inventory import Known
from fleet_control.rollouts.ports import CartReport, CartSighting
from fleet_protocol.errors import ProtocolError
from fleet_protocol.messages import Update, decode_message, decode_state
from fleet_protocol.rollouts import (
    PERMIT_FILTER,
    Desired,
    Permit,
    decode_permit,
    encode_order,
    is_permit_topic,
    permit_topic,
)
from fleet_protocol.topics import PREFIX

_log = structlog.get_logger(__name__)

STATES, UPDATES = f"{PREFIX}/+/+/state", f"{PREFIX}/+/+/upd"
KEEPALIVE_S = 15
# Messages sent and not acknowledged. Lower makes a large stage slow; the packet id ends at 65,535.
MAX_IN_FLIGHT = 2_000
# Reports that wait for the engine. When it is away for long the oldest are dropped: telemetry proves anyway.
MAX_REPORTS = 200_000


class MqttFleet:
    """Implements `Fleet`. Connects at `start`, and again whenever the connection breaks.

    Args:
        address: The broker.
        client_id: Names this controller; one process per name.
        now_ms: The time, epoch milliseconds.
        on_problem: Told in a word of what was not understood.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        client_id: str,
        now_ms: Callable[[], int],
        on_problem: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._address = address
        self._now_ms = now_ms
        self._on_problem = on_problem
        self._lock = threading.Condition()
        self._known: dict[str, Known] = {}
        self._sightings: Mapping[str, CartSighting] = {}
        self._stale = False
        self._reports: deque[CartReport] = deque(maxlen=MAX_REPORTS)
        self._permits: dict[str, Permit] = {}
        self._acknowledged: set[int] = set()
        self._awaited = 0
        self._telling = threading.Lock()
        self._ready = threading.Event()
        self._refusal = "it has not answered yet"
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv311, clean_session=True
        )
        prepare_client(self._client, address)
        self._client.max_inflight_messages_set(MAX_IN_FLIGHT)
        self._client.reconnect_delay_set(1, 15)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._client.connect_async(self._address.host, self._address.port, KEEPALIVE_S)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def wait_ready(self, timeout_s: float) -> bool:
        """Return whether it is connected and subscribed, at the latest after the time-out."""
        return self._ready.wait(timeout_s)

    @property
    def is_ready(self) -> bool:
        """Whether it is connected and subscribed."""
        return self._ready.is_set()

    @property
    def why_not_ready(self) -> str:
        """The last reason why the broker could not be used."""
        return self._refusal

    def carts(self) -> Mapping[str, CartSighting]:
        """Return all carts that have ever been born, by id."""
        with self._lock:
            if self._stale:
                self._sightings, self._stale = inventory.sightings(self._known), False
            return self._sightings

    def reports(self) -> tuple[CartReport, ...]:
        """Return what came since the last call."""
        with self._lock:
            came = tuple(self._reports)
            self._reports.clear()
        return came

    def permits(self) -> Mapping[str, Permit]:
        """Return the permits that the broker holds."""
        with self._lock:
            return dict(self._permits)

    def wait(self, timeout_s: float) -> bool:
        """Sleep until there is a report, or the time is over."""
        with self._lock:
            return self._lock.wait_for(lambda: bool(self._reports), timeout_s)

    def tell(self, orders: Sequence[tuple[str, Desired] | Permit], timeout_s: float) -> int:
        """Publish retained messages in order; returns how many from the first are acknowledged.

        Raises:
            BrokerUnreachableError: there is no connection.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._telling:
            if not self._ready.is_set():
                raise BrokerUnreachableError(str(self._address), self._refusal)
            with self._lock:
                self._acknowledged.clear()
                self._awaited = len(orders)
            sent = [self._publish(order) for order in orders]
            with self._lock:
                self._lock.wait_for(
                    lambda: len(self._acknowledged) >= self._awaited or not self._ready.is_set(),
                    max(0.0, deadline_s - time.monotonic()),
                )
                missing = [index for index, mid in enumerate(sent) if mid not in self._acknowledged]
        return missing[0] if missing else len(sent)

    def _publish(self, order: tuple[str, Desired] | Permit) -> int:
        # Without our lock: paho calls back under a lock of its own, which it needs here, too.
        if isinstance(order, Permit):
            topic, payload = permit_topic(order.rollout), encode_order(order)
        else:
            topic, payload = f"{PREFIX}/{order[0]}/desired", encode_order(order[1])
        return self._client.publish(topic, payload, qos=1, retain=True).mid

    # Callbacks of paho; all run on the network thread, and none of them waits.

    def _on_connect(
        self, client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._refusal = f"it refused the connection: {reason}"
            _log.warning("the broker refused the controller", broker=str(self._address), why=str(reason))
            return
        client.subscribe([(STATES, 1), (UPDATES, 1), (PERMIT_FILTER, 1)])

    def _on_connect_fail(self, _client: paho.Client, _data: Any) -> None:
        self._refusal = "nothing answers there"

    def _on_disconnect(
        self, _client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        self._refusal = f"the connection ended: {reason}"
        self._ready.clear()
        with self._lock:
            self._lock.notify_all()

    def _on_subscribe(
        self, client: paho.Client, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            self._refusal = "it refused a subscription: see the access list"
            _log.error("the broker refused a subscription", broker=str(self._address))
            client.disconnect()
            return
        _log.info("controller connected", broker=str(self._address))
        self._ready.set()

    def _on_publish(
        self, _client: paho.Client, _data: Any, mid: int, _reason: ReasonCode, _properties: Any
    ) -> None:
        with self._lock:
            self._acknowledged.add(mid)
            if len(self._acknowledged) >= self._awaited:
                self._lock.notify_all()

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        try:
            self._take(str(message.topic), bytes(message.payload))
        except (ProtocolError, UnicodeDecodeError) as error:
            self._on_problem("message_refused")
            _log.warning("message not understood", why=str(error)[:200])

    def _take(self, topic: str, payload: bytes) -> None:
        if is_permit_topic(topic):
            self._take_permit(topic, payload)
        elif topic.endswith("/state"):
            self._take_state(topic, payload)
        else:
            self._take_step(topic, payload)

    def _take_permit(self, topic: str, payload: bytes) -> None:
        with self._lock:
            if payload:
                permit = decode_permit(topic, payload)
                self._permits[permit.rollout] = permit
            else:
                self._permits.pop(topic.split("/")[3], None)

    def _take_state(self, topic: str, payload: bytes) -> None:
        cart = topic.split("/")[3]
        if not payload:  # its owner cleared it: the cart is no more
            with self._lock:
                self._stale = self._known.pop(cart, None) is not None or self._stale
            return
        state = decode_state(topic, payload)
        with self._lock:
            if (known := inventory.seen(self._known.get(cart), state, self._now_ms())) is not None:
                self._known[cart] = known
                self._stale = True

    def _take_step(self, topic: str, payload: bytes) -> None:
        message = decode_message(topic, payload).message
        if isinstance(message, Update) and (report := inventory.report_of(message, self._now_ms())):
            with self._lock:
                self._reports.append(report)
                self._lock.notify_all()
