"""The show of rollouts: its plans, its repository and tokens, and shoppers who hurry."""

import json
import stat
from pathlib import Path

import pytest

from demo.carts.rush import FACTOR, LOOK_S, Pace, Rush
from demo.data_dir import DataDir
from demo.rollout.cli import main
from demo.rollout.plans import SHOWS, plan_of
from demo.rollout.prepare import VERSIONS, prepare
from fleet_control.api.access import AccessFile
from fleet_control.registry.keys import KeyRing
from fleet_control.registry.publisher import Publisher
from fleet_control.registry.storage import FolderStorage
from fleet_control.rollouts import plan_text
from fleet_control.rollouts.membership import draw_stage, ordered
from fleet_control.rollouts.preview import LEAST_PAIRS
from fleet_control.rollouts.states import Role
from tests.fleet_control.rollouts.worlds import candidates

NOW_S = 1_800_000_000.0


@pytest.mark.parametrize("show", sorted(SHOWS))
def test_the_plans_are_plans_and_have_pairs_enough_to_prove_something(show: str) -> None:
    """What the demo creates is what the reader of plans accepts; 24 carts give enough pairs."""
    tree = plan_of(SHOWS[show], "b" * 16, "a" * 16, 3, 360)
    plan = plan_text.plan_of(tree)
    assert plan.rollout == f"demo-{show}-3"
    target = ordered("seed", candidates(4, 6))
    draw = draw_stage("seed", plan.stages[0], target, ())
    assert len(draw.pairs) >= LEAST_PAIRS


def test_the_repository_and_the_tokens_are_made_once(tmp_path: Path) -> None:
    """A second start changes neither tokens nor models, and no secret is readable by others."""
    data = DataDir(tmp_path)
    assert prepare(data, NOW_S) == "3 models published"
    tokens = [data.owner_token.read_text(), data.dashboard_token.read_text()]
    assert prepare(data, NOW_S) == "3 models published"
    assert [data.owner_token.read_text(), data.dashboard_token.read_text()] == tokens
    for secret in (data.owner_token, data.dashboard_token, data.tokens):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    published = Publisher(FolderStorage(data.repository), KeyRing([data.keys])).models()
    assert {model.version for model in published} == set(VERSIONS)
    caller = AccessFile(data.tokens, lambda: NOW_S).caller(tokens[0].strip(), None)
    assert (caller.name, caller.role) == ("demo", Role.OWNER)


def test_shoppers_hurry_while_a_show_runs_and_never_longer(tmp_path: Path) -> None:
    """The file says until when; a show that was killed ends by itself."""
    now = [NOW_S]
    rush = Rush(tmp_path / "rush.json", lambda: now[0])
    assert not rush.on()
    with rush.lasting(60.0):
        assert rush.on()
        now[0] += 61.0
        assert not rush.on()
    assert not rush.path.exists()
    rush.path.write_text("{broken")
    assert not rush.on()


def test_the_pace_is_looked_up_now_and_then(tmp_path: Path) -> None:
    """Not for every movement, and soon enough."""
    seconds = [0.0]
    rush = Rush(tmp_path / "rush.json", lambda: NOW_S)
    pace = Pace(rush, lambda: seconds[0])
    assert pace() == 1.0
    with rush.lasting(60.0):
        assert pace() == 1.0
        seconds[0] += LOOK_S
        assert pace() == 1.0 / FACTOR


@pytest.mark.parametrize("content", [None, "{", json.dumps({"control": "http://x", "all_up": False})])
def test_without_a_demo_that_is_up_the_show_says_what_to_do(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence names the folder and the command."""
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    assert main(["rollout", "bad", "--data-dir", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "cartwright up" in said
    assert str(tmp_path) in said
