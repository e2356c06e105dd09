"""Downloading over HTTP as a cart must: in pieces, not too fast, never for ever, and on from where it was.

What comes is believed by nobody here; `repository` checks it.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import urllib3
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    SlowRetrievalError,
)
from tuf.ngclient import FetcherInterface

from fleet_agent.errors import RepositoryRefusedError
from fleet_agent.ports import Clock
from fleet_agent.updates.receiving import MOST_PIECE_BYTES, Reception, received_pools

# The lists of a repository of hundreds of models have less than 1 MB. Lower ends the growth of a repository;
# higher lets a stolen timestamp key, which may name any length, fill carts' disks and use up their data.
MAX_METADATA_BYTES = 16_000_000
# A bucket's address may lead to another once or twice; more is a loop.
MOST_REDIRECTS = 3
# Python refuses to read numbers of thousands of digits, and no file's length has so many.
_LENGTH = re.compile(r"[0-9]{1,15}")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,15})-[0-9]{1,15}/(?:[0-9]{1,15}|\*)")


class HttpFetcher(FetcherInterface):
    """Fetches for one thread.

    Args:
        clock: For waiting.
        timeout_s: Longest wait for a connection, for all headers of an answer, and for its next bytes.
        bandwidth_kbit_s: Most kilobits per second; None: no limit.
        user: Who asks, for the server's log.

    Attributes:
        stop: Asked between pieces, and while nothing comes; True ends with `FetchStoppedError`.
    """

    def __init__(
        self, *, clock: Clock, timeout_s: float, bandwidth_kbit_s: float | None = None, user: str = ""
    ) -> None:
        self._reception = Reception(clock, timeout_s, bandwidth_kbit_s * 125 if bandwidth_kbit_s else None)
        self._pool = urllib3.PoolManager(
            num_pools=2,
            timeout=urllib3.Timeout(connect=timeout_s, read=timeout_s),
            headers={"user-agent": f"cartwright-agent {user}".strip(), "accept-encoding": "identity"},
        )
        self._pool.pool_classes_by_scheme = received_pools(self._reception)
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
        """Fetch metadata, of which TUF's client takes as much as other metadata says there is."""
        came_bytes = 0
        with self._get(url, 0) as response:
            for piece in self._pieces(response):
                came_bytes += len(piece)
                if came_bytes > MAX_METADATA_BYTES:
                    raise RepositoryRefusedError(f"{url}: metadata of more than {MAX_METADATA_BYTES} bytes")
                yield piece

    def _receive(
        self,
        response: urllib3.BaseHTTPResponse,
        write: Callable[[bytes], object],
        at_bytes: int,
        size_bytes: int,
        on_bytes: Callable[[int], None],
    ) -> None:
        announced = response.headers.get("content-length", "")
        if _LENGTH.fullmatch(announced) and at_bytes + int(announced) != size_bytes:
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
        headers = {**self._pool.headers, **({"range": f"bytes={start}-"} if start else {})}
        try:
            response = self._ask(url, headers)
            try:
                if response.status not in {200, 206, 416} or (response.status == 416 and not start):
                    raise DownloadHTTPError(f"{url}: HTTP status {response.status}", response.status)
                yield response
            finally:
                # What was not read is not worth reading: the connection ends.
                response.close()
        except urllib3.exceptions.TimeoutError as error:
            raise SlowRetrievalError(f"{url}: no answer in time") from error
        except urllib3.exceptions.HTTPError as error:
            raise DownloadError(f"{url}: {error}") from error

    def _ask(self, url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        """Ask, and where an answer leads to. urllib3 would read the bodies of answers that lead elsewhere."""
        for _ in range(MOST_REDIRECTS + 1):
            self._reception.begin(self.stop)
            try:
                response = self._pool.request(
                    "GET", url, headers=headers, preload_content=False, redirect=False, retries=False
                )
                where = response.get_redirect_location()
                if not where:
                    self._reception.headers_came()
                    return response
                response.close()
                url = urljoin(url, where)
            except ValueError as error:
                raise DownloadError(f"{url} is or leads to no address: {error}") from error
        raise DownloadError(f"{url}: led elsewhere more than {MOST_REDIRECTS} times")

    def _pieces(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        while piece := response.read1(MOST_PIECE_BYTES, decode_content=False):
            self._reception.content_came(len(piece))
            yield piece
            self._reception.look()


def _start(response: urllib3.BaseHTTPResponse, asked: int) -> int:
    """Tell from which byte on an answer is: a server that cannot go on from the middle sends all."""
    if response.status == 200:
        return 0
    found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    if found is None or int(found[1]) != asked:
        raise DownloadError("the server sent another part than was asked for")
    return asked
