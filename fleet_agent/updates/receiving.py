"""Receiving from a server that may be hostile: every byte passes here, be it of headers, framing or content.

`http.client` reads answers that only announce another, chunk sizes and trailers by itself, as many as come,
and it gives up only when nothing comes at all. So it reads through a `Reception`, which knows how long it
took, how much of it was content, and whether it is still wanted.
"""

import io
import socket
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPResponse
from math import ceil
from typing import TYPE_CHECKING, Any

from tuf.api.exceptions import DownloadError, SlowRetrievalError
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from fleet_agent.errors import FetchStoppedError
from fleet_agent.ports import Clock

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Between two looks at `stop`. Larger pieces stop later; smaller ones cost a processor more.
MOST_PIECE_BYTES = 65_536
LEAST_PIECE_BYTES = 1_024
# A piece of a limited download takes this long. Longer: bursts, and a slow stop; shorter: more waking.
PIECE_S = 0.25
# Who waits for a server looks this often whether it shall stop. Longer: a slow stop; shorter: more waking.
LOOK_S = 0.25
# A server that sends less than this over so long, while the cart waits for it, is given up: it may keep the
# cart busy on purpose. Higher rates give up on poor radio links; shorter times on one bad minute.
LEAST_BYTES_PER_S = 500.0
SLOW_S = 60.0
# Headers have some kilobytes, and chunks a few bytes around each kilobyte: so much may come that is not
# content, and an eighth of the content more; what was received and not yet read counts too. Less refuses
# servers that send tiny chunks; more lets a hostile one use up a cart's data.
MOST_AROUND_BYTES = 262_144
CONTENT_FOR_ONE_AROUND = 8


class Throttle:
    """Holds a download back to a rate on average.

    Args:
        bytes_per_s: The rate; None: none.
        clock: For waiting.
    """

    def __init__(self, bytes_per_s: float | None, clock: Clock) -> None:
        self._bytes_per_s = bytes_per_s
        self._clock = clock
        self._due_s = clock.monotonic_s()

    @property
    def piece_bytes(self) -> int:
        """How much to read at once."""
        if self._bytes_per_s is None:
            return MOST_PIECE_BYTES
        return max(LEAST_PIECE_BYTES, min(MOST_PIECE_BYTES, int(self._bytes_per_s * PIECE_S)))

    def take(self, count: int) -> None:
        """Wait until bytes that have come were allowed to. A pause is not made up for by a burst."""
        if self._bytes_per_s is None:
            return
        now_s = self._clock.monotonic_s()
        self._due_s = max(self._due_s, now_s) + count / self._bytes_per_s
        self._clock.event().wait(self._due_s - now_s)


class Reception:
    """Receives one answer after the other, for one thread.

    Args:
        clock: For waiting.
        timeout_s: Longest wait for all headers of an answer, and for the next bytes of any.
        bytes_per_s: Most bytes per second, with all that is around the content; None: no limit.
    """

    def __init__(self, clock: Clock, timeout_s: float, bytes_per_s: float | None) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._throttle = Throttle(bytes_per_s, clock)
        self._stop: Callable[[], bool] = lambda: False
        self.begin(self._stop)

    def begin(self, stop: Callable[[], bool]) -> None:
        """Begin with an answer, whose headers come first.

        Args:
            stop: Asked before each wait; True ends it.

        Raises:
            FetchStoppedError: `stop` said so already.
        """
        self._stop = stop
        self._headers_came = False
        self._came_bytes = self._content_bytes = 0
        self._window_bytes, self._window_s = 0, 0.0
        self.look()

    def headers_came(self) -> None:
        """Know that what comes now is the body."""
        self._headers_came = True
        self._window_bytes, self._window_s = 0, 0.0

    def content_came(self, count: int) -> None:
        """Know how much of what came was content."""
        self._content_bytes += count

    def look(self) -> None:
        """Look whether to stop.

        Raises:
            FetchStoppedError: `stop` says so.
        """
        if self._stop():
            raise FetchStoppedError("fetching was stopped")

    def receive(self, sock: socket.socket, buffer: "WriteableBuffer") -> int:
        """Wait for the next bytes, and as long as the rate demands.

        Returns:
            How many came; 0: the server has ended.

        Raises:
            SlowRetrievalError: nothing comes, or too little.
            DownloadError: much comes that is no content.
            FetchStoppedError: `stop` said so.
            OSError: the connection broke.
        """
        asked_s = self._clock.monotonic_s()
        count = self._wait(sock, memoryview(buffer)[: self._throttle.piece_bytes])
        self._judge(count, self._clock.monotonic_s() - asked_s)
        self._throttle.take(count)
        return count

    def _wait(self, sock: socket.socket, buffer: memoryview) -> int:
        # urllib3 sets its own limit again before each request.
        sock.settimeout(min(LOOK_S, self._timeout_s))
        for _ in range(ceil(self._timeout_s / LOOK_S)):
            self.look()
            with suppress(TimeoutError):
                return sock.recv_into(buffer)
        raise SlowRetrievalError(f"nothing came in {self._timeout_s:.0f} s")

    def _judge(self, count: int, waited_s: float) -> None:
        self._came_bytes += count
        around_bytes = self._came_bytes - self._content_bytes
        if around_bytes > MOST_AROUND_BYTES + self._content_bytes // CONTENT_FOR_ONE_AROUND:
            raise DownloadError(f"{around_bytes} bytes around {self._content_bytes} bytes of content")
        self._window_bytes += count
        self._window_s += waited_s
        if not self._headers_came and self._window_s >= self._timeout_s:
            raise SlowRetrievalError(f"no end of the headers in {self._window_s:.0f} s")
        if self._window_s >= SLOW_S:
            if self._window_bytes < LEAST_BYTES_PER_S * self._window_s:
                raise SlowRetrievalError(f"{self._window_bytes} bytes in {self._window_s:.0f} s")
            self._window_bytes, self._window_s = 0, 0.0


def received_pools(reception: Reception) -> dict[str, type[HTTPConnectionPool]]:
    """Return urllib3's pools by scheme, for connections that read through a reception."""

    class Answer(HTTPResponse):
        def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
            super().__init__(sock, *args, **options)
            # Nothing was read yet. The library knows no other way to what its answers read from.
            self.fp = io.BufferedReader(_Received(sock, self.fp.detach(), reception))

    class Http(HTTPConnection):
        response_class = Answer

    class Https(HTTPSConnection):
        response_class = Answer

    class HttpPool(HTTPConnectionPool):
        ConnectionCls = Http

    class HttpsPool(HTTPSConnectionPool):
        ConnectionCls = Https

    return {"http": HttpPool, "https": HttpsPool}


class _Received(io.RawIOBase):
    """What a socket receives, through a reception.

    Args:
        sock: Read from.
        held: The socket as a file: it stays open until that is closed.
        reception: Way.
    """

    def __init__(self, sock: socket.socket, held: io.RawIOBase, reception: Reception) -> None:
        self._sock = sock
        self._held = held
        self._reception = reception

    def readable(self) -> bool:
        """Return True: it is."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Receive; see `Reception.receive` for what it raises."""
        return self._reception.receive(self._sock, buffer)

    def close(self) -> None:
        """Let go of the socket; calling twice is harmless."""
        self._held.close()
        super().close()
