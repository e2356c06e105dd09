"""How files of the repository come over a thin line: in pieces, resumed, no faster than allowed.

What has come of a file stays on the disk under the digest of its address; the next try asks the server for
the rest (RFC 9110, section 14). A server that cannot give a part sends the whole, and it begins anew. Whether
the file is the right one is judged by its signature when it is whole; a wrong one is deleted, part and all.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import urllib3
from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError
from tuf.ngclient.fetcher import FetcherInterface

from fleet_agent.durable import make_folder
from fleet_agent.errors import FetchStoppedError
from fleet_agent.ports import Clock

# Between two looks at `stop`, and the grain of the bandwidth's limit.
CHUNK_BYTES = 32_768
# How long a server may be silent. Shorter gives up on slow lines; longer hangs on dead ones.
TIMEOUT_S = 20.0
# Slower than this over a minute is an attack or no line at all: the fetch ends, and is tried again later.
LEAST_BYTES_PER_S = 50.0
PATIENCE_S = 60.0
# Metadata is small and never resumed: it would be another one the next time.
_PARTS = "/targets/"


class ThinLine(FetcherInterface):
    """Fetches over HTTP; one thread at a time.

    Args:
        folder: Where parts of files are kept.
        clock: Time.
        bytes_per_s: Most that may be taken; None: no limit.

    Attributes:
        stop: Asked between two pieces.
        on_bytes: Told how many bytes came.
        most_bytes: A file with more is not taken.
    """

    def __init__(self, folder: Path, clock: Clock, bytes_per_s: float | None) -> None:
        self._folder = folder
        self._clock = clock
        self._bytes_per_s = bytes_per_s
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(TIMEOUT_S), retries=False, num_pools=2)
        self.stop: Callable[[], bool] = lambda: False
        self.on_bytes: Callable[[int], None] = lambda _: None
        self.most_bytes = 0

    def close(self) -> None:
        """Give back connections."""
        self._pool.clear()

    def forget_all(self) -> None:
        """Delete all parts."""
        for part in self._folder.glob("*.part"):
            with suppress(OSError):
                part.unlink()

    def _part(self, url: str) -> Path:
        return self._folder / f"{hashlib.sha256(url.encode()).hexdigest()}.part"

    def _fetch(self, url: str) -> Iterator[bytes]:
        if _PARTS in url:
            yield from self._resumed(url)
        else:
            yield from self._streamed(url, 0)[1]

    def _resumed(self, url: str) -> Iterator[bytes]:
        make_folder(self._folder)
        part = self._part(url)
        with part.open("a+b") as file:
            done = file.seek(0, os.SEEK_END)
            begin, chunks = self._streamed(url, done)
            if begin == 0:
                file.truncate(0)
            have = begin
            file.seek(0)
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
            for chunk in chunks:
                have += len(chunk)
                if self.most_bytes and have > self.most_bytes:
                    raise DownloadLengthMismatchError(f"{url} is longer than it should be")
                file.write(chunk)
                # What has come must be there after a power cut, or a thin line never gets through.
                file.flush()
                yield chunk
        part.unlink(missing_ok=True)

    def _streamed(self, url: str, begin: int) -> tuple[int, Iterator[bytes]]:
        """Ask for a file from a place on; returns the place at which it begins, and its pieces."""
        headers = {"Range": f"bytes={begin}-"} if begin else {}
        try:
            answer = self._pool.request("GET", url, headers=headers, preload_content=False, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            raise DownloadError(f"{url}: {type(error).__name__}") from error
        if answer.status == 416:  # the part is the whole
            answer.release_conn()
            return begin, iter(())
        if answer.status not in (200, 206):
            answer.release_conn()
            raise DownloadHTTPError(f"{url}: {answer.status} {answer.reason}", answer.status)
        if answer.status == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {begin}-"):
            answer.release_conn()
            raise DownloadError(f"{url}: the server gives another part than the one asked for")
        return (begin if answer.status == 206 else 0), self._pieces(url, answer)

    def _pieces(self, url: str, answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        began_s, came = self._clock.monotonic_s(), 0
        try:
            for chunk in answer.stream(CHUNK_BYTES, decode_content=False):
                if self.stop():
                    raise FetchStoppedError("fetching was stopped")
                came += len(chunk)
                if self.most_bytes and came > self.most_bytes:
                    raise DownloadLengthMismatchError(f"{url} does not end")
                yield chunk
                self.on_bytes(len(chunk))
                self._keep_pace(url, began_s, came)
        except urllib3.exceptions.HTTPError as error:
            raise DownloadError(f"{url}: {type(error).__name__}") from error
        finally:
            answer.close()

    def _keep_pace(self, url: str, began_s: float, came: int) -> None:
        took_s = self._clock.monotonic_s() - began_s
        if took_s > PATIENCE_S and came < LEAST_BYTES_PER_S * took_s:
            raise DownloadError(f"{url}: {came} bytes in {took_s:.0f} s")
        if self._bytes_per_s:
            wait_s = came / self._bytes_per_s - took_s
            if wait_s > 0:
                self._clock.event().wait(wait_s)
