"""A repository with the shipped models, on a server, and a cart that trusts its root."""

import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.ports import Clock, SystemClock
from fleet_agent.updates.repository import TufRepository
from fleet_control.registry.keys import KeyFolder
from fleet_control.registry.models import IndexEntry
from fleet_control.registry.repository import ModelRepository, Thresholds

MODELS = Path(__file__).parents[3] / "fleet_agent" / "models"


class Shop:
    """A publisher with its folders, and a clock that is turned by hand."""

    def __init__(self, folder: Path, thresholds: Thresholds | None = None) -> None:
        self.folder = folder
        self.late = timedelta()
        self.keys = KeyFolder(folder / "keys")
        self.repository = self.opened()
        self.repository.make(thresholds)

    def opened(self, expires: dict[str, timedelta] | None = None) -> ModelRepository:
        """Open the repository as another process would."""
        options: dict[str, Any] = {"expires": expires} if expires else {}
        return ModelRepository(
            self.folder / "repository", self.keys, now=lambda: datetime.now(UTC) + self.late, **options
        )

    @property
    def served(self) -> Path:
        """What the server serves."""
        return self.folder / "repository"

    def publish(self, version: str = "v2") -> IndexEntry:
        """Publish a shipped model."""
        return self.repository.publish(MODELS / version)


class Server:
    """Serves a folder, with ranges where wanted, and cuts the line where wanted.

    Attributes:
        cut_after: Bytes of a target after which the line is cut, once; 0: never.
        ranges: Whether it can give a part.
        asked: (path, first byte) of each request of a target.
        replaced: Content by path, in the place of the file's.
        endless: Whether metadata never ends.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cut_after = 0
        self.ranges = True
        self.asked: list[tuple[str, int]] = []
        self.replaced: dict[str, bytes] = {}
        self.endless = ""
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._http.shutdown()
        self._http.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a request."""
        path = request.path.lstrip("/")
        file = self.root / path
        if path not in self.replaced and not file.is_file():
            request.send_error(404)
            return
        content = self.replaced.get(path) or file.read_bytes()
        begin = 0
        header = request.headers.get("Range", "")
        if self.ranges and header.startswith("bytes="):
            begin = int(header[6:].split("-")[0])
        if path.startswith("targets/"):
            self.asked.append((path, begin))
        if begin > len(content) or (begin and begin == len(content)):
            request.send_error(416)
            return
        request.send_response(206 if begin else 200)
        if begin:
            request.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        if not (self.endless and self.endless in path):
            request.send_header("Content-Length", str(len(content) - begin))
        request.end_headers()
        body = content[begin:]
        if self.cut_after and path.startswith("targets/") and len(body) > self.cut_after:
            request.wfile.write(body[: self.cut_after])
            self.cut_after = 0
            request.connection.close()
            return
        try:
            request.wfile.write(body)
            while self.endless and self.endless in path:
                request.wfile.write(b" " * 65_536)
        except OSError:  # the client has had enough
            return


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Return a publisher without models."""
    return Shop(tmp_path)


@pytest.fixture
def server(shop: Shop) -> Iterator[Server]:
    """Return a server of its repository."""
    serving = Server(shop.served)
    yield serving
    serving.close()


Opener = Callable[..., TufRepository]


@pytest.fixture
def cart(shop: Shop, server: Server, tmp_path: Path) -> Iterator[Opener]:
    """Return how a cart opens its way to the repository; its folder stays the same."""
    root = tmp_path / "trusted.root.json"
    shutil.copy(shop.repository.root, root)
    opened: list[TufRepository] = []

    def opener(clock: Clock | None = None, kbit_s: float | None = None) -> TufRepository:
        for one in opened:
            one.close()
        made = TufRepository(
            server.url,
            root=root,
            folder=tmp_path / "cart" / "repository",
            bandwidth_kbit_s=kbit_s,
            clock=clock or SystemClock(),
        )
        opened.append(made)
        return made

    yield opener
    for one in opened:
        one.close()
