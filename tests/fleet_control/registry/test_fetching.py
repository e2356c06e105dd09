"""A server of the model repository that sends without end, to who must go on steering rollouts."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError
from tuf.api.metadata import Metadata, MetaFile, Timestamp

from fleet_control.errors import RegistryError
from fleet_control.registry.client import RepositoryRegistry
from fleet_control.registry.fetching import MOST_REDIRECTS, HttpFetcher
from fleet_control.registry.keys import KeyRing
from fleet_control.registry.signed import MAX_METADATA_BYTES
from tests.fleet_control.registry.commands import Commands
from tests.repositories import WebServer

# Most that lies in buffers of sockets when the reader hangs up; without end, it would be more in a second.
SLACK_BYTES = 64_000_000


class Hostile(BaseHTTPRequestHandler):
    """Answers each path in its own bad way."""

    sent_bytes = 0
    asked: list[str]

    def do_GET(self) -> None:
        """Answer."""
        self.asked.append(self.path)
        status = int(self.path.split("/")[1])
        self.send_response(status)
        if "packed" in self.path:
            self.send_header("content-encoding", "gzip")
        if "loop" in self.path:
            self.send_header("location", f"/302/loop/{len(self.asked)}")
        elif status == 302:
            self.send_header("location", "/200/short")
        self.end_headers()
        try:
            self._body()
        except OSError:  # the reader has had enough
            self.close_connection = True

    def _body(self) -> None:
        self.wfile.write(b"x")
        while "endless" in self.path:
            type(self).sent_bytes += self.wfile.write(bytes(100_000))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def hostile() -> Iterator[tuple[str, type[Hostile]]]:
    """Serve badly for a while; gives the address and what counts."""
    handler = type("Counting", (Hostile,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def promising_terabytes(commands: Commands) -> bytes:
    """Return a timestamp of somebody with its key, who signs that the next snapshot has ten terabytes."""
    path = commands.repository / "metadata" / "timestamp.json"
    md: Metadata[Timestamp] = Metadata.from_bytes(path.read_bytes())
    md.signed.version += 1
    md.signed.snapshot_meta = MetaFile(2, length=10**13)
    (signer,) = KeyRing([commands.keys]).signers("timestamp").values()
    md.sign(signer)
    return md.to_bytes()


def test_no_key_lets_a_list_be_endless(commands: Commands) -> None:
    """Whatever was signed: at 16 MB it is over, also in the thread for which nobody waits any more."""
    with WebServer(commands.repository).running() as web:
        web.replaced["/metadata/timestamp.json"] = promising_terabytes(commands)
        web.replaced["/metadata/2.snapshot.json"] = b"{"
        web.endless = ("2.snapshot.json",)
        with (
            RepositoryRegistry(web.url, commands.root) as registry,
            pytest.raises(RegistryError, match="more than carts would take"),
        ):
            registry.models()

    sent_bytes = web.sent_bytes["/metadata/2.snapshot.json"]
    assert MAX_METADATA_BYTES < sent_bytes < MAX_METADATA_BYTES + SLACK_BYTES


@pytest.mark.parametrize("path", ["/200/endless", "/200/endless/packed"])
def test_metadata_ends_where_carts_would_end_it(path: str) -> None:
    """Whatever length is asked for, and however small it was packed."""
    limit = f"more than {MAX_METADATA_BYTES} bytes"
    with hostile() as (url, counted), pytest.raises(DownloadError, match=limit):
        HttpFetcher().download_bytes(f"{url}{path}", 10**13)

    assert counted.sent_bytes < MAX_METADATA_BYTES + SLACK_BYTES


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_body_that_nobody_wants_is_not_read(status: int) -> None:
    """An answer that leads elsewhere, or is an error, may be endless too."""
    with hostile() as (url, counted):
        fetcher = HttpFetcher()
        if status == 302:
            assert fetcher.download_bytes(f"{url}/{status}/endless", 10) == b"x"
        else:
            with pytest.raises(DownloadHTTPError, match=str(status)):
                fetcher.download_bytes(f"{url}/{status}/endless", 10)

    assert counted.sent_bytes < SLACK_BYTES


def test_addresses_that_lead_in_a_circle_end() -> None:
    """A few steps, as buckets need one or two."""
    with hostile() as (url, counted), pytest.raises(DownloadError, match="one address to the next"):
        HttpFetcher().download_bytes(f"{url}/302/loop", 10)

    assert len(counted.asked) == MOST_REDIRECTS + 1


def test_metadata_that_comes_too_slowly_is_given_up() -> None:
    """Whoever asks next waits for its end, also when the server has been well again for long."""
    fetcher = HttpFetcher()
    fetcher.metadata_s = 0.0
    with hostile() as (url, counted), pytest.raises(SlowRetrievalError, match="not whole after"):
        fetcher.download_bytes(f"{url}/200/endless", 10**13)

    assert counted.sent_bytes < SLACK_BYTES


def test_an_answer_ends_though_nobody_waits_for_it() -> None:
    """Its thread would go on for as long as the server likes."""
    with hostile() as (url, counted), pytest.raises(SlowRetrievalError, match="not whole after"):
        b"".join(HttpFetcher(answer_s=0.0).fetch(f"{url}/200/endless"))

    assert counted.sent_bytes < SLACK_BYTES
