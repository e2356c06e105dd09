"""A desk for each story."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet_control.api.desk import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Return an API that serves."""
    made = Desk(tmp_path / "tokens.toml")
    yield made
    assert made.server.close()
