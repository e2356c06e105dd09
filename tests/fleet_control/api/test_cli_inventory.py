"""Stories about what a plan can name: models, stores and labels."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from fleet_control.rollouts_cli import inventory
from fleet_control.rollouts_cli.reading import READ
from tests.fleet_control.api.desk import Desk
from tests.fleet_control.api.terminal import PLAN, client, run
from tests.fleet_control.rollouts.worlds import BASELINE, MODEL


@pytest.mark.end_to_end
def test_models_and_fleet_are_listed_as_a_plan_names_them(desk: Desk) -> None:
    """Whoever writes a plan copies digest, store, hardware and label from there."""
    fleet = desk.scene.fleet
    fleet.see([replace(fleet.carts()["s002-c01"], labels={"ring": "early", "floor": "1"})])
    desk.scene.offline("s001-c01")

    models, carts = run(desk, "models", who="viewer"), run(desk, "fleet", who="viewer")

    assert [line.split()[:3] for line in models.stdout.splitlines()] == [
        ["DIGEST", "NAME", "VERSION"],
        [MODEL, "grocery", "v2"],
        [BASELINE, "grocery", "v1"],
    ]
    assert "1970-01-01 00:00:00Z" in models.stdout
    assert [line.split(maxsplit=4) for line in carts.stdout.splitlines()[:4]] == [
        ["STORE", "HARDWARE", "CARTS", "ONLINE", "LABELS"],
        ["s001", "jetson", "6", "5", "-"],
        ["s002", "jetson", "5", "5", "-"],
        ["s002", "jetson", "1", "1", "floor: 1, ring: early"],
    ]
    assert carts.stdout.splitlines()[-1] == "24 carts in 4 stores."


def test_a_fleet_of_many_pages_is_counted_whole(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages go on where the last one ended."""
    monkeypatch.setattr("fleet_control.rollouts_cli.reading._FLEET_PAGE", 7)
    answer, text = READ["fleet"](client(desk, "viewer"), Namespace(), 100)

    assert len({cart["cart"] for cart in answer["carts"]}) == len(answer["carts"]) == 24
    assert text.endswith("24 carts in 4 stores.")


def test_nothing_is_said_to_be_nothing() -> None:
    """Before the first model and the first cart."""
    assert inventory.models({"models": []}).startswith("No model is published")
    assert inventory.fleet({"carts": []}) == "No cart has ever been seen."
    one = {"store": "s1", "hardware": "jetson", "labels": {}, "online": False}
    assert inventory.fleet({"carts": [one]}).endswith("\n1 cart in 1 store.")


@pytest.mark.end_to_end
@pytest.mark.parametrize(
    ("wrong", "command", "silent"),
    [
        (f"model: {'c' * 16}", "models", "fleet"),
        ("model: v2", "models", "fleet"),
        (f"model: {MODEL}\ntarget: {{stores: [s009]}}", "fleet", "models"),
        (f"model: {MODEL}\ntarget: {{labels: {{ring: [early]}}}}", "fleet", "models"),
    ],
)
def test_an_error_about_a_model_or_a_place_says_where_to_look_it_up(
    desk: Desk, tmp_path: Path, wrong: str, command: str, silent: str
) -> None:
    """Created or only tried: the same help, and nothing is created."""
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN.replace(f"model: {MODEL}", f"baseline: {BASELINE}\n{wrong}"))

    created = run(desk, "create", str(plan))
    tried = run(desk, "create", str(plan), "--dry-run")

    assert (created.returncode, tried.returncode) == (1, 1)
    for said in (created.stderr, tried.stdout + tried.stderr):
        assert f"`cartwright rollouts {command}`" in said
        assert f"cartwright rollouts {silent}" not in said
    assert desk.get("/v1/rollouts")["rollouts"] == []
