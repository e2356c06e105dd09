"""Fetching from a repository whose server is believed by nobody: it may send without end, on purpose."""

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urljoin

import urllib3
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    SlowRetrievalError,
)
from tuf.ngclient import FetcherInterface, Urllib3Fetcher

from fleet_control.registry.signed import MAX_METADATA_BYTES

# Longest wait for the server to answer, or for its next bytes.
TIMEOUT_S = 10
# Longest time for metadata: megabytes at most. Lower refuses slow lines; higher, and a server that dripped
# one answer keeps others from asking for so long after it is well again.
METADATA_S = 20.0
# Longest time for the body of one answer. Nobody may wait for it any more: its thread must end by itself.
# Lower refuses large models; higher keeps more threads that a server drips to.
ANSWER_S = 600.0
READ_BYTES = 400_000
# A bucket's address may lead to another once or twice; more is a loop.
MOST_REDIRECTS = 3


class BoundedFetcher(FetcherInterface):
    """Fetches no metadata that carts would not take either, whatever length a stolen key signed for it.

    Attributes:
        metadata_s: Longest time for one piece of metadata: whoever needs the next one waits for its end.
    """

    metadata_s = METADATA_S

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """Return what lies at an address; TUF's client asks for metadata by this, and only for that.

        Args:
            url: Where.
            max_length: What is signed, if something is.

        Raises:
            DownloadError: it cannot be had, is longer, or takes too long.
        """
        most_bytes = min(max_length, MAX_METADATA_BYTES)
        until_s = time.monotonic() + self.metadata_s
        content = bytearray()
        with closing(self._fetched(url)) as pieces:
            for piece in pieces:
                content += piece
                if len(content) > most_bytes:
                    raise DownloadLengthMismatchError(f"{url} has more than {most_bytes} bytes")
                if time.monotonic() > until_s:
                    raise SlowRetrievalError(f"{url} was not whole after {self.metadata_s:.0f} s")
        return bytes(content)

    def _fetched(self, url: str) -> Generator[bytes, None, None]:
        yield from self.fetch(url)


class FolderFetcher(BoundedFetcher):
    """Fetches from a local folder as if it were a server.

    Args:
        folder: Of the repository.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = (self._folder / url).resolve()
        if not path.is_relative_to(self._folder) or not path.is_file():
            raise DownloadHTTPError(f"{url} is not there", 404)
        return self._read(path)

    def _read(self, path: Path) -> Iterator[bytes]:
        try:
            with path.open("rb") as file:
                while block := file.read(READ_BYTES):
                    yield block
        except OSError as error:
            raise DownloadError(f"{path}: {error.strerror or error}") from error


class HttpFetcher(BoundedFetcher, Urllib3Fetcher):
    """Fetches over HTTP, through the proxies that the environment names.

    Args:
        answer_s: Longest time for the body of one answer.
    """

    def __init__(self, *, answer_s: float = ANSWER_S) -> None:
        super().__init__(socket_timeout=TIMEOUT_S)
        self._answer_s = answer_s

    def _fetch(self, url: str) -> Iterator[bytes]:
        for _ in range(MOST_REDIRECTS + 1):
            response = self._get(url)
            # urllib3 would first read the whole body of an answer that leads elsewhere, into memory.
            elsewhere = response.get_redirect_location()
            if not elsewhere:
                break
            response.close()
            url = urljoin(url, elsewhere)
        else:
            raise DownloadError(f"{url}: it leads from one address to the next")
        if response.status != 200:
            response.close()
            raise DownloadHTTPError(f"{url}: HTTP status {response.status}", response.status)
        return self._pieces(response)

    def _get(self, url: str) -> urllib3.BaseHTTPResponse:
        try:
            return self._proxy_env.request(
                "GET",
                url,
                headers={"user-agent": "cartwright", "accept-encoding": "identity"},
                preload_content=False,
                redirect=False,
                timeout=urllib3.Timeout(self.socket_timeout),
            )
        except urllib3.exceptions.MaxRetryError as error:
            if isinstance(error.reason, urllib3.exceptions.TimeoutError):
                raise SlowRetrievalError(f"{url}: no answer in time") from error
            raise

    def _pieces(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        until_s = time.monotonic() + self._answer_s
        try:
            # As it came: what a server packs small may be endless when it is unpacked.
            while piece := response.read1(READ_BYTES, decode_content=False):
                if time.monotonic() > until_s:
                    raise SlowRetrievalError(f"not whole after {self._answer_s:.0f} s")
                yield piece
        except urllib3.exceptions.TimeoutError as error:
            raise SlowRetrievalError("no more bytes in time") from error
        except urllib3.exceptions.HTTPError as error:
            raise DownloadError(f"it broke off: {error}") from error
        finally:
            # What was not read is not worth reading: the connection ends.
            response.close()
