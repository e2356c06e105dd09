"""One small HTTP port: `/metrics`, `/live` and `/ready`."""

import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Answer(NamedTuple):
    """Whether all is well, and a sentence."""

    ok: bool
    sentence: str


class StatusServer:
    """Serves what it is told to ask; `port` is the one in use."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        metrics: Callable[[], bytes],
        live: Callable[[], Answer],
        ready: Callable[[], Answer],
    ) -> None:
        checks = {"/live": live, "/ready": ready}

        class Handler(BaseHTTPRequestHandler):
            # Headers and body in one packet: Nagle's algorithm would add 40 ms to each answer.
            wbufsize = -1

            def do_GET(self) -> None:
                if self.path == "/metrics":
                    self._answer(HTTPStatus.OK, METRICS_TYPE, metrics())
                elif check := checks.get(self.path):
                    answer = check()
                    status = HTTPStatus.OK if answer.ok else HTTPStatus.SERVICE_UNAVAILABLE
                    self._answer(status, "text/plain; charset=utf-8", f"{answer.sentence}\n".encode())
                else:
                    self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"/metrics, /live or /ready\n")

            def log_message(self, *_args: Any) -> None:
                """Scrapes are not worth a line."""

            def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="ingest-http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
