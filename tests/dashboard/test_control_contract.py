"""The page's client against the real control API: every question, every command, over real HTTP."""

from collections.abc import Iterator

import pytest

from dashboard.errors import SourceRefusedError
from dashboard.orders import Draft, Outcome, carry_out
from dashboard.sources.control import ControlSource
from dashboard.sources.control_opening import TOKEN_VARIABLE, open_control
from dashboard.view_models.plan_form import GATES, STAGES, PlanForm, plan_of_form
from tests.fleet_control.api.desk import Desk
from tests.fleet_control.rollouts.worlds import MODEL


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A control API on doubles of the fleet."""
    made = Desk(tmp_path_factory.mktemp("desk") / "tokens.toml")
    yield made
    assert made.server.close()


@pytest.fixture
def owner(desk: Desk) -> ControlSource:
    """The dashboard, with an owner logged in, and a controller without rollouts behind the API."""
    desk.new_scene()
    return opened(desk, "olga@example.com")


def opened(desk: Desk, person: str | None) -> ControlSource:
    """Open the API as the dashboard does."""
    return open_control(desk.server.url, person, {TOKEN_VARIABLE: desk.tokens["dashboard"]})


def test_a_rollout_from_the_form_to_its_rollback(desk: Desk, owner: ControlSource) -> None:
    """What the form makes is checked, created, started, read, stopped and rolled back."""
    plan = plan_of_form(PlanForm("autumn", "Autumn", MODEL, STAGES, GATES))
    preview = owner.preview(plan)
    made = owner.create(plan, "key-create-1", "as agreed, café")
    again = owner.create(plan, "key-create-1", "as agreed, café")
    start = Draft(made, "start")
    carry_out(start, owner, "")
    desk.scene.arm()
    desk.scene.turn(2)
    rollout = owner.rollout("autumn")

    assert preview.problems == ()
    assert sum(stage.carts for stage in preview.stages) == preview.carts == 24
    assert again.version == made.version
    assert start.outcome is Outcome.DONE
    assert rollout.status == "running"
    assert rollout.stages[0].planned == "10 %"
    assert rollout.plan["gates"][0]["margin"] == 0.01
    assert [r.id for r in owner.rollouts()] == ["autumn"]
    assert owner.evidence("autumn").gates is not None

    carts = owner.carts("autumn", (), None, "", 2)
    entries = owner.log("autumn", 0, 500).entries
    assert carts.next == carts.carts[-1].cart
    done = owner.carts("autumn", ("done", "failed"), None, "", 50).carts
    assert {cart.running for cart in done} == {MODEL}
    assert owner.carts("autumn", ("done",), done[0].store, "", 50).carts[0].store == done[0].store
    assert entries[-1].number == rollout.version
    assert all(entry.text for entry in entries)

    pause = Draft(owner.rollout("autumn"), "pause")
    carry_out(pause, owner, "wrong labels")
    back = Draft(owner.rollout("autumn"), "roll_back")
    carry_out(back, owner, "wrong labels")
    commands = owner.audit("autumn", 10)

    assert pause.consequences
    assert (pause.outcome, back.outcome) == (Outcome.DONE, Outcome.DONE)
    assert [c.action for c in commands] == ["roll_back", "pause", "start", "create"]
    assert {c.actor for c in commands} == {"olga@example.com"}
    assert commands[-1].reason == "as agreed, café"


def test_roles_of_people_hold(desk: Desk, owner: ControlSource) -> None:
    """An on-call engineer and a stranger are who they are, whatever the dashboard's token may do."""
    plan = plan_of_form(PlanForm("autumn", "", MODEL, STAGES, GATES))
    made = owner.create(plan, "key-create-2", "")
    on_call, stranger = opened(desk, "ann@example.com"), opened(desk, "eve@example.com")
    start = Draft(on_call.rollout(made.id), "start")
    carry_out(start, on_call, "")

    assert (owner.me().role, on_call.me().role, stranger.me().role) == ("rollout_owner", "on_call", "viewer")
    assert start.outcome is Outcome.REFUSED
    assert "rollout owner" in start.said
    assert not any(choice.allowed for choice in stranger.rollout(made.id).choices)
    with pytest.raises(SourceRefusedError):
        stranger.create({**plan, "rollout": "spring"}, "key-create-3", "")


def test_what_changed_meanwhile_is_found_out(desk: Desk, owner: ControlSource) -> None:
    """The rollout was paused by somebody else: a promotion that was asked for before is not carried out."""
    plan = plan_of_form(PlanForm("autumn", "", MODEL, STAGES, GATES))
    owner.create(plan, "key-create-4", "")
    carry_out(Draft(owner.rollout("autumn"), "start"), owner, "")
    desk.scene.arm()
    desk.scene.turn(2)
    promote = Draft(owner.rollout("autumn"), "promote")
    carry_out(Draft(owner.rollout("autumn"), "pause"), owner, "")
    carry_out(promote, owner, "looks good")

    assert promote.outcome is Outcome.CHANGED
    assert owner.rollout("autumn").status == "paused"


def test_fleet_and_registry_fill_the_form(owner: ControlSource) -> None:
    """Carts with their labels, and models with their names."""
    assert {cart.store for cart in owner.fleet()}
    assert {model.digest for model in owner.models()} >= {MODEL}


@pytest.mark.parametrize("changes", [{"rollout": "../x"}, {"stages": []}, {"surprise": 1}])
def test_bad_plans_come_back_as_sentences(owner: ControlSource, changes: dict[str, object]) -> None:
    """The API says what is wrong, in words that the page shows."""
    plan = {**plan_of_form(PlanForm("autumn", "", MODEL, STAGES, GATES)), **changes}

    with pytest.raises(SourceRefusedError) as caught:
        owner.preview(plan)

    assert len(caught.value.sentence) > 10
