"""Stories of the Rollouts page on simulated rollouts, through Streamlit's AppTest."""

from collections.abc import Callable
from datetime import UTC, datetime

import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard.components import cached_control
from dashboard.errors import SourceUnavailableError
from dashboard.sources.control import NAME, Order, RolloutView
from dashboard.sources.fake_control import FakeCondition, FakeControl
from tests.dashboard.conftest import OpenPage

OpenRollouts = Callable[..., AppTest]


class Control(FakeControl):
    """Simulated rollouts whose API can be switched off.

    Attributes:
        away: Readings fail.
        mute: Commands are carried out, and their answers are lost.
    """

    away = False
    mute = False

    def rollout(self, rollout_id: str) -> RolloutView:
        """Return a rollout, unless it is away."""
        self._check()
        return super().rollout(rollout_id)

    def rollouts(self) -> tuple[RolloutView, ...]:
        """Return the rollouts, unless it is away."""
        self._check()
        return super().rollouts()

    def act(self, rollout_id: str, order: Order) -> RolloutView:
        """Act, whatever readings do, and lose the answer if mute."""
        self.away = False
        answer = super().act(rollout_id, order)
        if self.mute:
            raise SourceUnavailableError(NAME, order.action, "it cannot be reached.")
        return answer

    def _check(self) -> None:
        if self.away:
            raise SourceUnavailableError(NAME, "rollouts", "it cannot be reached.")


@pytest.fixture
def control() -> Control:
    """The control API behind the page."""
    return Control(lambda: datetime.now(UTC))


@pytest.fixture
def open_rollouts(open_page: OpenPage, control: Control, monkeypatch: pytest.MonkeyPatch) -> OpenRollouts:
    """Return a function that runs the page, with what the URL says, on that API or another."""

    def run(served: FakeControl = control, url: str = "fake", **query: str) -> AppTest:
        st.cache_resource.clear()
        monkeypatch.setenv("CARTWRIGHT_CONTROL", url)
        monkeypatch.setattr(cached_control, "open_control", lambda *_: served)
        return open_page("rollouts", **query)

    return run


def _texts(app: AppTest) -> str:
    kinds = (app.title, app.markdown, app.caption, app.error, app.info, app.warning, app.toast)
    texts = "\n".join(str(element.value) for kind in kinds for element in kind)
    return texts.replace("\\", "").replace("\N{NO-BREAK SPACE}", " ")


def _table(app: AppTest, column: str) -> pd.DataFrame:
    """Return the table with a column: tables that are only read have no key here."""
    found: pd.DataFrame = next(t.value for t in app.dataframe if column in t.value.columns)
    return found


def _progress(app: AppTest) -> str:
    return str(app.get("progress")[0].proto.text)


def _keys(app: AppTest) -> set[str]:
    return {str(button.key) for button in app.button}


def test_list_shows_all_and_what_waits_first(open_rollouts: OpenRollouts) -> None:
    """Status, progress, gates and what waits for a person, each with a sign and a word."""
    app = open_rollouts()
    table = app.dataframe(key="rollouts_table").value

    assert not app.exception
    assert table["Rollout"].iloc[0] == "Autumn shelves"
    assert table["Status"].iloc[0] == "‖ Paused"
    assert table["Carts"].iloc[0] == "19 of 238"
    assert "3-bad · e70b52d4" in list(table["Model"])
    assert "Simulated rollouts" in _texts(app)


def test_filter_of_the_link_is_kept(open_rollouts: OpenRollouts) -> None:
    """A link to what is paused shows that; another choice is in the address at once."""
    app = open_rollouts(show="paused")

    assert list(_table(app, "Waits for")["Rollout"]) == ["Autumn shelves"]

    app.session_state["rollouts_filter"] = "ended"
    app.run()

    assert len(_table(app, "Waits for")) == 3
    assert len(_table(open_rollouts(show="nonsense"), "Waits for")) == 9


