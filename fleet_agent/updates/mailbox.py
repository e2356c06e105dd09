"""What an updater has to deal with, from whichever thread, in the order in which it came."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

from fleet_agent.ports import Clock
from fleet_protocol.errors import ProtocolError
from fleet_protocol.rollouts import (
    PERMIT_FILTER,
    Desired,
    Permit,
    decode_desired,
    decode_permit,
    is_permit_topic,
)
from fleet_protocol.topics import Topic

log = structlog.get_logger()

T = TypeVar("T")
# Orders beyond this are not taken: the reader's disk has refused for hours, and they wait at the broker and
# come again. Lower, and a storm of rollouts is not heard; higher only costs memory.
MOST_NEWS = 1_000


class Mailbox(Generic[T]):
    """News for one thread. Any thread may post.

    Args:
        clock: Its waits.
    """

    def __init__(self, clock: Clock) -> None:
        self._condition: threading.Condition = clock.condition()
        self._news: deque[T | Desired | Permit] = deque()
        self._poked = False

    def post(self, news: T | Desired | Permit) -> None:
        """Add something, and wake the reader."""
        with self._condition:
            if isinstance(news, (Desired, Permit)) and len(self._news) >= MOST_NEWS:
                return
            self._news.append(news)
            self._condition.notify()

    def poke(self) -> None:
        """Wake the reader without news."""
        with self._condition:
            self._poked = True
            self._condition.notify()

    def first(self) -> "T | Desired | Permit | None":
        """Return the oldest news, which stays; None: there is none."""
        with self._condition:
            return self._news[0] if self._news else None

    def done(self) -> None:
        """Forget the oldest news: it was dealt with."""
        with self._condition:
            self._news.popleft()

    def has_orders(self) -> bool:
        """Whether the cloud said something that was not dealt with yet."""
        with self._condition:
            return any(isinstance(news, (Desired, Permit)) for news in self._news)

    def wait(self, timeout_s: float | None) -> None:
        """Sleep until there is news, or so long."""
        with self._condition:
            self._condition.wait_for(lambda: self._poked or bool(self._news), timeout_s)
            self._poked = False


class Orders(Generic[T]):
    """The cart's ear for what the cloud asks of it.

    Args:
        store: Of the cart.
        cart: Its name.
        mailbox: Where sound orders go.
        on_count: Called with a counter's name for an order that is none.
    """

    def __init__(self, store: str, cart: str, mailbox: Mailbox[T], on_count: Callable[[str], None]) -> None:
        self._mailbox = mailbox
        self._count = on_count
        self.topics = (str(Topic(store, cart, "desired")), PERMIT_FILTER)

    def hear(self, topic: str, payload: bytes) -> None:
        """Take a payload; an empty one is a topic that was cleared, and says nothing."""
        if not payload:
            return
        try:
            order = decode_permit(topic, payload) if is_permit_topic(topic) else decode_desired(payload)
        except ProtocolError as error:
            log.warning("order refused", topic=topic, reason=error.reason)
            self._count("orders_damaged")
            return
        self._mailbox.post(order)
