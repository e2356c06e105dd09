"""Which of the messages that were told together the broker has: bookkeeping, no network."""

import threading
from collections import deque
from collections.abc import Sequence


class Telling:
    """The messages of one call, sent in order.

    Args:
        messages: (topic, payload).

    Attributes:
        acknowledged: How many of them, from the first, the broker has.
        refusal: Why the broker refused one; empty if it did not.
        over: Nothing more happens to it: all were acknowledged, one was refused, the connection broke, or
            nobody waits any more.
    """

    def __init__(self, messages: Sequence[tuple[str, bytes]]) -> None:
        self._messages = messages
        self._sent = 0
        self._early: set[int] = set()
        self.acknowledged = 0
        self.refusal = ""
        self.over = threading.Event()
        if not messages:
            self.over.set()

    def take(self) -> tuple[int, str, bytes] | None:
        """Return the next message with its index; None: there is nothing more to send."""
        if self.over.is_set() or self._sent == len(self._messages):
            return None
        index, self._sent = self._sent, self._sent + 1
        return (index, *self._messages[index])

    def topic(self, index: int) -> str:
        """Return where a message goes."""
        return self._messages[index][0]

    def answered(self, index: int, refusal: str) -> None:
        """Note that the broker has a message, or why it refuses it."""
        if refusal:
            self.refusal = self.refusal or f"{self._messages[index][0]}: {refusal}"
            self.over.set()
            return
        self._early.add(index)
        while self.acknowledged in self._early:
            self._early.remove(self.acknowledged)
            self.acknowledged += 1
        if self.acknowledged == len(self._messages):
            self.over.set()


class Tellings:
    """Calls in the order in which they came, and what is on its way. `put` may be called from any thread."""

    def __init__(self) -> None:
        self._waiting: deque[Telling] = deque()
        self._in_flight: dict[int, tuple[Telling, int]] = {}

    def put(self, telling: Telling) -> None:
        """Append a call."""
        self._waiting.append(telling)

    def take(self, window: int) -> tuple[Telling, int, str, bytes] | None:
        """Return the next message with its call and index; None: nothing waits, or the window is full."""
        while self._waiting and len(self._in_flight) < window:
            if message := self._waiting[0].take():
                return (self._waiting[0], *message)
            self._waiting.popleft()
        return None

    def sent(self, packet_id: int, telling: Telling, index: int) -> None:
        """Note that a message is on its way."""
        self._in_flight[packet_id] = (telling, index)

    def answered(self, packet_id: int, refusal: str) -> str:
        """Note that the broker has a message, or why it refuses it; returns its topic, empty if not known."""
        found = self._in_flight.pop(packet_id, None)
        if found is None:
            return ""
        telling, index = found
        telling.answered(index, refusal)
        return telling.topic(index)

    def lost(self) -> None:
        """The connection is gone: nothing of what waits is sent by the next one; its callers try again."""
        for telling in (*self._waiting, *(telling for telling, _ in self._in_flight.values())):
            telling.over.set()
        self._waiting.clear()
        self._in_flight.clear()

    def is_idle(self) -> bool:
        """Whether nothing waits and everything was answered."""
        return not (self._waiting or self._in_flight)
