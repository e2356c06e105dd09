"""The supervisor over tiny real processes: order, restarts, clean ends."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.errors import ComponentError, NotReadyError
from demo.up.components import Component
from demo.up.restarts import MAX_DEATHS, WINDOW_S, DeathRecord
from demo.up.supervisor import Change, State, Supervisor
from tests.demo.children import (
    BROKEN,
    PARENT,
    SILENT,
    STUBBORN,
    errand,
    gone,
    pids_in,
    service,
    wait_until,
)


class Listed:
    """An orphanage that only keeps the list."""

    def __init__(self) -> None:
        self.groups: list[int] = []

    def watch(self, pgid: int) -> None:
        """Put a group on the list."""
        self.groups.append(pgid)

    def forget(self, pgid: int) -> None:
        """Take it off."""
        self.groups.remove(pgid)


class Stand:
    """A supervisor, what it said, and a clock of its own that can be turned on."""

    def __init__(self, components: list[Component], logs: Path) -> None:
        self.news: list[Change] = []
        self.orphanage = Listed()
        self.skipped_s = 0.0
        self.supervisor = Supervisor(
            components, logs=logs, orphanage=self.orphanage, on_change=self._hear, clock=self.now
        )

    def _hear(self, change: Change) -> None:
        if change.state is not State.STARTING:
            self.news.append(change)

    def now(self) -> float:
        """Tell the time; it runs ten times too fast, so that pauses are short."""
        self.skipped_s += 0.2
        return self.skipped_s

    def until_up(self) -> None:
        """Step until all is up."""
        wait_until(lambda: self._step() or self.supervisor.all_up, "all up")

    def _step(self) -> bool:
        self.supervisor.step()
        return False

    def until(self, state: State) -> None:
        """Step until somebody has this state."""
        wait_until(lambda: self._step() or any(c.state is state for c in self.news), state)

    def said(self) -> list[tuple[str, str]]:
        """Return (component, state) of all news."""
        return [(change.component.name, str(change.state)) for change in self.news]


@pytest.fixture
def stands() -> Iterator[list[Stand]]:
    """Collect stands, and stop them whatever happens."""
    made: list[Stand] = []
    yield made
    for stand in made:
        stand.supervisor.stop()


def _stand(stands: list[Stand], tmp_path: Path, *components: Component) -> Stand:
    stand = Stand(list(components), tmp_path / "logs")
    stands.append(stand)
    return stand


def test_components_start_in_order_and_stop_in_reverse(stands: list[Stand], tmp_path: Path) -> None:
    """What is needed comes up first and goes down last; nothing is left."""
    stand = _stand(
        stands,
        tmp_path,
        service("carts", after=("ingest",)),
        service("ingest", after=("tables",)),
        errand("tables", "print('DONE 3 tables')", after=("warehouse",)),
        service("warehouse"),
    )
    stand.until_up()
    assert stand.said() == [
        ("warehouse", "ready"),
        ("tables", "done"),
        ("ingest", "ready"),
        ("carts", "ready"),
    ]
    assert stand.news[1].remark == "3 tables"
    pids = [slot.pid for slot in stand.supervisor.slots.values() if slot.pid]
    stand.supervisor.stop()
    assert [name for name, state in stand.said() if state == "stopped"] == ["carts", "ingest", "warehouse"]
    assert all(gone(pid) for pid in pids)
    assert stand.orphanage.groups == []


def test_a_component_that_dies_is_started_again_and_said_so(stands: list[Stand], tmp_path: Path) -> None:
    """SIGKILL on a component: news of the death, a pause, a new process."""
    stand = _stand(stands, tmp_path, service("ingest"))
    stand.until_up()
    first = stand.supervisor.slots["ingest"].pid
    assert first
    os.kill(first, signal.SIGKILL)
    stand.until(State.RESTARTING)
    assert "signal 9" in stand.news[-1].remark
    stand.until_up()
    assert stand.supervisor.slots["ingest"].pid not in (None, first)


def test_a_crash_loop_ends_with_one_clear_sentence(stands: list[Stand], tmp_path: Path) -> None:
    """A component that always dies is given up, with its last words and its log."""
    stand = _stand(stands, tmp_path, service("till", BROKEN))
    with pytest.raises(ComponentError, match=r"till died 6 times.*exit status 3.*the key is lost") as found:
        stand.until_up()
    assert found.value.log.read_text().count("the key is lost") == MAX_DEATHS + 1


def test_a_component_that_is_never_ready_is_named(stands: list[Stand], tmp_path: Path) -> None:
    """Silence ends after the component's time-out."""
    stand = _stand(stands, tmp_path, service("mute", SILENT, ready_timeout_s=2.0))
    with pytest.raises(NotReadyError, match="mute was not ready within 2 s"):
        stand.until_up()


def test_a_stubborn_component_is_killed_after_its_time(stands: list[Stand], tmp_path: Path) -> None:
    """A component that ignores SIGTERM cannot hold up the end."""
    stand = _stand(stands, tmp_path, service("stubborn", STUBBORN, stop_timeout_s=0.2))
    stand.until_up()
    pid = stand.supervisor.slots["stubborn"].pid
    stand.supervisor.stop()
    assert pid
    assert gone(pid)


def test_grandchildren_end_with_their_parent(stands: list[Stand], tmp_path: Path) -> None:
    """The processes that a component has started are stopped with it."""
    stand = _stand(stands, tmp_path, service("parent", PARENT))
    stand.until_up()
    grandchildren = pids_in(tmp_path / "logs" / "parent.out")
    stand.supervisor.stop()
    assert grandchildren
    wait_until(lambda: all(gone(pid) for pid in grandchildren), "the end of the grandchildren")


def test_a_failed_errand_is_run_again(stands: list[Stand], tmp_path: Path) -> None:
    """A one-shot that fails once and then succeeds is done."""
    mark = tmp_path / "tried"
    code = (
        f"import pathlib, sys; p = pathlib.Path({str(mark)!r});"
        "sys.exit(0) if p.exists() else (p.touch(), sys.exit(1))"
    )
    stand = _stand(stands, tmp_path, errand("history", code), service("carts", after=("history",)))
    stand.until_up()
    assert stand.said() == [("history", "restarting"), ("history", "done"), ("carts", "ready")]


def test_an_old_ready_line_does_not_count(stands: list[Stand], tmp_path: Path) -> None:
    """What an earlier start said does not make this one ready."""
    log = tmp_path / "logs" / "mute.out"
    log.parent.mkdir()
    log.write_text("READY long ago\n")
    stand = _stand(stands, tmp_path, service("mute", SILENT, ready_timeout_s=1.0))
    with pytest.raises(NotReadyError):
        stand.until_up()


def test_the_log_keeps_what_components_say(stands: list[Stand], tmp_path: Path) -> None:
    """Each component has files of its own, with blanks in its name replaced."""
    stand = _stand(stands, tmp_path, service("store s001"))
    stand.until_up()
    assert "READY here" in (tmp_path / "logs" / "store-s001.out").read_text()


def test_backoff_doubles_and_old_deaths_are_forgiven() -> None:
    """Each recent death doubles the pause; deaths before the window do not count."""
    record = DeathRecord()
    pauses = []
    for n in range(MAX_DEATHS):
        record = record.died(float(n))
        pauses.append(record.backoff_s)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert not record.hopeless
    assert record.died(5.0).hopeless
    assert record.died(WINDOW_S * 2).backoff_s == 0.5
