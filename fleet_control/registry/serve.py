"""Serves a repository over HTTP, for one machine and for tests. In earnest any web server or bucket does."""

import socket
import threading
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from fleet_control.errors import RegistryError


class RepositoryServer:
    """Serves the folders `metadata` and `targets`, with ranges, and nothing else.

    Args:
        folder: Of the repository.
        host: Where it listens.
        port: 0 picks a free one.

    Raises:
        RegistryError: it cannot listen there, or there is no repository.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int = 0) -> None:
        for part in ("metadata", "targets"):
            if not (folder / part).is_dir():
                raise RegistryError(f"{folder} holds no repository: see `cartwright models init`")
        app = Starlette(
            routes=[
                Mount(f"/{part}", StaticFiles(directory=folder / part)) for part in ("metadata", "targets")
            ]
        )
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
            # Whoever connects before the server has started waits in the queue.
            self._socket.listen(128)
        except OSError as error:
            self._socket.close()
            raise RegistryError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
        self.url = f"http://{host}:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="models", daemon=True
        )
        self._thread.start()

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self._thread.join(timeout_s)
        self._socket.close()
