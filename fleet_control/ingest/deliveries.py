"""What the transport hands over, and the bounded inbox between the network and the pipeline."""

import threading
from collections import deque
from typing import NamedTuple

from msgspec import Struct

# Messages that may wait undecoded. Lower starves batches; higher only holds memory, and the broker
# is the better place to wait.
INBOX_MESSAGES = 20_000
# Bytes that may wait: bounds memory when messages are large.
INBOX_BYTES = 64 * 1024 * 1024


class AckToken(NamedTuple):
    """What the transport needs to acknowledge a delivery.

    Attributes:
        epoch: Which connection it came on: packet ids are reused after a reconnect.
        packet_id: Of the PUBLISH; 0 for QoS 0, which needs no acknowledgement.
    """

    epoch: int
    packet_id: int


class Delivery(Struct, frozen=True):
    """One PUBLISH as received."""

    topic: str
    payload: bytes
    received_ms: int
    token: AckToken
    redelivered: bool = False
    retained: bool = False


class Inbox:
    """A queue that the network thread never waits on.

    `put` always succeeds; the transport asks `has_room` before it reads more from its socket, so
    the queue overshoots by no more than what was read already.
    """

    def __init__(self, max_messages: int = INBOX_MESSAGES, max_bytes: int = INBOX_BYTES) -> None:
        self._items: deque[Delivery] = deque()
        self._bytes = 0
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._filled = threading.Condition()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def waiting_bytes(self) -> int:
        """Payload bytes that wait."""
        return self._bytes

    def has_room(self) -> bool:
        """Tell whether the transport should read on."""
        return len(self._items) < self._max_messages and self._bytes < self._max_bytes

    def put(self, delivery: Delivery) -> None:
        """Append a delivery; never blocks for room."""
        with self._filled:
            was_empty = not self._items
            self._items.append(delivery)
            self._bytes += len(delivery.payload)
            if was_empty:
                self._filled.notify()

    def take(self, limit: int, timeout_s: float) -> list[Delivery]:
        """Return up to limit deliveries in order; empty when none came in time."""
        with self._filled:
            if not self._items:
                self._filled.wait(timeout_s)
            taken = [self._items.popleft() for _ in range(min(limit, len(self._items)))]
            self._bytes -= sum(len(d.payload) for d in taken)
            return taken
