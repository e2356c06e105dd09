"""Whatever a server sends, and however slowly, a fetch ends: by itself, and at once when it is told to."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tuf.api.exceptions import SlowRetrievalError

from fleet_agent.errors import FetchStoppedError, RepositoryRefusedError, RepositoryUnreachableError
from fleet_agent.updates.fetching import MAX_METADATA_BYTES, HttpFetcher
from fleet_agent.updates.receiving import MOST_AROUND_BYTES
from fleet_control.rollouts.ports import PublishedModel
from tests.fleet_agent.updates.hostile import (
    Drip,
    Evil,
    HostileServer,
    Send,
    certificate,
    dripping_body,
    dripping_header,
    endless_body,
    endless_chunk_sizes,
    endless_continues,
    endless_redirect,
    endless_trailers,
    moved,
)
from tests.repositories import Cart, WebServer, World

# What two machines hold between them of a connection, and of four that each answer led to.
IN_BUFFERS_BYTES = 40_000_000
ENDLESS = [endless_continues, endless_trailers, endless_chunk_sizes, endless_redirect]


@pytest.fixture
def server(world: World) -> Iterator[HostileServer]:
    """A server of the repository that can do evil."""
    with HostileServer(world.storage.folder).running() as hostile:
        yield hostile


@pytest.fixture
def victim(world: World, server: HostileServer) -> Iterator[Cart]:
    """A cart that asks it."""
    cart = Cart(world, server.url)
    yield cart
    cart.repository.close()


def failure(
    cart: Cart, model: PublishedModel, stop: Callable[[], bool] = lambda: False
) -> BaseException | None:
    """Fetch in a thread, which must end, and return what was raised."""
    raised: list[BaseException] = []

    def fetch() -> None:
        try:
            cart.repository.fetch(
                model.digest,
                model.manifest,
                cart.into(model.manifest),
                on_progress=lambda *_: None,
                stop=stop,
            )
        except BaseException as error:  # noqa: BLE001  # the story judges it
            raised.append(error)

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(30.0)
    assert not thread.is_alive(), "the fetch hangs"
    return raised[0] if raised else None


@pytest.mark.parametrize("at", ["timestamp.json", "model.onnx"])
@pytest.mark.parametrize("evil", ENDLESS)
def test_endless_data_around_the_content_is_given_up(
    world: World, server: HostileServer, victim: Cart, evil: Evil, at: str
) -> None:
    """Nothing of it is content, so no length was signed for it; the same cart fetches when it is over."""
    model = world.publish(1)
    server.evil, server.at = evil, at

    assert isinstance(failure(victim, model), RepositoryUnreachableError)
    assert server.sent_bytes < IN_BUFFERS_BYTES
    assert not victim.has(model)
    server.evil = None
    assert victim.fetch(model).name == model.manifest


def test_a_server_that_drips_its_headers_is_given_up(
    world: World, server: HostileServer, victim: Cart
) -> None:
    """Each byte comes within the time-out, and the headers would last a day."""
    model = world.publish(1)
    drip = Drip(world.clock, 2.0)
    server.evil = dripping_header(drip.pause)

    error = failure(victim, model, drip.look)

    assert isinstance(error, RepositoryUnreachableError)
    assert "no end of the headers" in str(error)


def test_a_server_that_drips_its_content_is_given_up(world: World, server: HostileServer) -> None:
    """Slow retrieval: each byte comes within the time-out, and all together would take a year."""
    drip, headers_came = Drip(world.clock, 30.0), threading.Event()
    server.evil = dripping_body(drip.pause)
    fetcher = HttpFetcher(clock=world.clock, timeout_s=60.0)
    fetcher.stop = lambda: headers_came.is_set() and drip.look()
    pieces = fetcher.fetch(f"{server.url}/metadata/timestamp.json")
    assert next(pieces) == b"x"
    headers_came.set()

    with pytest.raises(SlowRetrievalError, match="bytes in"):
        list(pieces)
    fetcher.close()


@pytest.mark.parametrize("at", ["timestamp.json", "model.onnx"])
@pytest.mark.parametrize("evil", [*ENDLESS, endless_body, "drip", "silence"])
def test_a_fetch_stops_whatever_the_server_sends(
    world: World, server: HostileServer, victim: Cart, evil: Evil | str, at: str
) -> None:
    """A cart that is to do something else does not wait for its server; later the same cart fetches."""
    model = world.publish(1)
    named: dict[object, Evil] = {
        "drip": dripping_header(lambda: server.ended.wait(0.01)),
        "silence": dripping_header(server.ended.wait),
    }
    server.evil, server.at = named.get(evil) or evil, at  # type: ignore[assignment]

    assert isinstance(failure(victim, model, server.began.is_set), FetchStoppedError)
    server.evil = None
    assert victim.fetch(model).name == model.manifest


def test_what_is_around_the_content_keeps_to_the_bandwidth(world: World, server: HostileServer) -> None:
    """In simulated time: trailers that nobody wants do not take the line from the cart's other work."""
    model = world.publish(1)
    slow = Cart(world, server.url, kbit_s=800)
    server.evil, server.at = endless_trailers, "model.onnx"
    start_s = world.clock.monotonic_s()

    assert isinstance(failure(slow, model), RepositoryUnreachableError)
    assert world.clock.monotonic_s() - start_s >= MOST_AROUND_BYTES / 100_000
    slow.repository.close()


