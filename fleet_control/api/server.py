"""The API in a thread beside the controller."""

import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from fleet_control.api.access import AccessFile
from fleet_control.api.app import create_app
from fleet_control.api.metrics import ControlMetrics
from fleet_control.api.parts import Parts
from fleet_control.errors import ListenError
from fleet_control.rollouts.ports import Control

DEFAULT_PORT = 9103
# More at once are refused with 503: each holds memory, and threads are few.
MAX_CONNECTIONS = 500
# How long answers in progress may take when the service stops.
DRAIN_S = 5
_KEEP_ALIVE_S = 15
_START_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """How the API is served.

    Attributes:
        tokens: The tokens file.
        host: Where it listens. On other addresses than loopback: with TLS, here or in a proxy before it.
        port: 0 picks a free one.
        tls_certificate: PEM file; None: plain HTTP.
        tls_key: PEM file of its key; None: it is in the certificate's.
    """

    tokens: Path
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    tls_certificate: Path | None = None
    tls_key: Path | None = None


class ApiServer:
    """Serves from the moment it is made; `url` says where.

    Args:
        control: Carries out and knows.
        settings: How it is served.
        now_s: The time, for tokens that expire.
        not_ready: Returns why the service is not ready; empty if it is.
        webhook: What became of notices so far, by outcome; None: there is no webhook.
        heartbeat: See `ControlMetrics`.

    Raises:
        TokensFileError: nobody could sign in.
        ListenError: the address is taken, or is not one of this machine.
    """

    def __init__(
        self,
        control: Control,
        settings: ApiSettings,
        *,
        now_s: Callable[[], float] = time.time,
        not_ready: Callable[[], str] = lambda: "",
        webhook: Callable[[], Mapping[str, int]] | None = None,
        heartbeat: Callable[[], float] | None = None,
    ) -> None:
        access = AccessFile(settings.tokens, now_s)
        metrics = ControlMetrics(control.store, lambda: int(now_s() * 1000), webhook, heartbeat)
        app = create_app(Parts(control, access, metrics, not_ready))
        self._server = uvicorn.Server(_config(app, settings))
        self._socket = _listen(settings.host, settings.port)
        self.port: int = self._socket.getsockname()[1]
        scheme = "http" if settings.tls_certificate is None else "https"
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.url = f"{scheme}://{host}:{self.port}"
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="control-api", daemon=True
        )
        self._thread.start()
        self._wait()

    def close(self, timeout_s: float = DRAIN_S + 5.0) -> bool:
        """Stop serving; whether all answers in progress were given in time."""
        self._server.should_exit = True
        self._thread.join(timeout_s)
        self._socket.close()
        return not self._thread.is_alive()

    def _wait(self) -> None:
        # The socket listens already: who connects meanwhile waits in its queue.
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline_s:
                self._socket.close()
                raise ListenError(self.url, "the server did not start; its log says why")
            self._thread.join(0.01)


def _config(app: object, settings: ApiSettings) -> uvicorn.Config:
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        # Names of the caller's machine are never taken from its own headers.
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )
    try:
        config.load()
    except (OSError, ValueError) as error:
        raise ListenError(f"{settings.host}:{settings.port}", f"TLS: {error}") from error
    return config


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(128)
        except (OSError, OverflowError):
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ListenError(f"{host}:{port}", f"{why}; choose another host or port") from error
    return listener
