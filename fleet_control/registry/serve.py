"""A small web server for a repository in a folder: for the demo, tests and one shop's network.

A large fleet takes a bucket or a content delivery network instead; any server that knows GET will do. With
one that knows Range, carts go on where they were cut off.
"""

import hashlib
import socket
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from fleet_control.errors import RegistryError
from fleet_control.registry.storage import existing_repository

# What has a version or a hash in its name never changes; the timestamp may at any moment.
FOR_EVER, NEVER = "public, max-age=31536000, immutable", "no-cache"
MAX_PORT = 65_535


class _Targets(StaticFiles):
    """Files of models, in pieces where asked for."""

    def file_response(self, *arguments: object, **options: object) -> Response:
        """Return a file, and say that it never changes."""
        response = super().file_response(*arguments, **options)  # type: ignore[arg-type]
        response.headers["cache-control"] = FOR_EVER
        return response


def application(folder: Path) -> Starlette:
    """Return what serves `metadata` and `targets` of a repository, and nothing else of it.

    Raises:
        RegistryError: there is no repository, or its targets cannot be read.
    """
    existing_repository(folder)
    try:
        (folder / "targets").mkdir(exist_ok=True)  # before the first model there is none
    except OSError as error:
        raise RegistryError(f"{folder / 'targets'}: {error.strerror or error}") from error

    def metadata(request: Request) -> Response:
        # Read at once: between asking for its size and reading it, a timestamp may be replaced.
        name = request.path_params["name"]
        try:
            content = (folder / "metadata" / name).read_bytes()
        except (OSError, ValueError):
            raise HTTPException(404) from None
        caching = NEVER if name == "timestamp.json" else FOR_EVER
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        headers = {"etag": etag, "cache-control": caching}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type="application/json", headers=headers)

    routes = [
        Route("/metadata/{name}", metadata, methods=["GET"]),
        Mount("/targets", _Targets(directory=folder / "targets")),
    ]
    return Starlette(routes=routes)


class RepositoryServer:
    """Serves a repository until it is told to stop.

    Args:
        folder: Of the repository.
        host: To listen on.
        port: To listen on; 0: a free one.

    Attributes:
        url: Where it is.

    Raises:
        RegistryError: there is no repository, or it cannot listen there.
    """

    def __init__(self, folder: Path, host: str, port: int) -> None:
        served = application(folder)
        self._socket = _listen(host, port)
        self.url = f"http://{host}:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(served, log_level="warning", access_log=False, lifespan="off")
        self._server = uvicorn.Server(config)

    def run(self) -> None:
        """Serve until `stop`, SIGINT or SIGTERM."""
        with self._socket:
            self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Let `run` return soon; any thread may call."""
        self._server.should_exit = True


def _listen(host: str, port: int) -> socket.socket:
    try:
        if not 0 <= port <= MAX_PORT:
            raise RegistryError(f"cannot listen on {host}:{port}: ports end at {MAX_PORT}")
        # Looked up first: `create_server` does not close its socket after an error of the name's encoding.
        (*_, address), *_ = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)
        return socket.create_server((str(address[0]), port))
    except (OSError, UnicodeError) as error:
        raise RegistryError(
            f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}"
        ) from error
