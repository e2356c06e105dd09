"""Downloading over HTTP as a cart must: in pieces, not too fast, never for ever, and on from where it was.

What comes is believed by nobody here; `repository` checks it.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import urllib3
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    SlowRetrievalError,
)
from tuf.ngclient import FetcherInterface

from fleet_agent.errors import FetchStoppedError
from fleet_agent.ports import Clock

# Between two looks at `stop`. Larger pieces stop later; smaller ones cost a processor more.
MOST_PIECE_BYTES = 65_536
LEAST_PIECE_BYTES = 1_024
# A piece of a limited download takes this long. Longer: bursts, and a slow stop; shorter: more waking.
PIECE_S = 0.25
# A server that sends less than this over so long, while the cart waits for it, is given up: it may keep the
# cart busy on purpose. Higher rates give up on poor radio links; shorter times on one bad minute.
LEAST_BYTES_PER_S = 500.0
SLOW_S = 60.0
# A bucket's address may lead to another once or twice; more is a loop.
MOST_REDIRECTS = 3
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,15})-[0-9]{1,15}/(?:[0-9]{1,15}|\*)")


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


class HttpFetcher(FetcherInterface):
    """Fetches for one thread.

    Args:
        clock: For waiting.
        timeout_s: Longest wait for a connection, and for the next bytes of an answer.
        bandwidth_kbit_s: Most kilobits per second; None: no limit.
        user: Who asks, for the server's log.

    Attributes:
        stop: Asked between pieces; True ends with `FetchStoppedError`.
    """

    def __init__(
        self, *, clock: Clock, timeout_s: float, bandwidth_kbit_s: float | None = None, user: str = ""
    ) -> None:
        self._clock = clock
        self._throttle = Throttle(None if not bandwidth_kbit_s else bandwidth_kbit_s * 125, clock)
        self._pool = urllib3.PoolManager(
            num_pools=2,
            timeout=urllib3.Timeout(connect=timeout_s, read=timeout_s),
            retries=urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=MOST_REDIRECTS),
            headers={"user-agent": f"cartwright-agent {user}".strip(), "accept-encoding": "identity"},
        )
        self.stop: Callable[[], bool] = lambda: False

    def download(self, url: str, path: Path, size_bytes: int, on_bytes: Callable[[int], None]) -> None:
        """Download a file, or the rest of it.

        Args:
            url: Of the file.
            path: What is there already stays, if the server can go on from there.
            size_bytes: Of the whole file; not a byte more is written.
            on_bytes: Told after each piece how much of the file is there.

        Raises:
            DownloadLengthMismatchError: the server's file is longer or shorter.
            DownloadError: it does not answer, breaks off or is too slow.
            FetchStoppedError: `stop` said so.
            OSError: the disk is full or broken.
        """
        there_bytes = path.stat().st_size if path.exists() else 0
        with self._get(url, there_bytes) as response:
            if response.status == 416 and there_bytes:
                path.unlink()
                there_bytes = 0
            else:
                there_bytes = _start(response, there_bytes)
                with path.open("ab", buffering=0) as file:
                    file.truncate(there_bytes)
                    self._receive(response, file.write, there_bytes, size_bytes, on_bytes)
                    os.fsync(file.fileno())
                return
        self.download(url, path, size_bytes, on_bytes)

    def close(self) -> None:
        """Give back connections; calling twice is harmless."""
        self._pool.clear()

    def _fetch(self, url: str) -> Iterator[bytes]:
        with self._get(url, 0) as response:
            yield from self._pieces(response)

    def _receive(
        self,
        response: urllib3.BaseHTTPResponse,
        write: Callable[[bytes], object],
        at_bytes: int,
        size_bytes: int,
        on_bytes: Callable[[int], None],
    ) -> None:
        announced = response.headers.get("content-length", "")
        if announced.isdecimal() and at_bytes + int(announced) != size_bytes:
            raise DownloadLengthMismatchError(f"{at_bytes + int(announced)} bytes instead of {size_bytes}")
        for piece in self._pieces(response):
            at_bytes += len(piece)
            if at_bytes > size_bytes:
                raise DownloadLengthMismatchError(f"more than {size_bytes} bytes")
            write(piece)
            on_bytes(at_bytes)
        if at_bytes < size_bytes:
            raise DownloadError(f"it ended after {at_bytes} of {size_bytes} bytes")

    @contextmanager
    def _get(self, url: str, start: int) -> Iterator[urllib3.BaseHTTPResponse]:
        """Ask for a file from a byte on; all that urllib3 raises becomes what TUF's client knows."""
        if self.stop():
            raise FetchStoppedError("fetching was stopped")
        headers = {**self._pool.headers, **({"range": f"bytes={start}-"} if start else {})}
        try:
            response = self._pool.request("GET", url, headers=headers, preload_content=False)
            try:
                if response.status not in {200, 206, 416} or (response.status == 416 and not start):
                    raise DownloadHTTPError(f"{url}: HTTP status {response.status}", response.status)
                yield response
            finally:
                # What was not read is not worth reading: the connection ends.
                response.close()
        except urllib3.exceptions.HTTPError as error:
            if isinstance(getattr(error, "reason", error), urllib3.exceptions.TimeoutError):
                raise SlowRetrievalError(f"{url}: no answer in time") from error
            raise DownloadError(f"{url}: {error}") from error

    def _pieces(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        waited_s, came_bytes = 0.0, 0
        while True:
            if self.stop():
                raise FetchStoppedError("fetching was stopped")
            asked_s = self._clock.monotonic_s()
            piece = response.read1(self._throttle.piece_bytes, decode_content=False)
            waited_s += self._clock.monotonic_s() - asked_s
            if not piece:
                return
            came_bytes += len(piece)
            if waited_s >= SLOW_S:
                if came_bytes < LEAST_BYTES_PER_S * waited_s:
                    raise SlowRetrievalError(f"{came_bytes} bytes in {waited_s:.0f} s")
                waited_s, came_bytes = 0.0, 0
            self._throttle.take(len(piece))
            yield piece


def _start(response: urllib3.BaseHTTPResponse, asked: int) -> int:
    """Tell from which byte on an answer is: a server that cannot go on from the middle sends all."""
    if response.status == 200:
        return 0
    found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    if found is None or int(found[1]) != asked:
        raise DownloadError("the server sent another part than was asked for")
    return asked
