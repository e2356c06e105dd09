"""A cart that loses power at any moment of an update comes up with a working model, and gets there."""

import json
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet_protocol.messages import Update, decode_message
from tests.fleet_agent.activation.models import write_model
from tests.fleet_agent.updates.carts import digest_of
from tests.fleet_agent.worlds import CART, STORE

ROOT = Path(__file__).parents[3]
MODELS = {"base": (0, 1, 2), "a": (1, 2, 0), "b": (2, 0, 1)}
# Power cuts in all; a slow run asks for more of them.
KILLS = int(os.environ.get("CARTWRIGHT_UPDATE_KILLS", "30"))
# In one try: more would be a loop, or crashes in probation, which the cart ends by itself.
KILLS_OF_A_TRY = 2


class Carts:
    """The process that forks carts, and what the last cart said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, order in MODELS.items():
            write_model(folder / "models" / name, order=order)
        self._stderr = (folder / "stderr").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fleet_agent.updates.killed_update", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            cwd=ROOT,
        )

    def live(self, model: str, attempt: int, at: int) -> dict[str, Any]:
        """Let one cart do what the cloud asks until a step (0: to the end); return all that it said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"model": model, "attempt": attempt, "at": at}) + "\n")
        self._process.stdin.flush()
        said: dict[str, Any] = {}
        for line in self._process.stdout:
            said |= json.loads(line)
            if "signal" in said:
                break
        assert "signal" in said, (self.folder / "stderr").read_text()[-2000:]
        return said

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
        self._stderr.close()

    def reports(self) -> list[Update]:
        """Return all that was told, in order: it is in the spool still."""
        database = sqlite3.connect(self.folder / "cart" / "spool.db")
        rows = database.execute("SELECT payload FROM messages WHERE channel = 'upd' ORDER BY id").fetchall()
        database.close()
        topic = f"fleet/v1/{STORE}/{CART}/upd"
        decoded = [decode_message(topic, payload).message for (payload,) in rows]
        return [message for message in decoded if isinstance(message, Update)]


@pytest.fixture
def carts(tmp_path: Path) -> Iterator[Carts]:
    """Carts over one folder."""
    carts = Carts(tmp_path)
    yield carts
    carts.close()


def test_power_cuts_at_any_moment_of_an_update(carts: Carts) -> None:
    """At random file operations of any thread: each start works, and each update ends committed."""
    rng = random.Random(2611)
    digests = {name: digest_of(carts.folder / "models" / name) for name in MODELS}
    running, killed, attempt, operations = "base", 0, 0, 0
    opened: dict[str, str] = {}
    while killed < KILLS:
        attempt += 1
        target = "a" if running == "b" else "b"
        points = [rng.randrange(1, operations + 1) for _ in range(KILLS_OF_A_TRY)] if operations else []
        for point in (*points, 0):
            said = carts.live(target, attempt, point)
            killed += said["signal"] == 9
            if "opened" in said:
                assert (said["right"], said["fallbacks"]) == (True, [])
                assert said["opened"] in (digests[running], digests[target])
                opened[said.get("boot", "")] = said["opened"]
        assert (said["signal"], said["state"], said["reason"]) == (0, "COMMITTED", "")
        assert said["runs"] == digests[target]
        running, operations = target, operations or said["operations"]
    check_reports(carts.reports(), opened)


def check_reports(reports: list[Update], opened: dict[str, str]) -> None:
    """Hold what was told to what ran: the right digest in every message, and steps that rise."""
    last: tuple[int, int] = (0, 0)
    live: dict[str, str] = {}
    for report in reports:
        assert (report.attempt, report.step) > last
        last = (report.attempt, report.step)
        if report.state in ("PROBATION", "COMMITTED"):
            live[report.boot] = str(report.target)
        if report.boot in opened:
            runs = {live.get(report.boot, opened[report.boot])}
            if report.state == "STAGED":
                # While this is being said the model may go live, and a report says what runs by then.
                runs.add(str(report.target))
            assert report.model in runs
        assert report.state != "ROLLED_BACK"
    assert reports[-1].state == "COMMITTED"
