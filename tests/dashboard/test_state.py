"""Stories of the six states of a panel, and of what it remembers."""

from datetime import UTC, datetime, timedelta

import pytest

from dashboard.components.memory import PanelMemory
from dashboard.state import Failure, Outcome, PanelState, panel_state

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
ALLOWED = timedelta(minutes=10)
FAILED = Failure("The warehouse did not answer.", NOW)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (None, PanelState.LOADING),
        (Outcome(None, failure=FAILED), PanelState.ERROR),
        (Outcome("kept", rows=3, failure=FAILED), PanelState.STALE),
        (Outcome("nothing", rows=0), PanelState.EMPTY),
        (Outcome(None), PanelState.EMPTY),
        (Outcome("old", rows=3, data_until=NOW - timedelta(minutes=11)), PanelState.STALE),
        (Outcome("fresh", rows=3, data_until=NOW - timedelta(minutes=10)), PanelState.OK),
        (Outcome("some", rows=3, missing=("Gent",)), PanelState.PARTIAL),
        (Outcome("old", rows=3, missing=("Gent",), data_until=NOW - timedelta(days=1)), PanelState.STALE),
        (Outcome("timeless", rows=1), PanelState.OK),
    ],
)
def test_state_follows_from_the_outcome(outcome: Outcome[str] | None, expected: PanelState) -> None:
    """Each outcome leads to exactly one of the six states."""
    assert panel_state(outcome, NOW, ALLOWED) is expected


def test_failure_shows_the_last_answer() -> None:
    """After a failure a panel keeps the last answer under the same filters, and the start of the failure."""
    memory = PanelMemory()
    memory.succeeded("stores", "24h", Outcome("answer", rows=1))

    memory.failed("stores", "24h", "It does not answer.", NOW)
    later = memory.failed("stores", "24h", "It does not answer.", NOW + timedelta(minutes=5))

    assert later.value == "answer"
    assert later.failure == Failure("It does not answer.", NOW)


def test_failure_under_other_filters_shows_nothing_old() -> None:
    """An answer to another question is never shown in place of a missing one."""
    memory = PanelMemory()
    memory.succeeded("stores", "24h", Outcome("answer", rows=1))

    assert memory.failed("stores", "7d", "It does not answer.", NOW).value is None


def test_success_ends_the_failure() -> None:
    """A success in between makes the next failure a new one."""
    memory = PanelMemory()
    memory.failed("stores", "24h", "It does not answer.", NOW)
    memory.succeeded("stores", "24h", Outcome("answer", rows=1))

    again = memory.failed("stores", "24h", "It does not answer.", NOW + timedelta(hours=1))

    assert again.failure is not None
    assert again.failure.since == NOW + timedelta(hours=1)


def test_memory_is_bounded() -> None:
    """A long session with many filters does not grow without end."""
    memory = PanelMemory()
    for key in range(100):
        memory.succeeded("stores", key, Outcome(key, rows=1))

    assert memory.failed("stores", 0, "x", NOW).value is None
    assert memory.failed("stores", 99, "x", NOW).value == 99
