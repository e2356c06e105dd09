"""What rollouts see of the repository is what carts would get; and the commands that fill it."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import urllib3

from fleet_control.errors import RegistryError
from fleet_control.registry.client import RepositoryRegistry
from fleet_control.registry.keys import KeyRing
from fleet_control.registry.memory import MemoryRegistry
from fleet_control.registry.publisher import Publisher
from fleet_control.registry.serve import RepositoryServer
from fleet_control.registry.storage import FolderStorage
from fleet_control.rollouts.ports import PublishedModel, Registry
from tests.fleet_control.registry.commands import Commands
from tests.repositories import SHIPPED, write_model


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a repository for a while."""
    server = RepositoryServer(folder, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.url
    finally:
        server.stop()
        thread.join()


@contextmanager
def dripping() -> Iterator[str]:
    """Listen where every answer is an endless header, a byte at a time."""
    over = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not over.wait(0.02):
                connection.sendall(b"X")

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("over_http", [True, False], ids=["http", "folder"])
def test_a_published_model_is_fetchable_until_it_is_not(
    commands: Commands, tmp_path: Path, *, over_http: bool
) -> None:
    """Through TUF, over HTTP or from a folder; a file that is gone is noticed though it was there before."""
    assert commands.run("publish", write_model(tmp_path / "model", 1)) == 0
    with (
        served(commands.repository) as url,
        RepositoryRegistry(url if over_http else commands.repository, commands.root) as registry,
    ):
        (model,) = registry.models()
        assert registry.fetchable(model.digest)
        assert registry.fetchable(model.digest)
        assert not registry.fetchable("0" * 16)
        next((commands.repository / "targets").rglob("*.front.jpg")).unlink()

        assert not registry.fetchable(model.digest)


def test_a_file_that_is_another_is_not_fetchable(commands: Commands, tmp_path: Path) -> None:
    """It is there and it is wrong."""
    commands.run("publish", write_model(tmp_path / "model", 1))
    path = next((commands.repository / "targets").rglob("*.model.onnx"))
    path.write_bytes(bytes(path.stat().st_size))

    with RepositoryRegistry(commands.repository, commands.root) as registry:
        assert not registry.fetchable(registry.models()[0].digest)


def test_what_nobody_signed_is_an_error(commands: Commands, tmp_path: Path) -> None:
    """Other keys: no models are listed, and none is fetchable."""
    other = Commands(tmp_path / "other")
    other.run("init")
    other.run("publish", write_model(tmp_path / "model", 1))

    with RepositoryRegistry(other.repository, commands.root) as registry:
        with pytest.raises(RegistryError, match="would refuse"):
            registry.models()
        assert not registry.fetchable("0" * 16)


def test_a_server_that_drips_keeps_nobody(commands: Commands) -> None:
    """Its header never ends, and each byte of it comes in time: whoever asks is told that nothing came."""
    with (
        dripping() as url,
        RepositoryRegistry(url, commands.root, lists_s=0.5) as registry,
    ):
        for ask in (registry.models, lambda: registry.fetchable("0" * 16)):
            with pytest.raises(RegistryError, match="has not answered"):
                ask()


def test_a_server_that_is_away_is_an_error(commands: Commands) -> None:
    """Not knowing is not the same as: it is gone."""
    with served(commands.repository) as url:
        pass
    with RepositoryRegistry(url, commands.root) as registry:
        with pytest.raises(RegistryError, match="does not answer"):
            registry.models()
        with pytest.raises(RegistryError, match="does not answer"):
            registry.fetchable("0" * 16)


def test_the_server_serves_pieces_and_nothing_private(commands: Commands, tmp_path: Path) -> None:
    """Ranges, tags and caching for what carts read; pins, locks and other folders do not exist for it."""
    commands.run("publish", write_model(tmp_path / "model", 1))
    path = next((commands.repository / "targets").rglob("*.model.onnx"))
    (commands.repository / "pins.json").write_text("{}")
    http = urllib3.PoolManager(retries=False)
    with served(commands.repository) as url:
        of_file = f"{url}/{path.relative_to(commands.repository)}"
        rest = http.request("GET", of_file, headers={"range": "bytes=199990-"})
        assert (rest.status, rest.data) == (206, path.read_bytes()[199_990:])
        tag = rest.headers["etag"]
        assert http.request("GET", of_file, headers={"if-none-match": tag}).status == 304
        assert "immutable" in rest.headers["cache-control"]
        timestamp = http.request("GET", f"{url}/metadata/timestamp.json")
        assert timestamp.headers["cache-control"] == "no-cache"
        etag = timestamp.headers["etag"]
        again = http.request("GET", f"{url}/metadata/timestamp.json", headers={"if-none-match": etag})
        assert again.status == 304
        for private in (
            "pins.json",
            "lock.publish",
            "metadata/../pins.json",
            "targets/..%2fpins.json",
            "metadata/x",
        ):
            assert http.request("GET", f"{url}/{private}").status == 404
    http.clear()


def test_a_port_that_is_taken_is_told(commands: Commands) -> None:
    """With the address, so that one can choose another."""
    with served(commands.repository) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(RegistryError, match=f"127.0.0.1:{port}"):
            RepositoryServer(commands.repository, "127.0.0.1", port)


def test_every_command_does_what_it_says(commands: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    """From publishing to retiring, with a rotation between, as a person types it."""
    assert commands.run("publish", SHIPPED / "v1") == 0
    assert commands.run("publish", SHIPPED / "v2") == 0
    assert commands.run("rotate-root") == 0
    assert commands.run("rotate", "targets", "snapshot", "timestamp") == 0
    first = Publisher(FolderStorage(commands.repository), KeyRing([commands.keys])).models()[-1].digest
    assert commands.run("republish", first) == 0
    assert commands.run("refresh", "--force") == 0
    capsys.readouterr()
    assert commands.run("list") == 0
    listed = capsys.readouterr().out
    assert commands.run("retire", first) == 0
    assert commands.run("retire", first) == 1

    assert re.match(
        rf"{first}  cartwright-grocery v1  2\.3 MB\n[0-9a-f]{{16}}  cartwright-grocery v2", listed
    )
    assert re.search(r"^root +version 3 +holds until 20\d\d-", listed, re.MULTILINE)
    assert f"there is no model {first}" in capsys.readouterr().err


def test_a_model_without_a_signature_needs_a_word(
    commands: Commands, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Carts ask for one by default, and would refuse the model one by one."""
    model = write_model(tmp_path / "model", 1)
    (model / "manifest.sig").unlink()

    assert commands.run("publish", model) == 1
    assert "manifest.sig" in capsys.readouterr().err
    assert commands.run("publish", model, "--unsigned") == 0


def test_the_double_behaves_as_a_registry() -> None:
    """Newest first; what is gone is listed and not fetchable."""
    registry = MemoryRegistry([PublishedModel("a" * 16, "m", "1", "a" * 64, 1, 1)])
    registry.add(PublishedModel("b" * 16, "m", "2", "b" * 64, 1, 2))
    registry.gone.add("a" * 16)
    port: Registry = registry

    assert [(model.version, port.fetchable(model.digest)) for model in port.models()] == [
        ("2", True),
        ("1", False),
    ]
