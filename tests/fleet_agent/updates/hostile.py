"""A web server of a repository that can be told to send anything at all, byte by byte, and for ever."""

import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from fleet_agent.clock_simulated import SimulatedClock

Send = Callable[[bytes], None]
# Sends an answer, headers and all, to who asked for a path.
Evil = Callable[[Send, str], None]


class HostileServer:
    """Serves a repository honestly until it is told otherwise.

    Args:
        folder: Of the repository.
        tls: Certificate and key; None: plain HTTP.

    Attributes:
        url: Where it listens.
        evil: What it does instead; None: nothing.
        at: End of the paths at which it does so.
        began: Set when it has begun to.
        ended: Set when it serves no more.
        sent_bytes: Of evil.
    """

    def __init__(self, folder: Path, tls: tuple[Path, Path] | None = None) -> None:
        self.folder = folder
        self.evil: Evil | None = None
        self.at = ""
        self.began = threading.Event()
        self.ended = threading.Event()
        self.sent_bytes = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @contextmanager
    def running(self) -> Iterator["HostileServer"]:
        """Serve for a while."""
        self._thread.start()
        try:
            yield self
        finally:
            self.ended.set()
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def send(self, write: Callable[[bytes], object], content: bytes) -> None:
        """Send evil, as long as the server runs."""
        if self.ended.is_set():
            raise BrokenPipeError
        write(content)
        self.sent_bytes += len(content)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, web: HostileServer, *arguments: object) -> None:
        self._web = web
        super().__init__(*arguments)  # type: ignore[arg-type]

    def handle(self) -> None:
        with suppress(OSError):  # the cart has had enough
            super().handle()

    def do_GET(self) -> None:
        if self._web.evil is not None and self.path.endswith(self._web.at):
            self.close_connection = True
            self._web.began.set()
            self._web.evil(partial(self._web.send, self.wfile.write), self.path)
            return
        file = self._web.folder / self.path.lstrip("/")
        content = file.read_bytes() if file.is_file() else b""
        self.send_response(200 if content else 404)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def endless_continues(send: Send, _path: str) -> None:
    """Say that an answer follows, without end."""
    while True:
        send(b"HTTP/1.1 100 Continue\r\n\r\n" * 4_000)


def endless_trailers(send: Send, _path: str) -> None:
    """End the body, and go on with trailers."""
    send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n")
    while True:
        send((b"a: " + b"b" * 1_000 + b"\r\n") * 100)


def endless_chunk_sizes(send: Send, _path: str) -> None:
    """Wrap each byte of content into 60 kB."""
    send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        send(b"1;" + b"x" * 60_000 + b"\r\ny\r\n")


def endless_redirect(send: Send, path: str) -> None:
    """Lead to the same place, with a body that has no end."""
    send(f"HTTP/1.1 302 Found\r\nlocation: {path}\r\n\r\n".encode())
    while True:
        send(bytes(100_000))


def endless_body(send: Send, _path: str) -> None:
    """Send content without end."""
    send(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        send(bytes(100_000))


def dripping_header(pause: Callable[[], object]) -> Evil:
    """Return an evil that sends headers byte by byte, with pauses."""

    def evil(send: Send, _path: str) -> None:
        send(b"HTTP/1.1 200 OK\r\nx: ")
        while True:
            send(b"x")
            pause()

    return evil


def dripping_body(pause: Callable[[], object]) -> Evil:
    """Return an evil that sends content byte by byte, with pauses."""

    def evil(send: Send, _path: str) -> None:
        send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            send(b"x")
            pause()

    return evil


class Drip:
    """Lets a server send one byte each time the cart looks whether to stop, which takes a while.

    Args:
        clock: The cart's.
        every_s: How long that while is.
    """

    def __init__(self, clock: SimulatedClock, every_s: float) -> None:
        self._clock = clock
        self._every_s = every_s
        self._bytes = threading.Semaphore(0)

    def pause(self) -> None:
        """Wait for the cart's next look."""
        self._bytes.acquire()

    def look(self) -> bool:
        """Take the cart's look, which never stops it."""
        self._clock.sleep(self._every_s)
        self._bytes.release()
        return False


def moved(to: str) -> Evil:
    """Return what leads to another place, in good order."""

    def evil(send: Send, path: str) -> None:
        where = to.replace("PATH", path)
        send(f"HTTP/1.1 307 Moved\r\nlocation: {where}\r\ncontent-length: 0\r\n\r\n".encode("latin-1"))

    return evil


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 that signs itself, and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=repository", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return cert, key
