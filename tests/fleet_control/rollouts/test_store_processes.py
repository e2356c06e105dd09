"""Real processes on one database: killed at any moment, racing each other, sleeping through their lease."""

import os
import random
import time

import pytest

from fleet_control.rollouts.store_sql import SqlRolloutStore, open_store
from tests.fleet_control.rollouts.conftest import now_ms
from tests.fleet_control.rollouts.store_writers import (
    NAME,
    check_whole,
    clock_ms,
    sleep_on_the_lease,
    start,
    write_for_ever,
    write_often,
)
from tests.fleet_control.rollouts.test_store import started

pytestmark = pytest.mark.end_to_end

# A slow run sets more.
KILLS = int(os.environ.get("CARTWRIGHT_STORE_KILLS", "30"))
TURNS = 25
# A process on a busy machine may take long to begin; nothing is measured by it.
PATIENCE_S = 60.0


def test_a_writer_that_is_killed_leaves_whole_changes(sql_address: str) -> None:
    """Killed at random points: what it said is there, nothing is half there, and the next one goes on."""
    rng = random.Random(7)
    store = open_store(sql_address, now_ms)
    started(store)
    for kill in range(KILLS):
        promised, found = _killed(store, sql_address, kill, rng.uniform(0.0, 0.03))
        # One change, of four entries, may be written and not told.
        assert found - promised in (0, 4)
    store.close()


def _killed(store: SqlRolloutStore, address: str, seed: int, after_s: float) -> tuple[int, int]:
    """Let a process write, kill it; returns the last version it told and the one that is there."""
    process, pipe = start(write_for_ever, address, seed)
    assert pipe.poll(PATIENCE_S)
    promised = pipe.recv()
    time.sleep(after_s)  # the random point
    process.kill()
    process.join(PATIENCE_S)
    assert process.exitcode == -9
    while pipe.poll():
        try:
            promised = pipe.recv()
        except EOFError:
            break
    pipe.close()
    return promised, check_whole(store)


def test_of_two_processes_each_version_has_one_winner(sql_address: str) -> None:
    """Both write into one rollout as fast as they can; no change is lost, none is there twice."""
    store = open_store(sql_address, now_ms)
    started(store)
    writers = [start(write_often, sql_address, name, TURNS) for name in ("a", "b")]
    for _, pipe in writers:
        assert pipe.poll(PATIENCE_S)
        pipe.recv()
    for _, pipe in writers:
        pipe.send("go")
    won = []
    for process, pipe in writers:
        assert pipe.poll(PATIENCE_S)
        won += pipe.recv()
        process.join(PATIENCE_S)
    assert len(set(won)) == 2 * TURNS
    assert check_whole(store) == max(won) == 4 + 4 * 2 * TURNS
    reasons = [entry.event.reason for entry in store.log(NAME) if entry.event.reason]
    assert sorted(reasons) == sorted(f"{name}-{turn}" for name in ("a", "b") for turn in range(TURNS))
    store.close()


def test_a_controller_that_slept_through_its_lease_writes_nothing(sql_address: str) -> None:
    """Another process has the lease by then; the sleeper finds out at its next change."""
    store = open_store(sql_address, clock_ms)
    started(store)
    process, pipe = start(sleep_on_the_lease, sql_address, 0.5)
    assert pipe.poll(PATIENCE_S)
    awake = pipe.recv()
    lease = None
    while lease is None:
        lease = store.acquire("rollouts", "heir", 60)
    assert lease.token == 2
    pipe.send("go on")
    assert pipe.poll(PATIENCE_S)
    assert pipe.recv() == "fenced"
    process.join(PATIENCE_S)
    assert check_whole(store) == awake
    store.close()
