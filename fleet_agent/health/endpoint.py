"""`/live`, `/ready`, `/metrics`: a small HTTP server on the cart itself, for people and probes on it.

GET only, few connections at a time, each with a time-out. Nothing it says names a shopper or a secret.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import structlog

from fleet_agent.errors import EndpointError
from fleet_agent.health.exposition import CONTENT_TYPE

log = structlog.get_logger()

# Connections served at once; more are closed at once. A probe and a scraper need two.
MOST_CONNECTIONS = 8
# A client that sends nothing for this long is dropped.
SOCKET_TIMEOUT_S = 5.0
# A connection is cut after this long, however busy it is: clients that send a byte now and then would take
# all the room. Shorter would cut a scraper on a loaded cart.
CONNECTION_S = 5.0


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that must be so.

    Attributes:
        ok: Whether it is.
        detail: For people, and numbers for machines.
    """

    ok: bool
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """The answer to `/live` or `/ready`.

    Attributes:
        parts: By name; all must be ok.
    """

    parts: Mapping[str, Part]

    @property
    def ok(self) -> bool:
        """Whether all parts are."""
        return all(part.ok for part in self.parts.values())

    def encode(self) -> bytes:
        """Return the JSON of the answer."""
        parts = {name: {"ok": part.ok, **part.detail} for name, part in self.parts.items()}
        return json.dumps({"ok": self.ok, "parts": parts}, sort_keys=True).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Answers:
    """What the server says; called in its threads.

    Attributes:
        live: Nothing hangs.
        ready: It can make events.
        metrics: The page of `/metrics`.
    """

    live: Callable[[], Report]
    ready: Callable[[], Report]
    metrics: Callable[[], str]


class HealthEndpoint:
    """The server, from construction to `close`.

    Args:
        host: Address to listen on.
        port: Its port; 0 lets the system choose one.
        answers: What it says.

    Raises:
        EndpointError: the address is not ours, or in use.
    """

    def __init__(self, host: str, port: int, answers: Answers) -> None:
        handler = type("Handler", (_Handler,), {"answers": answers, "failed": set()})
        try:
            self._server = _Server((host, port), handler)
        except (OSError, OverflowError) as error:
            raise EndpointError(host, port, str(error)) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="health-endpoint", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop listening; answers under way are finished by their threads or cut by the process's end."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(SOCKET_TIMEOUT_S)


class _Server(ThreadingHTTPServer):
    """Serves a bounded number of connections."""

    daemon_threads = True
    # The default joins threads at the end, and a client that dawdles would delay a clean stop.
    block_on_close = False
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self._since_s: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        with self._lock:
            self._since_s[request] = time.monotonic()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._since_s.pop(request, None)
            self._room.release()

    def service_actions(self) -> None:
        """Cut connections that are over their time; the server's loop calls this twice a second."""
        late_s = time.monotonic() - CONNECTION_S
        with self._lock:
            late = [request for request, since_s in self._since_s.items() if since_s < late_s]
        for request in late:
            with suppress(OSError):  # it has ended meanwhile
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that went away is no event of the cart."""


class _Handler(BaseHTTPRequestHandler):
    """Answers one request and closes."""

    answers: ClassVar[Answers]
    failed: ClassVar[set[str]]
    timeout = SOCKET_TIMEOUT_S
    server_version = "cartwright"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer."""
        path = self.path.partition("?")[0]
        try:
            status, body, kind = self._answer(path)
        except Exception:  # a fault of the cart's, said once: probes come every second
            if path not in self.failed:
                self.failed.add(path)
                log.exception("health endpoint failed", path=path)
            status, body, kind = 500, b'{"error": "see the log of the cart"}\n', "application/json"
        self._send(status, body, kind)

    def _answer(self, path: str) -> tuple[int, bytes, str]:
        if path == "/metrics":
            return 200, self.answers.metrics().encode(), CONTENT_TYPE
        if path in ("/live", "/ready"):
            report = self.answers.live() if path == "/live" else self.answers.ready()
            return 200 if report.ok else 503, report.encode(), "application/json"
        return 404, b'{"error": "there are /live, /ready and /metrics"}\n', "application/json"

    def _refuse(self) -> None:
        self._send(405, b'{"error": "GET only"}\n', "application/json", ("Allow", "GET"))

    def __getattr__(self, name: str) -> Any:
        """Refuse every other method in the same words; the base class looks for `do_` and its name."""
        if name.startswith("do_"):
            return self._refuse
        raise AttributeError(name)

    def _send(self, status: int, body: bytes, kind: str, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), *headers):
            self.send_header(name, value)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # the base class's name
        """Keep quiet: a probe a second would fill the log."""
