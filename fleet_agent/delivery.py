"""What goes to the broker and when: between the spool and any transport.

Declarations of loss go first (the cloud's watermark waits for them), then events, updates,
telemetry. A message is in flight from the moment it is handed to a transport until the cloud's
watermark covers it; PUBACK alone deletes nothing, because brokers lose what they acknowledged.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog
from msgspec.structs import replace

from fleet_agent.ports import ConnectionPlan, Outgoing
from fleet_agent.spool import Spool, Stored
from fleet_protocol.errors import ProtocolError
from fleet_protocol.messages import CartState, decode_ack, encode_control
from fleet_protocol.topics import Topic

log = structlog.get_logger()

# Order of the classes: (channel, gaps). All gaps first, whatever their channel.
CLASSES = (
    ("evt", True),
    ("upd", True),
    ("tel", True),
    ("evt", False),
    ("upd", False),
    ("tel", False),
)
# Each time a message is due again it waits twice as long, up to 2^4 time-outs: a cloud that is down
# for a night is not sent the same messages a thousand times.
MAX_RESEND_DOUBLINGS = 4
# Gaps of one channel handed over at once; the rest follow at the next take.
MAX_GAPS = 100


class BirthCertificate(Protocol):
    """Who the cart is, as its retained state says."""

    def __call__(self, *, online: bool, session: int) -> CartState:
        """Return the state for one session."""


@dataclass(slots=True)
class _InFlight:
    gap: bool
    sent_s: float
    attempts: int = 0


class Delivery:
    """The `Outbox` over a spool. Its transport's thread is the only one to call it.

    Args:
        spool: Where messages are.
        state: Makes the retained state.
        store: Store of the cart.
        cart: Its name.
        max_in_flight: Messages sent and not covered, at most; gaps are not counted.
        resend_after_s: When a message that is not covered is sent again.
        on_problem: Told in a word about a payload that was refused.
        orders: Topics that are subscribed to besides the watermarks.
        on_order: Told topic and payload of what comes on them; must not block.
    """

    def __init__(
        self,
        spool: Spool,
        state: BirthCertificate,
        *,
        store: str,
        cart: str,
        max_in_flight: int,
        resend_after_s: float,
        on_problem: Callable[[str], None] = lambda _: None,
        orders: tuple[str, ...] = (),
        on_order: Callable[[str, bytes], None] = lambda _topic, _payload: None,
    ) -> None:
        self._spool = spool
        self._state = state
        self._store = store
        self._cart = cart
        self._max_in_flight = max_in_flight
        self._resend_after_s = resend_after_s
        self._on_problem = on_problem
        self._orders = orders
        self._on_order = on_order
        self._in_flight: dict[int, _InFlight] = {}
        self._cursors = dict.fromkeys(CLASSES, 0)
        self._epoch = spool.epoch
        self._session = 0
        self._birth_told_s = -float("inf")

    def plan_connection(self) -> ConnectionPlan:
        """Count one more session and return its will."""
        self._session = self._spool.next_session()
        will = self._retained(self._state(online=False, session=self._session))
        return ConnectionPlan(will, self._topic("ack"), self._orders)

    def on_connected(self) -> Outgoing:
        """Forget what was in flight, and return the birth message."""
        self._in_flight.clear()
        self._cursors = dict.fromkeys(CLASSES, 0)
        self._birth_told_s = -float("inf")
        return self._birth()

    def farewell(self) -> Outgoing:
        """Return the message of a clean stop."""
        return self._retained(replace(self._state(online=False, session=self._session), reason="stopped"))

    def take(self, now_s: float) -> list[Outgoing]:
        """Return what is to be sent now, the most important first; a birth goes before messages."""
        self._forget_vanished()
        births = self._birth_again(now_s)
        due = self._due(now_s)
        fresh = self._fresh(now_s)
        if fresh:
            self._spool.mark_sent([stored.row_id for stored in fresh])
        for stored in (*due, *fresh):
            flight = self._in_flight[stored.row_id]
            flight.sent_s = now_s
            flight.attempts += 1
        return births + [Outgoing(self._topic(s.channel), s.payload) for s in (*due, *fresh)]

    def next_due_s(self, now_s: float) -> float:
        """Return how long nothing in flight is due again; infinite when nothing is in flight."""
        dues = [self._due_s(flight) for flight in self._in_flight.values()]
        return max(0.0, min(dues) - now_s) if dues else float("inf")

    def on_received(self, topic: str, payload: bytes) -> None:
        """Delete what a watermark covers, or hand on an order; a payload that is neither is counted."""
        if topic != self._topic("ack"):
            self._on_order(topic, payload)
            return
        try:
            ack = decode_ack(payload)
        except ProtocolError as error:
            log.warning("watermark refused", cart=self._cart, reason=error.reason)
            self._on_problem("ack_refused")
            return
        if self._spool.acknowledge(ack):
            self._keep_held()

    def on_refused(self, what: str, why: str) -> None:
        """Count what the broker does not let this cart do; the messages stay in the spool."""
        log.warning("refused by the broker", cart=self._cart, what=what, why=why)
        self._on_problem(what)

    def _birth_again(self, now_s: float) -> list[Outgoing]:
        """Say again what is held, once a round, when sending again and again has not helped.

        A cloud that has forgotten this boot, or a new one, waits for numbers that were confirmed long ago.
        """
        longest_s = self._wait_s(MAX_RESEND_DOUBLINGS)
        exhausted = any(
            flight.attempts >= MAX_RESEND_DOUBLINGS and self._due_s(flight) <= now_s
            for flight in self._in_flight.values()
        )
        if not exhausted or now_s - self._birth_told_s < longest_s:
            return []
        self._birth_told_s = now_s
        log.warning("nothing is confirmed: telling the birth again", cart=self._cart)
        self._on_problem("births_repeated")
        return [self._birth()]

    def _wait_s(self, doublings: int) -> float:
        return self._resend_after_s * float(2**doublings)

    def _due_s(self, flight: _InFlight) -> float:
        return flight.sent_s + self._wait_s(min(flight.attempts - 1, MAX_RESEND_DOUBLINGS))

    def _due(self, now_s: float) -> list[Stored]:
        late = [row_id for row_id, flight in self._in_flight.items() if self._due_s(flight) <= now_s]
        return self._spool.reread(late)

    def _fresh(self, now_s: float) -> list[Stored]:
        fresh: list[Stored] = []
        for channel, gaps in CLASSES:
            # Gaps do not count: the cloud cannot cover them before the messages that they would block.
            room = MAX_GAPS if gaps else self._max_in_flight - self._counted()
            if room <= 0:
                continue
            found = self._spool.pending(
                channel, gaps=gaps, after_row=self._cursors[channel, gaps], limit=room
            )
            if found:
                self._cursors[channel, gaps] = found[-1].row_id
            self._in_flight.update({stored.row_id: _InFlight(gaps, now_s) for stored in found})
            fresh += found
        return fresh

    def _counted(self) -> int:
        return sum(not flight.gap for flight in self._in_flight.values())

    def _forget_vanished(self) -> None:
        if self._epoch != self._spool.epoch:
            self._epoch = self._spool.epoch
            self._keep_held()

    def _keep_held(self) -> None:
        held = self._spool.held_among(list(self._in_flight))
        self._in_flight = {row_id: flight for row_id, flight in self._in_flight.items() if row_id in held}

    def _topic(self, channel: str) -> str:
        return str(Topic(self._store, self._cart, channel))

    def _birth(self) -> Outgoing:
        return self._retained(self._state(online=True, session=self._session))

    def _retained(self, state: CartState) -> Outgoing:
        return Outgoing(self._topic("state"), encode_control(state), retain=True)
