"""A repository, its server and a cart; and carts that are asked to run another model."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.transport_memory import MemoryCloud
from fleet_agent.updates.repository_folder import FolderRepository
from tests.fleet_agent.activation.models import network, swap_network, write_model
from tests.fleet_agent.updates.carts import UpdatedCart, name_of
from tests.repositories import Cart, WebServer, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A new repository."""
    return World(tmp_path)


@pytest.fixture
def web(world: World) -> Iterator[WebServer]:
    """A server of it."""
    with WebServer(world.storage.folder).running() as server:
        yield server


@pytest.fixture
def make_cart(world: World, web: WebServer) -> Iterator[Callable[..., Cart]]:
    """Make carts, which are closed at the end."""
    with ExitStack() as stack:

        def make(**options: Any) -> Cart:
            cart = Cart(world, web.url, **options)
            stack.callback(cart.repository.close)
            return cart

        yield make


@pytest.fixture
def cart(make_cart: Callable[..., Cart]) -> Cart:
    """One cart."""
    return make_cart()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The shipped model, two good ones whose classes are in another order, and one that sees other things."""
    folder = tmp_path_factory.mktemp("models")
    made = {
        "base": write_model(folder / "base"),
        "new": write_model(folder / "new", order=(2, 0, 1)),
        "third": write_model(folder / "third", order=(1, 2, 0)),
        "wrong": write_model(folder / "wrong", order=(0, 2, 1), version="t9"),
    }
    swap_network(made["wrong"], network((1, 0, 2)))
    return made


@pytest.fixture
def repository(models: dict[str, Path]) -> FolderRepository:
    """Serves all of them, in small pieces."""
    return FolderRepository({name_of(path): path for path in models.values()}, piece_bytes=256)


@pytest.fixture
def start(
    tmp_path: Path, models: dict[str, Path], repository: FolderRepository
) -> Iterator[Callable[..., UpdatedCart]]:
    """Start runs of one cart; end those that a story has not ended."""
    cloud, runs = MemoryCloud(), list[UpdatedCart]()

    def make(**changes: Any) -> UpdatedCart:
        for run in runs:
            run.stop()
        runs.append(UpdatedCart(tmp_path / "cart", models["base"], repository, cloud, **changes))
        return runs[-1]

    yield make
    for run in runs:
        run.stop()
