"""A repository in simulated time."""

from pathlib import Path

import pytest

from tests.fleet_control.registry.commands import Commands
from tests.repositories import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A new repository."""
    return World(tmp_path)


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """A new repository, begun from the command line."""
    commands = Commands(tmp_path)
    assert commands.run("init", "--root-keys", 3, "--root-threshold", 2) == 0
    return commands
