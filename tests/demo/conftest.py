"""Fixtures of the demo's tests: a small world and clocks that tests move."""

import pytest

from demo.world.settings import World, WorldSettings

# A Wednesday noon in winter.
EPOCH_MS = 1_764_763_200_000


@pytest.fixture
def world() -> World:
    """Return two stores with two carts each and three days of history."""
    return World(WorldSettings(seed=3, stores=2, carts_per_store=2, history_days=3, epoch_ms=EPOCH_MS))
