"""A cart fetches models over a bad network: on from where it was, not too fast, and never half a model."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_agent.activation.signing import trusted_keys
from fleet_agent.activation.store import ModelStore, read_offer
from fleet_agent.errors import FetchStoppedError, RepositoryRefusedError, RepositoryUnreachableError
from fleet_agent.ports import SystemClock
from fleet_agent.updates.repository import TufRepository
from fleet_control.registry.model import read_model
from fleet_control.registry.serve import RepositoryServer
from tests.repositories import ARTIFACT_BYTES, SHIPPED, Cart, WebServer, World

MakeCart = Callable[..., Cart]


def of_artifact(web: WebServer) -> list[str | None]:
    """Return from where on the network's file was asked for, each time."""
    return [start for path, start in web.requests if path.endswith("model.onnx")]


def artifact_bytes_sent(web: WebServer) -> int:
    """Return how much of the network's file went over the wire."""
    return sum(sent for path, sent in web.sent_bytes.items() if path.endswith("model.onnx"))


def test_a_shipped_model_goes_from_its_folder_to_a_cart(world: World, tmp_path: Path) -> None:
    """Published, served by our own server, fetched, and admitted with the signature of those who made it."""
    model = world.publisher.publish(read_model(SHIPPED / "v1"))
    server = RepositoryServer(world.storage.folder, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        cart = Cart(world, server.url)
        folder = cart.repository.fetch(
            model.digest,
            model.manifest,
            tmp_path / "new",
            on_progress=lambda done, of: cart.progress.append((done, of)),
            stop=lambda: False,
        )
        cart.repository.close()
    finally:
        server.stop()
        thread.join()

    stored = ModelStore(tmp_path / "store", trusted_keys(SHIPPED / "keys")).admit(read_offer(folder))
    assert stored.manifest.digest == model.digest
    assert cart.progress[-1] == (model.size_bytes, model.size_bytes)
    assert [done for done, _ in cart.progress] == sorted(done for done, _ in cart.progress)


def test_a_cut_connection_costs_only_the_rest(world: World, web: WebServer, cart: Cart) -> None:
    """The line breaks in the middle of the large file; the next try asks for the rest alone."""
    model = world.publish(1)
    web.cuts["model.onnx"] = 120_000
    with pytest.raises(RepositoryUnreachableError):
        cart.fetch(model)
    assert not cart.has(model)

    assert cart.fetch(model).name == model.manifest
    assert of_artifact(web) == [None, "bytes=120000-"]
    assert artifact_bytes_sent(web) == ARTIFACT_BYTES


def test_a_new_process_goes_on_where_the_old_one_was(
    world: World, web: WebServer, make_cart: MakeCart
) -> None:
    """What was downloaded is on the disk, not in a process."""
    model = world.publish(1)
    web.cuts["model.onnx"] = 120_000
    first = make_cart()
    with pytest.raises(RepositoryUnreachableError):
        first.fetch(model)
    first.repository.close()

    assert make_cart().fetch(model).name == model.manifest
    assert artifact_bytes_sent(web) == ARTIFACT_BYTES


def test_a_server_that_knows_no_ranges_sends_all_again(world: World, web: WebServer, cart: Cart) -> None:
    """It costs more, and the model comes whole."""
    model = world.publish(1)
    web.ranges = False
    web.cuts["model.onnx"] = 120_000
    with pytest.raises(RepositoryUnreachableError):
        cart.fetch(model)

    assert cart.fetch(model).name == model.manifest
    assert artifact_bytes_sent(web) == 120_000 + ARTIFACT_BYTES


def test_a_server_that_does_not_say_how_much_it_sends(world: World, web: WebServer, cart: Cart) -> None:
    """An answer that ends with its connection may have been cut: what is missing is asked for again."""
    model = world.publish(1)
    web.lengths = False
    web.cuts["model.onnx"] = 120_000
    with pytest.raises(RepositoryUnreachableError, match="ended after 120000"):
        cart.fetch(model)

    assert cart.fetch(model).name == model.manifest
    assert artifact_bytes_sent(web) == ARTIFACT_BYTES


def test_a_part_that_a_power_cut_spoilt_is_downloaded_anew(world: World, web: WebServer, cart: Cart) -> None:
    """Half a file of zeros is no attack: the file is fetched once more, whole, in the same call."""
    model = world.publish(1)
    web.cuts["model.onnx"] = 120_000
    with pytest.raises(RepositoryUnreachableError):
        cart.fetch(model)
    part = max(cart.into(model.manifest).glob(".incomplete-*"), key=lambda path: path.stat().st_size)
    part.write_bytes(bytes(120_000))

    assert cart.fetch(model).name == model.manifest
    assert of_artifact(web) == [None, "bytes=120000-", None]


def test_a_part_that_is_too_long_is_downloaded_anew(world: World, web: WebServer, cart: Cart) -> None:
    """Whatever lies there, what comes out is the model."""
    model = world.publish(1)
    web.cuts["model.onnx"] = 120_000
    with pytest.raises(RepositoryUnreachableError):
        cart.fetch(model)
    part = max(cart.into(model.manifest).glob(".incomplete-*"), key=lambda path: path.stat().st_size)
    part.write_bytes(bytes(ARTIFACT_BYTES + 1))

    assert cart.fetch(model).name == model.manifest


def test_what_is_there_is_not_fetched_again(world: World, web: WebServer, cart: Cart) -> None:
    """A second call asks for metadata only, and mends a file that was damaged meanwhile."""
    model = world.publish(1)
    cart.fetch(model)
    web.sent_bytes.clear()
    cart.fetch(model)
    assert not any(path.startswith("/targets") for path in web.sent_bytes)

    (cart.into(model.manifest) / "golden" / "front.jpg").write_bytes(b"scratched")
    shutil.rmtree(cart.folder / "store")

    assert cart.fetch(model).name == model.manifest
    assert [path.rpartition(".")[2] for path in web.sent_bytes if path.startswith("/targets")] == ["jpg"]


@pytest.mark.parametrize("kbit_s", [100, 800])
def test_the_bandwidth_is_not_exceeded(world: World, make_cart: MakeCart, kbit_s: int) -> None:
    """In simulated time: all bytes take as long as they must, and no more than one piece longer."""
    model = world.publish(1)
    cart = make_cart(kbit_s=kbit_s)
    start_s = world.clock.monotonic_s()

    cart.fetch(model)

    took_s = world.clock.monotonic_s() - start_s
    metadata_bytes = sum(path.stat().st_size for path in (world.storage.folder / "metadata").iterdir())
    least_s = model.size_bytes / (kbit_s * 125)
    assert least_s <= took_s <= least_s + metadata_bytes / (kbit_s * 125) + 0.5


def test_a_fetch_stops_between_two_pieces_and_goes_on_later(world: World, web: WebServer) -> None:
    """A pause reaches a cart that is downloading, and what it has is kept."""
    model = world.publish(1)
    slow = Cart(world, web.url, kbit_s=100, name="slow")

    def look(*progress: int) -> None:
        slow.stopped = progress[0] > 100_000

    with pytest.raises(FetchStoppedError):
        slow.repository.fetch(
            model.digest,
            model.manifest,
            slow.into(model.manifest),
            on_progress=look,
            stop=lambda: slow.stopped,
        )
    assert not slow.has(model)
    slow.stopped = False

    assert slow.fetch(model).name == model.manifest
    assert len(of_artifact(web)) == 2
    assert of_artifact(web)[1] is not None
    slow.repository.close()


def test_a_server_that_is_down_is_tried_again_later(world: World, make_cart: MakeCart) -> None:
    """Nothing listens: that is no refusal."""
    model = world.publish(1)
    with WebServer(world.storage.folder).running() as web:
        url = web.url
    cart = Cart(world, url, name="other")

    with pytest.raises(RepositoryUnreachableError):
        cart.fetch(model)
    cart.repository.close()
    assert make_cart().fetch(model).name == model.manifest


@pytest.mark.parametrize("damage", [b"", b"\0" * 4000, b"{", b'{"signed": {}}'])
def test_a_spoilt_cache_is_fetched_again(world: World, cart: Cart, damage: bytes) -> None:
    """After a power cut any file of the cache may be empty or zeros; the cart comes back by itself."""
    cart.fetch(world.publish(1))
    model = world.publish(2)
    for path in (cart.folder / "repository" / "metadata").rglob("*.json"):
        if not path.is_symlink():
            path.write_bytes(damage)

    assert cart.fetch(model).name == model.manifest


def test_a_spoilt_floor_does_not_keep_a_cart_from_updates(world: World, cart: Cart) -> None:
    """What it remembered is gone; its cache still knows the versions."""
    cart.fetch(world.publish(1))
    model = world.publish(2)
    (cart.folder / "repository" / "floor.json").write_bytes(b"\0" * 100)

    assert cart.fetch(model).name == model.manifest


def test_one_process_has_the_folder(make_cart: MakeCart) -> None:
    """Two clients of one cache would spoil it for each other."""
    make_cart()

    with pytest.raises(RepositoryUnreachableError, match="another"):
        make_cart()


@pytest.mark.parametrize("url", ["ftp://host/x", "file:///etc", "host", "https://user:secret@host/"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    """A mistake in the settings shows at the start, and a password in it is not repeated."""
    with pytest.raises(RepositoryRefusedError) as raised:
        TufRepository(url, tmp_path / "root.json", tmp_path, bandwidth_kbit_s=None, clock=SystemClock())
    assert "secret" not in str(raised.value)


def test_without_a_trusted_root_nothing_begins(tmp_path: Path) -> None:
    """The cart was not given the file."""
    with pytest.raises(RepositoryRefusedError, match=r"root\.json"):
        TufRepository(
            "https://host/", tmp_path / "root.json", tmp_path, bandwidth_kbit_s=None, clock=SystemClock()
        )


@pytest.mark.parametrize(
    ("digest", "manifest"), [("../../etc/passwd", "0" * 64), ("0" * 16, "../x"), ("", "")]
)
def test_what_names_no_model_is_refused_unasked(
    web: WebServer, cart: Cart, digest: str, manifest: str
) -> None:
    """Names come from the network, too."""
    with pytest.raises(RepositoryRefusedError, match="name no model"):
        cart.repository.fetch(
            digest, manifest, cart.folder / "x", on_progress=lambda *_: None, stop=lambda: False
        )
    assert web.requests == []
