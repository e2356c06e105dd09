"""A repository in simulated time."""

from pathlib import Path

import pytest

from tests.repositories import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A new repository."""
    return World(tmp_path)
