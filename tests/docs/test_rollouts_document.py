"""The plans in the document of rollouts are plans, and name what the demo has."""

import re
from pathlib import Path

import msgspec
import pytest

import fleet_agent
from fleet_control.registry.model import read_model
from fleet_control.rollouts.plan_text import parse_plan
from fleet_control.rollouts.states import Action, RolloutStatus, StageStatus
from fleet_control.rollouts_cli.parser import parser
from tests.fleet_control.rollouts.scene import Scene
from tests.fleet_control.rollouts.worlds import MODEL

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "rollouts.md").read_text(encoding="utf-8")
API = (ROOT / "docs" / "control_api.md").read_text(encoding="utf-8")
PLANS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("document", PLANS, ids=("by-hand", "autumn"))
def test_a_plan_that_is_copied_from_the_page_is_one(document: str) -> None:
    """It is read as it stands, and its model is the v2 that the demo publishes."""
    plan = parse_plan(document)

    assert plan.model == read_model(Path(fleet_agent.__file__).parent / "models" / "v2").manifest.digest


def test_the_plan_by_hand_goes_as_the_page_says() -> None:
    """It waits for one approval, and ends by itself."""
    scene = Scene()
    tree = {**msgspec.to_builtins(parse_plan(PLANS[0])), "rollout": "autumn", "model": MODEL}
    scene.create(**tree)
    scene.arm()
    waits = scene.turn(6, 30)

    scene.act(Action.APPROVE)
    ended = scene.turn(8, 30)

    assert (waits.current, waits.stages[0].status) == (0, StageStatus.HOLDING)
    assert ended.status is RolloutStatus.COMPLETED


def test_every_command_on_the_pages_is_understood() -> None:
    """Commands are copied from the page, too."""
    found = re.findall(r"^cartwright rollouts ([^#|\n]+)", TEXT + API, re.MULTILINE)

    assert len(found) > 10
    for command in found:
        parser().parse_args(command.split())


def test_no_link_has_an_empty_place_to_go_on() -> None:
    """The API refuses `after=` with nothing behind it."""
    assert not re.search(r"(after|limit)=(&|`)", API.replace("as `after=`", ""))