def test_row_opens_the_rollout_and_back(open_rollouts: OpenRollouts) -> None:
    """A click on a row opens it under its own address; the button leads back."""
    app = open_rollouts()
    app.session_state["rollouts_table"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    app.run()

    assert app.title[0].value.startswith("Autumn shelves")
    assert app.query_params["rollout"] == "shelf-3"

    app.button(key="back").click().run()

    assert app.title[0].value.startswith("Rollouts")
    assert "rollout" not in app.query_params


def test_detail_says_all_that_a_decision_needs(open_rollouts: OpenRollouts) -> None:
    """Head, stages, gates with their evidence, and the carts, on one page."""
    app = open_rollouts(rollout="shelf-3")
    texts = _texts(app)

    assert not app.exception
    assert not app.error
    assert "4 min ago by the accuracy gate: 87.4 % uncontradicted" in texts
    assert "planned 10 % · 22 carts of 24 counted" in texts
    assert "Carts with the new model are contradicted more often than the margin of 1 point allows." in texts
    assert "past its line of 60" in texts
    assert "On yesterday's data, without the new model, no gate fired." in texts
    assert len(_table(app, "Cart")) == 24


def test_pause_is_one_click_and_one_confirmation(open_rollouts: OpenRollouts, control: Control) -> None:
    """The dialog says in numbers what it means; one command goes out with key and reason."""
    app = open_rollouts(rollout="lamps-2")
    app.button(key="pause_head").click().run()

    assert "10 carts on the way stop fetching and put nothing live." in _texts(app)
    assert control.commands == []

    app.text_input(key="rollout_reason").input("wrong labels on citrus")
    app.button(key="confirm_action").click().run()

    assert [(c.action, c.rollout, c.reason) for c in control.commands] == [
        ("pause", "lamps-2", "wrong labels on citrus")
    ]
    assert len(control.commands[0].key) == 32
    assert "Paused: Steadier under dim lamps." in _texts(app)
    assert "Resume" in {b.label for b in app.button if not b.disabled}
    assert "pause_head" not in _keys(app)


def test_running_again_sends_nothing_again(open_rollouts: OpenRollouts, control: Control) -> None:
    """A refresh or a second click after the answer is no second command."""
    app = open_rollouts(rollout="lamps-2")
    app.button(key="pause_head").click().run()
    app.button(key="confirm_action").click().run()
    app.run()
    app.run()

    assert [c.action for c in control.commands] == ["pause"]


def test_pause_from_the_list(open_rollouts: OpenRollouts, control: Control) -> None:
    """What runs can be stopped from the list: the numbers are asked for when the dialog opens."""
    app = open_rollouts()
    app.button(key="pause_night-stores").click().run()

    assert "22 carts keep a31f09c7 and go on with it." in _texts(app)

    app.button(key="confirm_action").click().run()

    assert [(c.action, c.rollout) for c in control.commands] == [("pause", "night-stores")]


def test_rolling_back_needs_a_reason(open_rollouts: OpenRollouts, control: Control) -> None:
    """Without a reason nothing is sent."""
    app = open_rollouts(rollout="shelf-3")
    app.button(key="do_roll_back").click().run()
    app.button(key="confirm_action").click().run()

    assert control.commands == []

    app.button(key="do_roll_back").click().run()
    app.text_input(key="rollout_reason").input("wrong labels")
    app.button(key="confirm_action").click().run()

    assert [c.reason for c in control.commands] == ["wrong labels"]
    assert "Rolling back: Autumn shelves." in _texts(app)


def test_disabled_actions_say_why(open_rollouts: OpenRollouts) -> None:
    """An on-call engineer sees what only an owner may do, and that it is so."""
    on_call = FakeControl(lambda: datetime.now(UTC), FakeCondition.ON_CALL)
    app = open_rollouts(on_call, rollout="shelf-3")

    assert app.button(key="do_resume").disabled
    assert app.button(key="do_resume").help == "Not now: The role rollout owner is needed."
    assert not app.button(key="do_roll_back").disabled


def test_viewer_can_only_look(open_rollouts: OpenRollouts) -> None:
    """No button that acts, and one sentence that says why."""
    viewer = FakeControl(lambda: datetime.now(UTC), FakeCondition.VIEWER)
    app = open_rollouts(viewer, rollout="lamps-2")

    assert "Your role is viewer: you may look." in _texts(app)
    assert not [key for key in _keys(app) if key.startswith(("pause_", "do_", "new_"))]

    listed = open_rollouts(viewer)

    assert not [key for key in _keys(listed) if key.startswith(("pause_", "do_", "new_"))]


def test_ended_rollouts_have_no_actions(open_rollouts: OpenRollouts) -> None:
    """What is final offers nothing to do."""
    app = open_rollouts(rollout="spring-2")

    assert not [key for key in _keys(app) if key.startswith(("pause_", "do_"))]
    assert "237 of 237 carts have proved that they run the new model" in _progress(app)


def test_without_an_address_it_says_how_to_connect(open_rollouts: OpenRollouts) -> None:
    """A dashboard that only watches is no error."""
    app = open_rollouts(url="")

    assert "Set CARTWRIGHT_CONTROL to the address of the control API" in app.info[0].value
    assert not app.error


def test_api_that_is_away(open_rollouts: OpenRollouts, control: Control) -> None:
    """Away from the start: an error with a retry. Away later: what was known, called stale; Pause stays."""
    away = FakeControl(lambda: datetime.now(UTC), FakeCondition.AWAY)
    app = open_rollouts(away)

    assert "The control API did not answer" in app.error[0].value
    assert "Carts keep their last permit until it expires." in app.error[0].value
    assert "retry_rollouts" in _keys(app)

    app = open_rollouts(rollout="lamps-2")
    control.away = True
    cached_control.forget_control()
    app.run()

    assert "Stale: last data" in _texts(app)
    assert "104 of 238 carts have proved that they run the new model" in _progress(app)


def test_pause_is_tried_although_nothing_can_be_read(open_rollouts: OpenRollouts, control: Control) -> None:
    """Readings fail, and the stop goes out all the same; what it means is said without numbers."""
    app = open_rollouts(rollout="lamps-2")
    control.away = True
    app.button(key="pause_head").click().run()
    app.button(key="confirm_action").click().run()

    assert [c.action for c in control.commands] == ["pause"]


def test_lost_answer_is_asked_for_again(open_rollouts: OpenRollouts, control: Control) -> None:
    """The command was carried out and nobody heard: nothing is called done that nobody said is done."""
    app = open_rollouts(rollout="lamps-2")
    control.mute = True
    app.button(key="pause_head").click().run()
    app.button(key="confirm_action").click().run()

    assert "Paused: Steadier" not in _texts(app)
    assert [c.action for c in control.commands] == ["pause"]


def test_unknown_rollout_in_the_link(open_rollouts: OpenRollouts) -> None:
    """A link to a rollout that is gone says so, and leads back."""
    app = open_rollouts(rollout="atlantis")

    assert "The control API refused: there is no rollout 'atlantis'." in app.error[0].value
    assert "back" in _keys(app)


def test_no_rollouts_yet(open_rollouts: OpenRollouts) -> None:
    """An empty list says who makes the first one."""
    app = open_rollouts(FakeControl(lambda: datetime.now(UTC), FakeCondition.EMPTY))

    assert "There are no rollouts yet." in app.info[0].value
    assert "new_rollout" in _keys(app)


def test_carts_are_filtered_and_paged(open_rollouts: OpenRollouts) -> None:
    """Status and store narrow the table; the next page goes on where this one ends."""
    app = open_rollouts(rollout="spring-2")
    first = list(_table(app, "Cart")["Cart"])
    app.button(key="carts_next").click().run()
    second = list(_table(app, "Cart")["Cart"])

    assert len(first) == len(second) == 50
    assert first[-1] < second[0]

    app.session_state["cart_statuses"] = ["unreachable"]
    app.run()

    assert set(_table(app, "Cart")["Status"]) == {"○ Offline"}


def test_form_checks_before_it_creates(open_rollouts: OpenRollouts, control: Control) -> None:
    """No Create before a clean check; then one rollout with its reason, and the page of it opens."""
    app = open_rollouts()
    app.button(key="new_rollout").click().run()

    assert app.title[0].value.startswith("New rollout")
    assert app.button(key="plan_check").disabled

    app.text_input(key="plan_id").input("shelf-3")
    app.selectbox(key="plan_model").select_index(1)
    app.run()
    app.button(key="plan_check").click().run()

    assert "There is a rollout 'shelf-3' already" in _texts(app)
    assert "plan_submit" not in _keys(app)

    app.text_input(key="plan_id").input("autumn-2").run()

    assert "The plan has changed since it was checked." in _texts(app)

    app.button(key="plan_check").click().run()

    assert list(_table(app, "Adds")["Adds"]) == [24, 96, 120]

    app.text_input(key="plan_reason").input("as agreed")
    app.button(key="plan_submit").click().run()

    assert [(c.action, c.rollout, c.reason) for c in control.commands] == [
        ("create", "autumn-2", "as agreed")
    ]
    assert app.title[0].value.startswith("autumn-2")
    assert "Ready" in _texts(app)


def test_pasted_plan(open_rollouts: OpenRollouts) -> None:
    """YAML is checked in the same way; what is no YAML is said with its line."""
    app = open_rollouts(new="1")
    app.session_state["plan_how"] = "YAML"
    app.run()
    app.text_area(key="plan_yaml").input("rollout: [").run()

    assert "not YAML in line" in _texts(app)

    plan = "rollout: autumn-3\nmodel: a31f09c7e2d84b5516\nstages: [{name: all, percent: 100}]\n"
    app.text_area(key="plan_yaml").input(plan).run()
    app.button(key="plan_check").click().run()

    assert list(_table(app, "Adds")["Adds"]) == [240]
