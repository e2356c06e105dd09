"""Births and wills: only the current session counts."""

from hypothesis import given
from hypothesis import strategies as st

from fleet_control.ingest.presence import Presence, StateVerdict, judge, presence_after
from fleet_protocol.messages import CartState
from tests.fleet_control.wire import BOOT, OTHER_BOOT, state


def play(states: list[CartState]) -> tuple[Presence | None, list[StateVerdict]]:
    """Apply states in order."""
    current, verdicts = None, []
    for message in states:
        verdicts.append(judge(current, message))
        if verdicts[-1] is StateVerdict.COUNTS:
            current = presence_after(current, message)
    return current, verdicts


def test_the_late_will_of_a_dead_connection_does_not_count() -> None:
    """The broker notices a dead connection after the cart is back."""
    now, verdicts = play([state(1), state(2), state(1, online=False)])

    assert verdicts[-1] is StateVerdict.SUPERSEDED
    assert now is not None
    assert now.online


def test_the_will_of_the_current_session_counts_and_keeps_what_the_birth_said() -> None:
    """A will carries no version and no mark of simulation."""
    now, verdicts = play([state(1), state(1, online=False)])

    assert verdicts == [StateVerdict.COUNTS] * 2
    assert now == Presence(BOOT, 1, online=False, agent_version="0.1.0", model_digest=None, simulated=True)


def test_a_retained_state_that_comes_again_is_a_repeat() -> None:
    """Every start of ingest receives all retained states."""
    assert play([state(1), state(1)])[1] == [StateVerdict.COUNTS, StateVerdict.REPEATED]
    gone = [state(1), state(1, online=False), state(1, online=False)]
    assert play(gone)[1][-1] is StateVerdict.REPEATED


def test_a_wiped_cart_starts_again_at_session_0() -> None:
    """Another boot always counts, even with a lower session."""
    now, verdicts = play([state(40), state(0, boot=OTHER_BOOT)])

    assert verdicts[-1] is StateVerdict.COUNTS
    assert now is not None
    assert (now.boot, now.session) == (OTHER_BOOT, 0)


@given(st.integers(1, 9), st.integers(0, 9))
def test_an_old_birth_of_the_same_boot_never_counts(current: int, behind: int) -> None:
    """A birth that is delivered late must not undo a newer state."""
    old = state(max(current - behind, 0))

    assert play([state(current), state(current, online=False), old])[1][-1] is StateVerdict.SUPERSEDED
