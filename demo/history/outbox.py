"""The past on its way to the broker: sent like a cart sends, until the cloud's watermarks cover all of it.

It is the `Outbox` of the agent's own transport, for the messages of all carts at once. Like a cart it
believes no broker: a message counts as written when ingest's watermark says so, and is sent again
when that does not come. Messages that an earlier, interrupted run has written are told by the
retained watermarks and not sent again; if one is, the ledger drops it.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import structlog

from demo.history.messages import PastMessage
from fleet_agent.ports import ConnectionPlan, Outgoing
from fleet_protocol.errors import ProtocolError
from fleet_protocol.messages import decode_ack
from fleet_protocol.topics import PREFIX

log = structlog.get_logger()

ALL_WATERMARKS = f"{PREFIX}/+/+/ack"
# Not a cart's topic: the history writer must not look like a cart that comes and goes.
PRESENCE_TOPIC = "demo/history/state"
# Sent and not yet covered by a watermark. Watermarks come about once a second, so this bounds the
# speed to as many messages a second; higher makes the broker hold more of it in memory.
MAX_IN_FLIGHT = 6_000
# Messages handed over at once: the transport reads acknowledgements in between.
TAKE = 200
# Lower sends again what is only slow on a busy machine.
RESEND_AFTER_S = 25.0


@dataclass(slots=True)
class _Sent:
    message: PastMessage
    sent_s: float


class HistoryOutbox:
    """Sends messages in the order given; all methods but the properties run on the transport's thread."""

    def __init__(self, messages: Iterator[PastMessage]) -> None:
        self._messages = messages
        self._in_flight: dict[tuple[str, str, int], _Sent] = {}
        self._covered: dict[tuple[str, str], int] = {}
        self._exhausted = False
        self._written = 0
        self.finished = threading.Event()

    @property
    def written(self) -> int:
        """How many messages are known to be durable."""
        return self._written

    def plan_connection(self) -> ConnectionPlan:
        """Subscribe to the watermarks of all carts."""
        return ConnectionPlan(_presence(online=False), ALL_WATERMARKS)

    def on_connected(self) -> Outgoing:
        """Send everything again that is not covered: the broker may have lost it."""
        for sent in self._in_flight.values():
            sent.sent_s = float("-inf")
        return _presence(online=True)

    def farewell(self) -> Outgoing:
        """Say that the writer is gone."""
        return _presence(online=False)

    def take(self, now_s: float) -> list[Outgoing]:
        """Return what is late, then what comes next, as far as the bound allows."""
        late = [sent for sent in self._in_flight.values() if now_s - sent.sent_s > RESEND_AFTER_S][:TAKE]
        for sent in late:
            sent.sent_s = now_s
        fresh = self._fresh(now_s, TAKE - len(late))
        self._look_if_finished()
        return [Outgoing(message.topic, message.payload) for message in (*(s.message for s in late), *fresh)]

    def _fresh(self, now_s: float, limit: int) -> list[PastMessage]:
        fresh: list[PastMessage] = []
        while len(fresh) < limit and len(self._in_flight) < MAX_IN_FLIGHT and not self._exhausted:
            message = next(self._messages, None)
            if message is None:
                self._exhausted = True
            elif message.seq <= self._covered.get((message.boot, message.channel), -1):
                self._written += 1
            else:
                fresh.append(message)
                self._in_flight[message.boot, message.channel, message.seq] = _Sent(message, now_s)
        return fresh

    def next_due_s(self, now_s: float) -> float:
        """Return 0 while there is something to send, else when the next message is late."""
        if not self._exhausted and len(self._in_flight) < MAX_IN_FLIGHT:
            return 0.0
        dues = (sent.sent_s + RESEND_AFTER_S - now_s for sent in self._in_flight.values())
        return max(0.0, min(dues, default=1.0))

    def on_received(self, topic: str, payload: bytes) -> None:  # noqa: ARG002  # one topic is subscribed to
        """Forget what a watermark covers."""
        try:
            marks = decode_ack(payload).acks
        except ProtocolError as error:
            log.warning("watermark refused", reason=error.reason)
            return
        for mark in marks:
            for channel in ("tel", "evt"):
                seq = getattr(mark, channel)
                if isinstance(seq, int):
                    self._cover(mark.boot, channel, seq)
        self._look_if_finished()

    def on_refused(self, what: str, why: str) -> None:
        """Say that the broker refuses; without watermarks the writer cannot end."""
        log.warning("refused by the broker", what=what, why=why)

    def _cover(self, boot: str, channel: str, seq: int) -> None:
        before = self._covered.get((boot, channel), -1)
        for n in range(before + 1, seq + 1):
            if self._in_flight.pop((boot, channel, n), None) is not None:
                self._written += 1
        self._covered[boot, channel] = max(before, seq)

    def _look_if_finished(self) -> None:
        if self._exhausted and not self._in_flight:
            self.finished.set()


def _presence(*, online: bool) -> Outgoing:
    return Outgoing(PRESENCE_TOPIC, msgspec.json.encode({"online": online, "sim": True}))
