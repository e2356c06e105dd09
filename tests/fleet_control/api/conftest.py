"""One API for all stories, with another controller behind it in each; and one that a story may spoil."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet_control.api.desk import NOW_S, Desk


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Return an API that serves all stories."""
    made = Desk(tmp_path_factory.mktemp("desk") / "tokens.toml")
    yield made
    assert made.server.close()


@pytest.fixture
def desk(served: Desk) -> Desk:
    """Return an API with a new controller behind it."""
    served.now_s = NOW_S
    served.new_scene()
    return served


@pytest.fixture
def own_desk(tmp_path: Path) -> Iterator[Desk]:
    """Return an API whose tokens file belongs to the story."""
    made = Desk(tmp_path / "tokens.toml")
    yield made
    assert made.server.close()
