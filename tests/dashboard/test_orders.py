"""Stories of commands: asked once, sent once, never on what is no longer true."""

import pytest

from dashboard.errors import SourceRefusedError, SourceTimeoutError
from dashboard.orders import ACTIONS, Draft, Outcome, carry_out
from dashboard.sources.control import Order, RolloutView
from dashboard.sources.fake_control import FakeCondition, FakeControl
from tests.dashboard.conftest import NOW


class Flaky(FakeControl):
    """Carries a command out and loses the answer, or lets carts report just before.

    Attributes:
        lost: So many answers are lost.
        reports: So many times a cart reports between reading and acting.
        orders: All that arrived.
    """

    def __init__(self, *, lost: int = 0, reports: int = 0) -> None:
        super().__init__(lambda: NOW)
        self.lost = lost
        self.reports = reports
        self.orders: list[Order] = []

    def act(self, rollout_id: str, order: Order) -> RolloutView:
        """Act, and be flaky about it."""
        self.orders.append(order)
        if self.reports:
            self.reports -= 1
            self.advance(rollout_id)
        answer = super().act(rollout_id, order)
        if self.lost:
            self.lost -= 1
            raise SourceTimeoutError("The control API", order.action, "it took too long.")
        return answer


def test_a_command_is_sent_once() -> None:
    """A double click, or a script that runs again, sends nothing a second time."""
    control = FakeControl(lambda: NOW)
    draft = Draft(control.rollout("lamps-2"), "pause")

    carry_out(draft, control, " wrong labels ")
    carry_out(draft, control, "wrong labels")

    assert draft.outcome is Outcome.DONE
    assert [(c.action, c.reason, c.key) for c in control.commands] == [("pause", "wrong labels", draft.key)]
    assert control.rollout("lamps-2").status == "paused"


def test_each_dialog_has_its_own_key() -> None:
    """Asking again is another command."""
    seen = FakeControl(lambda: NOW).rollout("lamps-2")

    assert Draft(seen, "pause").key != Draft(seen, "pause").key


def test_a_lost_answer_is_not_a_refusal() -> None:
    """Nobody knows whether it was done: sent again with the same key and reason, it was done once."""
    control = Flaky(lost=1)
    draft = Draft(control.rollout("lamps-2"), "roll_back")

    carry_out(draft, control, "wrong labels")
    unknown, said = draft.outcome, draft.said
    carry_out(draft, control, "something else that was typed meanwhile")

    assert unknown is Outcome.UNKNOWN
    assert "may have been done" in said
    assert draft.outcome is Outcome.DONE
    assert {(o.key, o.reason) for o in control.orders} == {(draft.key, "wrong labels")}
    assert len(control.commands) == 1


def test_reports_of_carts_do_not_stop_a_command() -> None:
    """In a busy rollout the version moves all the time; what the person decided on is the same."""
    control = Flaky(reports=2)
    draft = Draft(control.rollout("lamps-2"), "roll_back")

    carry_out(draft, control, "wrong labels")

    assert draft.outcome is Outcome.DONE
    assert len({o.expected_version for o in control.orders}) == 3


def test_a_version_that_never_rests_ends_in_a_refusal() -> None:
    """Trying has an end, and the person hears why."""
    control = Flaky(reports=99)
    draft = Draft(control.rollout("lamps-2"), "roll_back")

    carry_out(draft, control, "wrong labels")

    assert draft.outcome is Outcome.REFUSED
    assert draft.said.startswith("Nothing was done.")
    assert len(control.orders) == 4


def test_what_changed_meanwhile_is_looked_at_again() -> None:
    """Somebody paused it while the dialog was open: resume or roll back is another decision now."""
    control = FakeControl(lambda: NOW)
    draft = Draft(control.rollout("lamps-2"), "promote")
    carry_out(Draft(control.rollout("lamps-2"), "pause"), control, "")

    carry_out(draft, control, "looks good")

    assert draft.outcome is Outcome.CHANGED
    assert "Look again" in draft.said
    assert [c.action for c in control.commands] == ["pause"]


def test_a_stop_names_no_version() -> None:
    """Pausing is right whatever happened since the person looked."""
    control = Flaky(reports=1)

    carry_out(Draft(control.rollout("lamps-2"), "pause"), control, "")

    assert [o.expected_version for o in control.orders] == [None]
    assert control.rollout("lamps-2").status == "paused"


@pytest.mark.parametrize("action", [name for name, word in ACTIONS.items() if word.needs_reason])
def test_grave_commands_need_a_reason(action: str) -> None:
    """Without one nothing is sent; with one it is."""
    control = FakeControl(lambda: NOW)
    draft = Draft(control.rollout("lamps-2"), action)

    carry_out(draft, control, "   ")
    before = list(control.commands)
    carry_out(draft, control, "wrong labels")

    assert before == []
    assert draft.outcome is Outcome.DONE
    assert [c.reason for c in control.commands] == ["wrong labels"]


def test_a_refusal_is_said_in_the_words_of_the_api() -> None:
    """An on-call engineer who resumes hears that an owner is needed, and nothing happens."""
    control = FakeControl(lambda: NOW, FakeCondition.ON_CALL)
    draft = Draft(control.rollout("shelf-3"), "resume")

    carry_out(draft, control, "")

    assert draft.outcome is Outcome.REFUSED
    assert "the role rollout owner is needed" in draft.said
    assert control.rollout("shelf-3").status == "paused"


def test_unknown_rollout_is_refused() -> None:
    """A rollout that is gone is no reason for a traceback."""
    control = FakeControl(lambda: NOW)
    draft = Draft(control.rollout("lamps-2"), "roll_back")
    empty = FakeControl(lambda: NOW, FakeCondition.EMPTY)

    carry_out(draft, empty, "wrong labels")

    assert draft.outcome is Outcome.REFUSED
    with pytest.raises(SourceRefusedError, match="there is no rollout"):
        empty.rollout("lamps-2")


def test_consequences_are_in_numbers() -> None:
    """What a pause does to done, moving and waiting carts is known before it is done."""
    draft = Draft(FakeControl(lambda: NOW).rollout("lamps-2"), "pause")

    assert draft.consequences == (
        "106 carts keep a31f09c7 and go on with it.",
        "10 carts on the way stop fetching and put nothing live.",
        "120 carts are not told anything.",
    )
