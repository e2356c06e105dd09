"""Controllers that die at any moment, two at once, and nothing is lost or doubled."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# A slow run sets more: 300 and above.
KILLS = int(os.environ.get("CARTWRIGHT_CONTROLLER_KILLS", "40"))


def killed(address: str, seed: int) -> dict[str, Any]:
    """Kill controllers in a process of their own, which forks; returns what was found."""
    module = "tests.fleet_control.rollouts.killed_controller"
    done = subprocess.run(
        [sys.executable, "-m", module, address, str(KILLS), str(seed)],
        capture_output=True,
        text=True,
        timeout=170 if KILLS <= 100 else 3_000,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _check(found: dict[str, Any]) -> None:
    assert found["wrong"] == []
    assert found["kills"] == KILLS
    assert found["entries"] > KILLS // 4
    assert found["actions"]["pause"] > 0
    assert found["actions"].get("told while paused", 0) == 0


@pytest.mark.end_to_end
def test_nothing_is_lost_or_doubled_when_controllers_are_killed(tmp_path: Path) -> None:
    """SIGKILL at random moments, on SQLite: the log is whole, its fold is the state, and pauses stick."""
    _check(killed(f"sqlite:///{tmp_path}/rollouts.db", 3))


@pytest.mark.end_to_end
@pytest.mark.postgresql
def test_nothing_is_lost_or_doubled_on_postgresql_either(postgresql_database: str) -> None:
    """The same where several machines would share a database."""
    _check(killed(postgresql_database, 5))
