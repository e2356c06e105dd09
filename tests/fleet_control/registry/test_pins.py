"""Who needs a model is told to whoever would retire it."""

from pathlib import Path

import pytest

from fleet_control.registry.pins import Pins
from fleet_control.registry.storage import FolderStorage
from tests.fleet_control.registry.commands import Commands
from tests.repositories import World, write_model

OLD, NEW = "a" * 16, "b" * 16


def test_an_owner_lists_all_its_holders_at_once(world: World) -> None:
    """One that is not named any more lets go, also of what an earlier version wrote; others' pins stay."""
    pins = Pins(world.storage)
    pins.pin("somebody", [OLD])
    pins.pin("rollouts of others", [OLD])
    pins.pin("rollouts", [NEW])

    pins.pin_all("rollouts", {"autumn": [OLD, NEW], "winter": [NEW], "idle": []})
    assert pins.holders(NEW) == ("rollouts: autumn", "rollouts: winter")

    pins.pin_all("rollouts", {"winter": [NEW]})
    assert pins.holders(NEW) == ("rollouts: winter",)
    assert pins.holders(OLD) == ("rollouts of others", "somebody")


def test_the_list_and_a_refusal_name_the_rollouts(
    commands: Commands, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So one knows whom to ask."""
    assert commands.run("publish", write_model(tmp_path / "model", 1)) == 0
    digest = capsys.readouterr().out.splitlines()[-1].split()[0]
    Pins(FolderStorage(commands.repository)).pin_all(
        "rollouts", {"autumn": [digest], "what carts run": [digest]}
    )

    assert commands.run("list") == 0
    assert "pinned by rollouts: autumn, rollouts: what carts run" in capsys.readouterr().out
    assert commands.run("retire", digest) == 1
    assert "needed by rollouts: autumn, rollouts: what carts run" in capsys.readouterr().err
