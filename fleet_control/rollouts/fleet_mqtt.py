"""The carts over MQTT: births and steps in, permits and orders out.

The session begins clean: what matters is retained, and a lost report matters to nobody, because a cart's
telemetry proves what it runs. What could not be told is told again by whoever asked for it, and never by a
later connection on its own: by then another controller may have said something newer.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from fleet_control.errors import BrokerRefusedError, BrokerUnreachableError
from fleet_control.ingest.addresses import BrokerAddress
from fleet_control.mqtt_link import Incoming, MqttLink, Terms
from fleet_control.rollouts import inventory
from fleet_control.rollouts.inventory import Known
from fleet_control.rollouts.ports import CartReport, CartSighting
from fleet_control.rollouts.retained import NOTHING, RetainedOrders
from fleet_control.rollouts.telling import Telling, Tellings
from fleet_protocol.errors import ProtocolError
from fleet_protocol.messages import Update, decode_message, decode_state
from fleet_protocol.rollouts import (
    PERMIT_FILTER,
    Desired,
    Permit,
    decode_desired,
    decode_permit,
    encode_order,
    is_permit_topic,
    permit_topic,
)
from fleet_protocol.topics import PREFIX, parse_topic

_log = structlog.get_logger(__name__)

FILTERS = (f"{PREFIX}/+/+/state", f"{PREFIX}/+/+/upd", f"{PREFIX}/+/+/desired", PERMIT_FILTER)
# Messages sent and not acknowledged. Lower makes a large stage slow; higher only holds memory.
MAX_IN_FLIGHT = 2_000
# Reports that wait for the engine. When it is away for long the oldest are dropped: telemetry proves anyway.
MAX_REPORTS = 200_000
# The broker replays the states of all carts after the subscription, and does not say when it is through.
# Lower, and a stage may be drawn from a part of the fleet; higher, and a controller starts later.
QUIET_S = 1.0


class MqttFleet(MqttLink):
    """Implements `Fleet`. Connects at `start`, and again whenever the connection breaks.

    Args:
        address: The broker.
        client_id: Names this controller; one process per name.
        now_ms: The time, epoch milliseconds.
        on_problem: Told in a word of what went wrong: `message_refused` (not understood), `report_dropped`,
            `order_refused` (by the broker).
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        client_id: str,
        now_ms: Callable[[], int],
        on_problem: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(address, Terms(client_id, FILTERS, persistent=False, paho_window=0))
        self._now_ms = now_ms
        self._on_problem = on_problem
        self._lock = threading.Condition()
        self._known: dict[str, Known] = {}
        self._sightings: Mapping[str, CartSighting] = {}
        self._stale = False
        self._reports: deque[CartReport] = deque(maxlen=MAX_REPORTS)
        self._permits: dict[str, Permit] = {}
        self._orders = RetainedOrders()
        self._tellings = Tellings()
        self._complete = threading.Event()
        self._replayed_s = 0.0

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._begin()

    def is_ready(self) -> bool:
        """Tell whether it is connected and all carts are known."""
        return self._complete.is_set() and super().is_ready()

    def wait_ready(self, timeout_s: float) -> bool:
        """Return whether it is connected and all carts are known, at the latest after the time-out."""
        return self._complete.wait(timeout_s) and super().is_ready()

    def carts(self) -> Mapping[str, CartSighting]:
        """Return all carts that have ever been born, by id; none before it was ready for the first time.

        A part of them would do harm: a cart that has moved would show in the store that it left.
        """
        with self._lock:
            if self._stale and self._complete.is_set():
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

    def expect(self, orders: Iterable[tuple[str, Desired]]) -> None:
        """Note what carts were told before, so that it can be missed; carts that nobody knows are left out.

        Whose owner has cleared their state and their orders shall not get those back.
        """
        with self._lock:
            for cart, order in orders:
                known = self._known.get(cart.rpartition("/")[2])
                if known is not None and known.sighting.store == cart.partition("/")[0]:
                    self._orders.expect(cart, order)

    def missing(self, limit: int) -> Sequence[tuple[str, Desired]]:
        """Return at most so many orders that the broker lost, or holds in an older version.

        None while it tells what it holds: nobody knows yet what it lost.
        """
        if not self.is_ready() or time.monotonic() - self._replayed_s <= QUIET_S:
            return ()
        with self._lock:
            return self._orders.missing(limit)

    def wait(self, timeout_s: float) -> bool:
        """Sleep until there is a report, or the time is over."""
        with self._lock:
            return self._lock.wait_for(lambda: bool(self._reports), timeout_s)

    def tell(self, orders: Sequence[tuple[str, Desired] | Permit], timeout_s: float) -> int:
        """Publish retained messages in order; returns how many from the first are acknowledged.

        Raises:
            BrokerUnreachableError: there is no connection.
            BrokerRefusedError: the broker does not take the first of them from this account (MQTT 5; an older
                one says nothing).
        """
        if not super().is_ready():
            raise BrokerUnreachableError(str(self._address), self.why_not_ready())
        with self._lock:
            for order in orders:
                if not isinstance(order, Permit):
                    self._orders.issue(*order)
        telling = Telling([_message(order) for order in orders])
        self._tellings.put(telling)
        self._wake()
        telling.over.wait(timeout_s)
        telling.over.set()
        if telling.refusal:
            self._on_problem("order_refused")
            _log.error("the broker refused an order", broker=str(self._address), why=telling.refusal)
            if not telling.acknowledged:
                raise BrokerRefusedError(str(self._address), telling.refusal)
        return telling.acknowledged

    # On the network thread.

    def _connecting(self) -> None:
        with self._lock:
            # What the broker holds it tells again; what it lost must not be believed to be there.
            self._permits.clear()
            self._orders.begin()

    def _changed(self, *, ready: bool) -> None:
        self._replayed_s = time.monotonic()
        if not ready:
            self._tellings.lost()

    def _send(self) -> None:
        if not self._complete.is_set() and time.monotonic() - self._replayed_s > QUIET_S:
            self._complete.set()
        window = min(MAX_IN_FLIGHT, self._window)
        while message := self._tellings.take(window):
            telling, index, topic, payload = message
            self._tellings.sent(self._publish(topic, payload), telling, index)

    def _answered(self, packet_id: int, refusal: str) -> None:
        topic = self._tellings.answered(packet_id, refusal)
        if topic.endswith("/desired") and not refusal:
            cart = topic.removeprefix(f"{PREFIX}/").removesuffix("/desired")
            with self._lock:
                self._orders.acknowledged(cart)

    def _is_idle(self) -> bool:
        return self._tellings.is_idle()

    def _take(self, message: Incoming) -> None:
        try:
            if is_permit_topic(message.topic):
                self._take_permit(message)
            elif message.topic.endswith("/state"):
                self._take_state(message)
            elif message.topic.endswith("/desired"):
                self._take_order(message)
            else:
                self._take_step(message)
        except ProtocolError as error:
            self._on_problem("message_refused")
            _log.warning("message not understood", topic=message.topic[:200], why=str(error)[:200])

    def _take_permit(self, message: Incoming) -> None:
        permit = decode_permit(message.topic, message.payload) if message.payload else None
        with self._lock:
            if permit is not None:
                self._permits[permit.rollout] = permit
            else:
                self._permits.pop(message.topic.split("/")[3], None)

    def _take_order(self, message: Incoming) -> None:
        if message.replayed:
            self._replayed_s = time.monotonic()
        topic = parse_topic(message.topic)
        cart = f"{topic.store}/{topic.cart}"
        with self._lock:
            if not message.payload:
                self._orders.forget(cart)
                return
            # Until it is known to be an order: a cart could not read it either.
            self._orders.hear(cart, NOTHING)
        order = decode_desired(message.payload)
        with self._lock:
            self._orders.hear(cart, order.generation)

    def _take_state(self, message: Incoming) -> None:
        if message.replayed:
            self._replayed_s = time.monotonic()
        if not message.payload:
            # A cart tries its account, or its owner clears its state: our next start tells them apart.
            return
        state = decode_state(message.topic, message.payload)
        with self._lock:
            before = self._known.get(state.cart)
            known = inventory.seen(before, state, self._now_ms(), replayed=message.replayed)
            if known is not None:
                self._known[state.cart] = known
                self._stale = True

    def _take_step(self, message: Incoming) -> None:
        update = decode_message(message.topic, message.payload).message
        if isinstance(update, Update) and (report := inventory.report_of(update, self._now_ms())):
            with self._lock:
                if len(self._reports) == MAX_REPORTS:
                    self._on_problem("report_dropped")
                self._reports.append(report)
                self._lock.notify_all()


def _message(order: tuple[str, Desired] | Permit) -> tuple[str, bytes]:
    if isinstance(order, Permit):
        return permit_topic(order.rollout), encode_order(order)
    return f"{PREFIX}/{order[0]}/desired", encode_order(order[1])
