"""A model repository with its keys, models to publish, a web server that can misbehave, and carts."""

import hashlib
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tuf.api.metadata import Metadata

from fleet_agent.activation.signing import sign_manifest
from fleet_agent.activation.store import ModelStore, StoredModel, read_offer
from fleet_agent.clock_simulated import SimulatedClock
from fleet_agent.updates.repository import TufRepository
from fleet_control.registry.ceremony import KeyCount, initialise
from fleet_control.registry.keys import KeyRing
from fleet_control.registry.model import read_model
from fleet_control.registry.publisher import Publisher
from fleet_control.registry.settings import RegistrySettings, Role
from fleet_control.registry.storage import FolderStorage
from fleet_control.rollouts.ports import PublishedModel
from tests.fleet_agent.activation.models import KEY, TRUSTED

SHIPPED = Path(__file__).parents[1] / "fleet_agent" / "models"
ARTIFACT_BYTES = 200_000


def write_model(folder: Path, seed: int, *, artifact_bytes: int = ARTIFACT_BYTES) -> Path:
    """Write a signed model whose files are noise: as large as asked, and never run."""
    noise = random.Random(seed)
    document = json.loads((SHIPPED / "v1" / "manifest.json").read_bytes())
    artifact, frame = noise.randbytes(artifact_bytes), noise.randbytes(1_000)
    (folder / "golden").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(artifact)
    (folder / "golden" / "front.jpg").write_bytes(frame)
    document["version"] = f"noise-{seed}"
    document["artifacts"] = {"fp32": {"file": "model.onnx", "sha256": hashlib.sha256(artifact).hexdigest()}}
    golden = {"file": "front.jpg", "sha256": hashlib.sha256(frame).hexdigest(), "expected": []}
    document["golden"] = [golden]
    (folder / "manifest.json").write_text(json.dumps(document))
    sign_manifest(folder, KEY.private_pem)
    return folder


class World:
    """A repository in simulated time.

    Args:
        folder: For all of it.
        root: How many root keys there are, and how many must sign.
        targets: The same of targets.
    """

    def __init__(
        self, folder: Path, *, root: tuple[int, int] = (2, 1), targets: tuple[int, int] = (1, 1)
    ) -> None:
        self.folder = folder
        self.clock = SimulatedClock()
        self.storage = FolderStorage(folder / "repository")
        self.keys = KeyRing([folder / "keys"])
        one = KeyCount(1, 1)
        counts: dict[Role, KeyCount] = {"root": KeyCount(*root), "targets": KeyCount(*targets)}
        counts |= {"snapshot": one, "timestamp": one}
        initialise(self.storage, self.keys, counts=counts, settings=RegistrySettings(), now=self.now)
        self.publisher = Publisher(self.storage, self.keys, self.now)

    def now(self) -> datetime:
        """Return the simulated time of day."""
        return datetime.fromtimestamp(self.clock.epoch_ms() / 1000, UTC)

    def publish(self, seed: int, *, artifact_bytes: int = ARTIFACT_BYTES) -> PublishedModel:
        """Write a model and publish it."""
        folder = write_model(self.folder / f"model-{seed}", seed, artifact_bytes=artifact_bytes)
        return self.publisher.publish(read_model(folder))

    def metadata(self, name: str) -> bytes:
        """Return a file of metadata."""
        content = self.storage.read(f"metadata/{name}")
        assert content is not None
        return content

    def forged(self, name: str, edit: Callable[[Any], None], *, keys: KeyRing | None = None) -> bytes:
        """Return what somebody with a role's keys would sign: metadata as it is now, but for an edit."""
        md: Metadata[Any] = Metadata.from_bytes(self.metadata(name))
        edit(md.signed)
        md.signatures.clear()
        for signer in (keys or self.keys).signers(md.signed.type).values():
            md.sign(signer, append=True)
        return md.to_bytes()


