"""What the network thread has to send, and how it is woken."""

import contextlib
import socket
import threading
from collections import OrderedDict


class Outbox:
    """Retained messages by topic: the newest payload of a topic replaces one that still waits.

    What was sent and not acknowledged goes back when the connection breaks, unless a newer one waits.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, bytes] = OrderedDict()
        self._sent: dict[int, tuple[str, bytes]] = {}
        self._lock = threading.Lock()

    def put(self, topic: str, payload: bytes) -> None:
        """Queue a payload."""
        with self._lock:
            self._waiting[topic] = payload

    def take(self, most_unanswered: int) -> tuple[str, bytes] | None:
        """Return the next (topic, payload); None when there is none or too many are unanswered."""
        with self._lock:
            if not self._waiting or len(self._sent) >= most_unanswered:
                return None
            return self._waiting.popitem(last=False)

    def sent(self, packet_id: int, topic: str, payload: bytes) -> None:
        """Note that a payload is on its way."""
        self._sent[packet_id] = (topic, payload)

    def answered(self, packet_id: int) -> None:
        """Note that the broker has it."""
        self._sent.pop(packet_id, None)

    def take_back(self) -> None:
        """The connection is gone: queue again what was not answered."""
        with self._lock:
            for topic, payload in self._sent.values():
                self._waiting.setdefault(topic, payload)
        self._sent.clear()

    def is_empty(self) -> bool:
        """Tell whether nothing waits and everything was answered."""
        return not (self._waiting or self._sent)


class WakePipe:
    """Wakes a thread that waits in `select`."""

    def __init__(self) -> None:
        self.readable, self._write_end = socket.socketpair()
        for end in (self.readable, self._write_end):
            end.settimeout(0)

    def wake(self) -> None:
        """Make `readable` readable; from any thread."""
        # Full means that the sleeper has plenty of reasons to wake up already.
        with contextlib.suppress(BlockingIOError, OSError):
            self._write_end.send(b"x")

    def drain(self) -> None:
        """Forget past wake-ups."""
        with contextlib.suppress(BlockingIOError):
            while self.readable.recv(4096):
                pass

    def close(self) -> None:
        """Give the sockets back."""
        self.readable.close()
        self._write_end.close()