def test_a_stolen_timestamp_key_does_not_fill_a_disk(world: World, web: WebServer, cart: Cart) -> None:
    """The forged timestamp gives the snapshot ten terabytes, and the server sends them."""
    model = world.publish(1)

    def edit(timestamp: Any) -> None:
        timestamp.version += 1
        timestamp.snapshot_meta.version += 1
        timestamp.snapshot_meta.length = 10**13
        timestamp.snapshot_meta.hashes = None

    snapshot = "/metadata/3.snapshot.json"
    web.replaced = {
        "/metadata/timestamp.json": world.forged("timestamp.json", edit),
        snapshot: b"{",
    }
    web.endless = (snapshot,)

    def too_much() -> bool:
        return web.sent_bytes.get(snapshot, 0) > MAX_METADATA_BYTES + IN_BUFFERS_BYTES

    error = failure(cart, model, too_much)

    assert isinstance(error, RepositoryRefusedError)
    assert f"more than {MAX_METADATA_BYTES} bytes" in str(error)
    web.replaced, web.endless = {}, ()
    world.publish(2)
    newer = world.publish(3)  # above the thief's version
    assert cart.fetch(newer).name == newer.manifest


def long_number(send: Send, _path: str) -> None:
    """Announce a body whose length has 5,000 digits."""
    send(b"HTTP/1.1 200 OK\r\ncontent-length: " + b"9" * 5_000 + b"\r\n\r\nx")


def long_range(send: Send, _path: str) -> None:
    """Begin at a byte whose number has 5,000 digits."""
    send(b"HTTP/1.1 206 Partial\r\ncontent-range: bytes " + b"9" * 5_000 + b"-9/9\r\n\r\nx")


@pytest.mark.parametrize("evil", [long_number, long_range])
def test_numbers_of_thousands_of_digits_are_no_fault_of_ours(
    world: World, server: HostileServer, victim: Cart, evil: Evil
) -> None:
    """Python raises an error of its own when it reads them: the cart's errors are two."""
    model = world.publish(1)
    server.evil, server.at = evil, "model.onnx"

    assert isinstance(failure(victim, model), RepositoryUnreachableError)


@pytest.mark.parametrize(
    "to", ["http://[::1", "//[", "http://", "http://h:9999999/", "http://a%00b/", "ftp://h/", "file:///etc"]
)
def test_an_answer_that_leads_to_no_address_is_no_fault_of_ours(
    world: World, server: HostileServer, victim: Cart, to: str
) -> None:
    """Addresses come from the server, too, and parsers have errors of their own."""
    model = world.publish(1)
    server.evil = moved(to)

    assert isinstance(failure(victim, model), RepositoryUnreachableError)


def test_a_repository_that_has_moved_is_followed(
    world: World, web: WebServer, server: HostileServer, victim: Cart
) -> None:
    """A bucket's address leads to another host, and what is there is as signed as before."""
    model = world.publish(1)
    server.evil = moved(f"{web.url}PATH")

    assert victim.fetch(model).name == model.manifest


def test_what_comes_encrypted_is_watched_as_well(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TLS: a fetch that stops, one that is given up, and one that brings the model."""
    tls = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[0]))
    model = world.publish(1)
    with HostileServer(world.storage.folder, tls).running() as server:
        cart = Cart(world, server.url)
        server.evil = dripping_header(server.ended.wait)
        assert isinstance(failure(cart, model, server.began.is_set), FetchStoppedError)
        server.evil = endless_trailers
        assert isinstance(failure(cart, model), RepositoryUnreachableError)
        server.evil = None

        assert cart.fetch(model).name == model.manifest
        cart.repository.close()
