"""A cart that is killed at any moment of a plan's building, an activation or a boot comes back and sees."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.activation.store import read_offer
from fleet_agent.manifest import load_manifest
from tests.fleet_agent.activation.models import write_model
from tests.fleet_agent.worlds import wait_for

ROOT = Path(__file__).parents[3]
MODELS = {"a": (1, 2, 0), "b": (2, 0, 1), "c": (0, 2, 1)}
KILLS = 100
# A few draws come after the end of a shorter activation.
MOST_DRAWS = 2 * KILLS
KILLS_AT_BOOT = 20
KILLS_OF_REAL_BUILDS = 12


class Carts:
    """The process that forks carts, and what the last cart said."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.folder = folder
        write_model(folder / "base")
        for name, order in MODELS.items():
            write_model(folder / name, order=order)
        self._stderr = (folder / "stderr").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fleet_agent.activation.killed_cart", str(folder), backend],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            cwd=ROOT,
        )

    def live(self, during: str, at: int, *, deadly: str = "") -> dict[str, Any]:
        """Let one cart boot, and then work until a step; return all that it said, and its signal.

        A deadly network ends the process when it is loaded.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"during": during, "at": at, "models": list(MODELS), "deadly": deadly}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        said: dict[str, Any] = {"booted": None}
        for line in self._process.stdout:
            words = json.loads(line)
            if "source" in words:
                said["booted"] = words
            said |= words
            if "signal" in words:
                break
        assert deadly or said["booted"], (self.folder / "stderr").read_text()[-2000:]
        return said

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
        self._stderr.close()


@pytest.fixture
def carts(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Carts]:
    """Carts whose plans are copies, or real ones."""
    carts = Carts(tmp_path, getattr(request, "param", "copying"))
    yield carts
    carts.close()


def check_boot(booted: dict[str, Any], allowed: list[list[str | None]]) -> None:
    """Hold a boot after a kill to what is promised: old or new slots, right answers, nothing left over."""
    assert booted["right"]
    assert booted["fallbacks"] == []
    assert not booted["pending"]
    assert booted["leftovers"] == []
    assert booted["models"] in allowed
    assert booted["source"] == ("base" if booted["models"] == [None, None] else "current")


def rounds(carts: Carts, points: list[int]) -> list[list[str | None]]:
    """Kill an activation at each point; return the slots after each kill."""
    before: list[str | None] = [None, None]
    seen = []
    allowed = [before]
    for point in points:
        said = carts.live("activation", point)
        check_boot(said["booted"], allowed)
        before = said["booted"]["models"]
        seen.append(before)
        assert said["signal"] == 9
        # Old slots, or the ones after the switch: the model that was current is the last good one.
        new = {_name(carts.folder / name) for name in MODELS} - set(before)
        allowed = [before, *([name, before[0]] for name in new)]
    last = carts.live("boot", 0)
    check_boot(last["booted"], allowed)
    return [*seen, last["booted"]["models"]]


def test_a_hundred_kills_during_activation(carts: Carts) -> None:
    """At random file operations from first check to last clean-up: the old model serves, or the new one."""
    # The first activation fills an empty store; from the third on each drives a model out.
    for _ in range(3):
        whole = carts.live("activation", 0)
        assert whole["signal"] == 0
    operations = whole["operations"]
    assert operations > 60
    rng = random.Random(28)
    before = whole["models"]
    seen: list[list[str | None]] = []
    killed = 0
    # Fewer operations than in the whole run are possible: a plan that was finished is found again.
    while killed < KILLS and len(seen) < MOST_DRAWS:
        said = carts.live("activation", rng.randrange(1, operations + 1))
        new = {_name(carts.folder / name) for name in MODELS} - set(before)
        check_boot(said["booted"], [before, *([name, before[0]] for name in new)])
        before = said["booted"]["models"]
        seen.append(before)
        assert said["signal"] in {0, 9}
        killed += said["signal"] == 9
    assert killed == KILLS
    assert len({tuple(models) for models in seen}) >= 3
    last = carts.live("activation", 0)
    assert last["signal"] == 0
    assert last["models"] != before
    assert sorted(path.name for path in (carts.folder / "cart").iterdir()) == [
        "lock",
        "models",
        "plans",
        "slots.copy",
        "slots.json",
    ]
    wait_for(lambda: builders(carts.folder) == [])


def test_kills_at_every_other_step_of_the_first_activation(carts: Carts) -> None:
    """An empty store and a cart that never ran another model: the base model serves until the switch."""
    assert rounds(carts, list(range(1, 40, 4)))[0] == [None, None]


def test_kills_during_boot(carts: Carts) -> None:
    """A boot that is cut off does no harm to the next, whichever operation it was."""
    for _ in range(2):
        whole = carts.live("activation", 0)
    slots = whole["models"]
    operations = carts.live("boot", 0)["operations"]
    rng = random.Random(3)
    for _ in range(KILLS_AT_BOOT):
        said = carts.live("boot", rng.randrange(1, operations + 1))
        assert said["signal"] == 9
        check_boot(said["booted"], [slots])
    check_boot(carts.live("boot", 0)["booted"], [slots])


def test_a_model_that_kills_the_process_at_load_is_passed_over(carts: Carts) -> None:
    """Three real deaths in a row, and the fourth boot comes up on the last good model, as does the next."""
    for _ in range(2):
        current, last_good = carts.live("activation", 0)["models"]
    network = next(
        load_manifest(carts.folder / name).sha256 for name in MODELS if _name(carts.folder / name) == current
    )
    for _ in range(3):
        said = carts.live("boot", 0, deadly=network)
        assert (said["booted"], said["signal"]) == (None, 9)
    for _ in range(2):
        said = carts.live("boot", 0, deadly=network)
        assert said["signal"] == 0
        assert said["booted"]["source"] == "last_good"
        assert said["booted"]["right"]
        assert "3 boots in a row" in said["booted"]["fallbacks"][0]
    said = carts.live("activation", 0, deadly=network)
    assert said["models"][1] == last_good
    assert carts.live("boot", 0, deadly=network)["booted"]["source"] == "current"


@pytest.mark.parametrize("carts", ["real"], indirect=True)
def test_kills_during_real_builds(carts: Carts) -> None:
    """TensorRT for RTX builds the plan; the agent is killed at random steps, most of them of the build."""
    whole = carts.live("activation", 0)
    assert whole["signal"] == 0
    rng = random.Random(11)
    before = whole["models"]
    for _ in range(KILLS_OF_REAL_BUILDS):
        said = carts.live("activation", rng.randrange(whole["operations"] // 4, whole["operations"] + 1))
        new = {_name(carts.folder / name) for name in MODELS} - set(before)
        check_boot(said["booted"], [before, *([name, before[0]] for name in new)])
        before = said["booted"]["models"]
    assert carts.live("activation", 0)["signal"] == 0
    wait_for(lambda: builders(carts.folder) == [])


def builders(folder: Path) -> list[int]:
    """Return the processes that still build for a cart of this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if f"{folder}/cart/plans".encode() in command:
                found.append(int(entry.name))
    return found


def _name(folder: Path) -> str:
    return read_offer(folder).name
