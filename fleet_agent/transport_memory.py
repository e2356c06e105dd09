"""A broker and a cloud in memory: the double of the MQTT transport.

It stores what arrives the way the real cloud does (each sequence number once; gaps, and what a birth no
longer holds, cover numbers) and answers with the watermark.
"""

import threading
from dataclasses import dataclass, field

from fleet_agent.ports import Outbox, Outgoing
from fleet_protocol.messages import (
    Ack,
    AnyMessage,
    CartState,
    Gap,
    Watermark,
    decode_message,
    decode_state,
    encode_control,
)
from fleet_protocol.topics import DATA_CHANNELS, parse_topic


@dataclass(slots=True)
class MemoryCloud:
    """What a cloud knows of one cart.

    Attributes:
        stored: Messages by boot, channel and number; each once.
        repeats: How many arrivals were already known.
        states: Retained states in order of arrival.
        orders: Retained orders by topic: what a cart hears when it connects.
    """

    stored: dict[tuple[str, str, int], AnyMessage] = field(default_factory=dict)
    repeats: int = 0
    states: list[CartState] = field(default_factory=list)
    orders: dict[str, bytes] = field(default_factory=dict)
    _covered: dict[tuple[str, str], set[int]] = field(default_factory=dict)

    def receive(self, message: Outgoing) -> None:
        """Store one arrival."""
        topic = parse_topic(message.topic)
        if topic.channel == "state":
            if not message.payload:
                return
            self._receive_state(decode_state(message.topic, message.payload))
            return
        decoded = decode_message(message.topic, message.payload).message
        key = (decoded.boot, topic.channel, decoded.seq)
        self.repeats += key in self.stored
        self.stored.setdefault(key, decoded)
        covered = self._covered.setdefault((decoded.boot, topic.channel), set())
        covered.add(decoded.seq)
        if isinstance(decoded, Gap):
            covered.update(range(decoded.first, decoded.last + 1))

    def _receive_state(self, state: CartState) -> None:
        self.states.append(state)
        for held in state.held:
            for channel in DATA_CHANNELS:
                covered = self._covered.setdefault((held.boot, channel), set())
                covered.update(range(getattr(held, channel) or 0))

    def watermark(self) -> bytes:
        """Return the payload that tells the cart what is stored."""
        marks: dict[str, dict[str, int]] = {}
        for (boot, channel), covered in self._covered.items():
            through = _contiguous(covered)
            if through >= 0:
                marks.setdefault(boot, {})[channel] = through
        acks = [Watermark(boot=boot, **channels) for boot, channels in list(marks.items())[-8:]]
        return encode_control(Ack(acks=acks))

    def of(self, channel: str) -> list[AnyMessage]:
        """Return the messages of a channel in order of number."""
        if channel not in DATA_CHANNELS:
            msg = f"no data travels on {channel!r}"
            raise ValueError(msg)
        return [message for key, message in sorted(self.stored.items()) if key[1] == channel]

    def of_all(self, channel: str) -> list[AnyMessage]:
        """Return the messages of a channel, of all boots in the order in which they came."""
        return [message for key, message in list(self.stored.items()) if key[1] == channel]


def _matches(filter_: str, topic: str) -> bool:
    """Tell whether a topic is one that a filter with `+` asks for."""
    wanted, has = filter_.split("/"), topic.split("/")
    return len(wanted) == len(has) and all(w in ("+", h) for w, h in zip(wanted, has, strict=True))


def _contiguous(covered: set[int]) -> int:
    through = -1
    while through + 1 in covered:
        through += 1
    return through


class MemoryTransport:
    """Hands everything to a `MemoryCloud` in the caller's thread of `wake`.

    Args:
        cloud: Shared with whoever looks at it.
        acknowledge: Whether the cloud answers; False plays one that never confirms.
    """

    def __init__(self, cloud: MemoryCloud, *, acknowledge: bool = True) -> None:
        self._cloud = cloud
        self._acknowledge = acknowledge
        self._outbox: Outbox | None = None
        self._ack_topic = ""
        self._lock = threading.Lock()

    @property
    def connected(self) -> bool:
        """True between start and stop."""
        return self._outbox is not None

    def start(self, outbox: Outbox) -> None:
        """Connect at once."""
        self._connect(outbox)
        self._outbox = outbox
        self.wake()

    def _connect(self, outbox: Outbox) -> None:
        plan = outbox.plan_connection()
        self._ack_topic = plan.subscribe
        for topic, payload in self._cloud.orders.items():
            if any(_matches(order, topic) for order in plan.orders):
                outbox.on_received(topic, payload)
        self._cloud.receive(outbox.on_connected())

    def order(self, topic: str, payload: bytes) -> None:
        """Publish a retained order: heard now, and at each connection that follows."""
        with self._lock:
            self._cloud.orders[topic] = payload
            if self._outbox is not None:
                self._outbox.on_received(topic, payload)

    def wake(self) -> None:
        """Move what is there."""
        with self._lock:
            while self._outbox is not None and (messages := self._outbox.take(0.0)):
                for message in messages:
                    self._cloud.receive(message)
                if not self._acknowledge:
                    return
                self._outbox.on_received(self._ack_topic, self._cloud.watermark())

    def renew(self) -> None:
        """Be born again."""
        with self._lock:
            if self._outbox is not None:
                self._connect(self._outbox)
        self.wake()

    def stop(self, timeout_s: float) -> None:  # noqa: ARG002  # nothing to wait for
        """Say farewell."""
        self.wake()
        with self._lock:
            if self._outbox is not None:
                self._cloud.receive(self._outbox.farewell())
            self._outbox = None
