"""Stories about carts that keep dying."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.config import HealthConfig
from fleet_agent.health.breaker import (
    MOST_STARTS,
    BreakerLimits,
    BreakerState,
    CrashBreaker,
    on_clean_stop,
    on_healthy,
    on_start,
    parse_state,
)

LIMITS = BreakerLimits(starts=3, window_s=600.0, healthy_after_s=300.0)
T0 = 1_790_000_000_000


def breaker(folder: Path) -> CrashBreaker:
    """Return the breaker of a new process."""
    return CrashBreaker(folder / "starts.json", LIMITS)


def test_the_start_after_three_crashes_is_a_safe_one_until_a_run_was_healthy(tmp_path: Path) -> None:
    """Crash, crash, crash: safe. It stays so until five good minutes, and then the next is normal."""
    decisions = [breaker(tmp_path).started(T0 + i * 10_000) for i in range(5)]
    assert [decision.safe_mode for decision in decisions] == [False, False, False, True, True]
    assert decisions[3].crashes == 3
    safe = breaker(tmp_path)
    assert safe.started(T0 + 60_000).safe_mode
    safe.running(100.0)
    safe.running(399.0)
    assert breaker(tmp_path).started(T0 + 70_000).safe_mode
    safe = breaker(tmp_path)
    assert safe.started(T0 + 80_000).safe_mode
    safe.running(100.0)
    safe.running(400.0)
    assert not breaker(tmp_path).started(T0 + 90_000).safe_mode


def test_clean_stops_are_no_crashes(tmp_path: Path) -> None:
    """A cart that is restarted by its owner a hundred times is fine."""
    for i in range(100):
        one = breaker(tmp_path)
        assert not one.started(T0 + i * 1000).safe_mode
        one.stopped()


def test_crashes_of_long_ago_are_forgotten(tmp_path: Path) -> None:
    """One power cut an hour is no loop."""
    for i in range(20):
        assert not breaker(tmp_path).started(T0 + i * 3_600_000).safe_mode


def test_runs_that_end_before_they_are_healthy_are_a_loop_however_slow(tmp_path: Path) -> None:
    """A crash four minutes after each start is outside of no window."""
    found = [breaker(tmp_path).started(T0 + i * 250_000).safe_mode for i in range(20)]
    assert found == [False] * 3 + [True] * 17


def test_a_cart_that_is_switched_off_every_hour_after_healthy_runs_is_no_loop(tmp_path: Path) -> None:
    """Staff pull the plug; each run had been healthy for long."""
    for i in range(20):
        one = breaker(tmp_path)
        assert not one.started(T0 + i * 3_600_000).safe_mode
        one.running(10.0)
        one.running(3_500.0)


def test_a_clock_before_1970_does_not_damage_the_memory(tmp_path: Path) -> None:
    """A machine without a clock may begin with a negative time: its starts count and can be read."""
    found = [breaker(tmp_path).started(-5_000) for _ in range(4)]
    assert [one.damaged for one in found] == [False] * 4
    assert found[-1].safe_mode


def test_a_clock_that_was_set_back_still_counts(tmp_path: Path) -> None:
    """A cart without a battery for its clock starts in 1970 some times; its crashes count all the same."""
    found = [breaker(tmp_path).started(at) for at in (T0, T0, T0 - 10**9, T0 - 10**9)]
    assert found[-1].safe_mode


def test_what_hung_is_told_by_the_next_run_once(tmp_path: Path) -> None:
    """A process that ended itself could not send it any more."""
    one = breaker(tmp_path)
    one.started(T0)
    one.hung("engine")
    assert breaker(tmp_path).started(T0 + 1000).hung == "engine"
    assert breaker(tmp_path).started(T0 + 2000).hung == ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"rubbish",
        b"\xff\xfe",
        b"[" * 60_000,
        b"9" * 60_000,
        b"{}",
        b"x" * 100_000,
        b'{"schema": 2, "starts_ms": [], "tripped": false}',
        b'{"schema": 1, "starts_ms": [-1], "tripped": false}',
        b'{"schema": 1, "starts_ms": ["a"], "tripped": 1}',
    ],
)
def test_a_damaged_file_is_told_and_written_anew(tmp_path: Path, content: bytes) -> None:
    """Whatever is in the file, the cart starts, says that it was damaged, and counts from here."""
    (tmp_path / "starts.json").write_bytes(content)
    decision = breaker(tmp_path).started(T0)
    assert decision.damaged
    assert not decision.safe_mode
    assert not breaker(tmp_path).started(T0).damaged


def test_a_cart_whose_disk_is_read_only_starts_all_the_same(tmp_path: Path) -> None:
    """Without a memory there is no loop to find; that is no reason not to start."""
    (tmp_path / "file").write_text("in the way")
    blocked = CrashBreaker(tmp_path / "file" / "starts.json", LIMITS)
    assert not blocked.started(T0).safe_mode
    blocked.hung("engine")
    blocked.stopped()


def test_the_file_lies_beside_the_spool(tmp_path: Path) -> None:
    """One per cart, by the name of its spool."""
    CrashBreaker.beside(tmp_path / "spool.db", HealthConfig()).started(T0)
    assert json.loads((tmp_path / "spool.db.starts.json").read_bytes())["starts_ms"] == [T0]


RUN = """
import sys
from pathlib import Path
from fleet_agent.health.breaker import BreakerLimits, CrashBreaker
from fleet_agent.logs import log_to_stderr
log_to_stderr()
one = CrashBreaker(Path(sys.argv[1]), BreakerLimits(3, 600.0, 300.0))
print(one.started(int(sys.argv[2])).safe_mode, flush=True)
while True:
    one.hung("engine")
"""


def test_processes_killed_while_they_write_leave_a_whole_file(tmp_path: Path) -> None:
    """SIGKILL in the middle of writing: the next start reads the old file or the new one, never half."""
    path = tmp_path / "starts.json"
    said = []
    for i in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", RUN, str(path), str(T0 + i)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            said.append(process.stdout.readline().strip())
            os.kill(process.pid, signal.SIGKILL)
        assert parse_state(path.read_bytes()) is not None
    assert said == ["False", "False", "False", "True", "True"]


steps = st.lists(
    st.tuples(st.sampled_from(["start", "stop", "healthy"]), st.integers(0, 10**7)), max_size=150
)


@given(steps)
def test_the_memory_is_bounded_and_only_health_ends_a_loop(moves: list[tuple[str, int]]) -> None:
    """Whatever happens in whatever order, the file stays small, and a safe mode stays until it is earned."""
    state, safe, now_ms = BreakerState(), False, T0
    for what, wait_ms in moves:
        now_ms += wait_ms
        if what == "start":
            state, decision = on_start(state, now_ms, LIMITS)
            assert decision.safe_mode or not safe
            safe = decision.safe_mode
        elif what == "stop":
            state = on_clean_stop(state)
        else:
            state, safe = on_healthy(state), False
        assert len(state.starts_ms) <= MOST_STARTS
        assert state.tripped or not safe
