"""A repository, its server and a cart."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

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