class Cart:
    """A cart that fetches models and keeps them.

    Args:
        world: Whose root it trusts.
        url: Of the repository.
        name: Of its folder.
        clock: Its own; None: the world's.
        kbit_s: Its bandwidth.
    """

    def __init__(
        self, world: World, url: str, *, name: str = "cart", clock: Any = None, kbit_s: int | None = None
    ) -> None:
        self.folder = world.folder / name
        self.progress: list[tuple[int, int]] = []
        self.stopped = False
        self.repository = TufRepository(
            url,
            world.folder / "keys" / "trusted-root.json",
            self.folder / "repository",
            bandwidth_kbit_s=kbit_s,
            clock=clock or world.clock,
            timeout_s=5.0,
        )

    def into(self, manifest: str) -> Path:
        """Return where a model is fetched to."""
        return self.folder / "downloads" / manifest

    def fetch(self, model: PublishedModel) -> StoredModel:
        """Fetch a model and admit it to the cart's store, as an activation would."""
        self.repository.fetch(
            model.digest,
            model.manifest,
            self.into(model.manifest),
            on_progress=lambda done, of: self.progress.append((done, of)),
            stop=lambda: self.stopped,
        )
        return ModelStore(self.folder / "store", TRUSTED).admit(read_offer(self.into(model.manifest)))

    def has(self, model: PublishedModel) -> bool:
        """Tell whether anything could be taken for this model."""
        return (self.into(model.manifest) / "manifest.json").exists()


class WebServer:
    """Serves a repository, and other things where a story wants it.

    Args:
        folder: Of the repository.

    Attributes:
        url: Where it listens.
        replaced: What it sends instead of files, by path.
        cuts: After how many bytes it cuts the connection, by the end of the path; each once.
        ranges: Whether it can go on from the middle.
        lengths: Whether it says how much it sends.
        endless: Ends of paths behind whose content it goes on without end.
        requests: (path, Range header) of all that was asked.
        sent_bytes: Of bodies, by path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.replaced: dict[str, bytes] = {}
        self.cuts: dict[str, int] = {}
        self.ranges = True
        self.lengths = True
        self.endless: tuple[str, ...] = ()
        self.requests: list[tuple[str, str | None]] = []
        self.sent_bytes: dict[str, int] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @contextmanager
    def running(self) -> Iterator["WebServer"]:
        """Serve for a while."""
        self._thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def content(self, path: str) -> bytes | None:
        """Return what lies at a path."""
        file = self.folder / path.lstrip("/")
        return self.replaced.get(path) or (file.read_bytes() if file.is_file() else None)

    def cut(self, path: str) -> int | None:
        """Return where this answer breaks off."""
        ends = [end for end in self.cuts if path.endswith(end)]
        return self.cuts.pop(ends[0]) if ends else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, web: WebServer, *arguments: Any) -> None:
        self._web = web
        super().__init__(*arguments)

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionResetError:  # the cart has had enough
            self.close_connection = True

    def do_GET(self) -> None:
        wanted = self.headers.get("range")
        self._web.requests.append((self.path, wanted))
        content = self._web.content(self.path)
        if content is None:
            self.send_response(404)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self._web.ranges else 0
        endless = self.path.endswith(self._web.endless)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("content-range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self._web.lengths and not endless:
            self.send_header("content-length", str(len(content) - start))
        else:
            self.send_header("connection", "close")
        self.end_headers()
        self._send(content[start:], endless=endless)

    def _send(self, content: bytes, *, endless: bool) -> None:
        cut = self._web.cut(self.path)
        self._body(content[:cut])
        while endless:
            try:
                self._body(bytes(100_000))
            except OSError:
                break
        if cut is not None or endless or not self._web.lengths:
            self.close_connection = True

    def _body(self, content: bytes) -> None:
        self.wfile.write(content)
        self._web.sent_bytes[self.path] = self._web.sent_bytes.get(self.path, 0) + len(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
