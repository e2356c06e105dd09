"""Stories about a cart whose fetch hangs where nothing can stop it."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.ports import SystemClock
from fleet_agent.updates.happened import Asked
from fleet_agent.updates.lifecycle import reduce
from fleet_agent.updates.record import Record
from fleet_agent.updates.repository import TufRepository
from fleet_agent.updates.repository_folder import FolderRepository
from fleet_protocol.rollouts import Desired
from tests.fleet_agent.updates.carts import UpdatedCart, digest_of, name_of
from tests.fleet_agent.worlds import wait_for
from tests.repositories import World

Start = Callable[..., UpdatedCart]


class Hung:
    """The real way to a server that takes connections and never says a word, not even of TLS.

    Args:
        world: Whose root the cart trusts.
    """

    def __init__(self, world: World) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._taken: list[socket.socket] = []
        self._repository = TufRepository(
            f"https://127.0.0.1:{self._listener.getsockname()[1]}",
            root=world.folder / "keys" / "trusted-root.json",
            folder=world.folder / "hung",
            bandwidth_kbit_s=None,
            clock=SystemClock(),
            timeout_s=3_600.0,
        )
        self.fetches = 0
        self.ended = threading.Event()

    def fetch(self, *args: Any, **kwargs: Any) -> Path:
        """Fetch, for an hour or until the server goes."""
        self.fetches += 1
        try:
            return self._repository.fetch(*args, **kwargs)
        finally:
            self.ended.set()

    def connected(self) -> None:
        """Wait until the cart is connected."""
        self._taken.append(self._listener.accept()[0])

    def go(self) -> None:
        """Let the server go."""
        for connection in (*self._taken, self._listener):
            connection.close()

    def close(self) -> None:
        """Give back what is held."""
        self.go()
        self._repository.close()


@pytest.fixture
def hung(world: World) -> Iterator[Hung]:
    """A server that hangs, until the story is over at the latest."""
    hung = Hung(world)
    yield hung
    hung.close()


def test_a_rollback_to_a_kept_model_does_not_wait_for_a_fetch_that_hangs(
    start: Start,
    models: dict[str, Path],
    repository: FolderRepository,
    hung: Hung,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A handshake cannot be stopped, so the fetch is left behind, and the model before goes live."""
    cart = start()
    cart.desire(models["new"], 1)
    cart.permit()
    cart.wait("COMMITTED")
    cart.desire(models["third"], 2, attempt=2)
    wait_for(lambda: cart.runs == digest_of(models["third"]))
    cart.wait("COMMITTED")
    monkeypatch.setattr(repository, "fetch", hung.fetch)
    cart.desire(models["wrong"], 3, attempt=3)
    hung.connected()
    cart.desire(models["new"], 4, rollout=None)
    wait_for(lambda: cart.runs == digest_of(models["new"]))
    cart.wait("COMMITTED")
    assert not hung.ended.is_set()
    hung.go()
    cart.stop()
    assert hung.fetches == 1


def test_a_model_that_is_not_kept_waits_for_a_fetch_that_hangs(
    start: Start,
    models: dict[str, Path],
    repository: FolderRepository,
    hung: Hung,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Never two fetches at once; when the first has ended the newest order is carried out, and at once."""
    monkeypatch.setattr("fleet_agent.updates.way.FIRST_RETRY_S", 36_000.0)
    monkeypatch.setattr("fleet_agent.updates.way.LONGEST_RETRY_S", 36_000.0)
    fetch = repository.fetch
    monkeypatch.setattr(repository, "fetch", hung.fetch)
    cart = start()
    cart.desire(models["wrong"], 1)
    cart.permit()
    hung.connected()
    cart.desire(models["new"], 2, attempt=2)
    wait_for(lambda: cart.telemetry.totals().counters.get("update_unreachable", 0) == 1)
    assert (hung.fetches, hung.ended.is_set()) == (1, False)
    monkeypatch.setattr(repository, "fetch", fetch)
    hung.go()
    cart.wait("COMMITTED")
    assert cart.runs == digest_of(models["new"])


def test_what_a_fetch_that_hangs_wrote_is_deleted_when_it_has_ended(
    start: Start,
    models: dict[str, Path],
    repository: FolderRepository,
    hung: Hung,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not under its feet, and not only with the next update."""
    monkeypatch.setattr(repository, "fetch", hung.fetch)
    cart = start()
    cart.desire(models["wrong"], 1)
    cart.permit()
    hung.connected()
    left, other = (cart.store.folder / "updates" / name_of(models[name]) for name in ("wrong", "third"))
    left.mkdir()  # as if a part of it had come
    other.mkdir()
    cart.permit(2, "ended")
    wait_for(lambda: not other.exists())
    assert left.exists()
    hung.go()
    wait_for(lambda: not left.exists())
    assert cart.updater.record.state == "IDLE"


def test_a_stop_during_the_updaters_turn_begins_no_fetch(start: Start) -> None:
    """The turn goes on after the stop was told, and nobody would tell its job to end."""
    cart = start()
    way = cart.updater._way
    cart.stop()
    order = Desired(generation=1, model="b" * 16, manifest="b" * 64)
    way.begin_stop()
    way.go_on(reduce(Record(), Asked(order, "a" * 64)), "fetch")
    assert not way.works
    assert way.join(0.0)
