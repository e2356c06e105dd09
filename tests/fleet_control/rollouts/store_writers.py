"""Processes that write into the database of rollouts, and what must be true of it after whatever they did."""

import multiprocessing
import random
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any
from unittest.mock import patch

from fleet_control.errors import FencedError, StaleVersionError
from fleet_control.rollouts import events
from fleet_control.rollouts.batch import Batch, Loaded
from fleet_control.rollouts.ports import Lease, RolloutStore
from fleet_control.rollouts.reducer import create, reduce
from fleet_control.rollouts.rollout import CartRecord, Effect
from fleet_control.rollouts.states import DeviceState, RolloutStatus, Verdict
from fleet_control.rollouts.store_sql import open_store
from tests.fleet_control.rollouts.worlds import says

NAME = "autumn"
# Forked from a process that has imported everything: a fresh Python takes a second, and there are many.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


def start(target: Callable[..., None], *args: Any) -> tuple[BaseProcess, Connection]:
    """Start a process; returns it with our end of the pipe that it gets as its first argument."""
    mine, its = _processes.Pipe()
    process = _processes.Process(target=target, args=(its, *args), daemon=True)
    # A child imports the file of `__main__`. Where pages were tried before, that is the dashboard.
    with patch.dict(sys.modules, {"__main__": ModuleType("__main__")}):
        process.start()
    its.close()
    return process, mine


def clock_ms() -> int:
    """Return the time."""
    return time.time_ns() // 1_000_000


def load(store: RolloutStore) -> Loaded:
    """Read a rollout, the head first."""
    return Loaded(store.head(NAME), store.carts(NAME))


def some_entries(rng: random.Random, loaded: Loaded, reason: str) -> list[events.AnyEvent]:
    """Return a pause or what ends it, a verdict, and reports: they change head, carts and outbox together."""
    at_ms = loaded.rollout.version
    turn = events.Paused if loaded.rollout.status is RolloutStatus.RUNNING else events.Resumed
    entries: list[events.AnyEvent] = [turn(at_ms=at_ms, actor="olga", reason=reason)]
    told = sorted(name for name, cart in loaded.carts.items() if cart.attempt > 0)
    for cart in rng.sample(told, 2):
        record = loaded.carts[cart]
        step, attempt = record.step + 1, record.attempt
        entries.append(says(cart, DeviceState.FETCHING, step=step, attempt=attempt, at_ms=at_ms))
    entries.append(events.VerdictGiven(at_ms=at_ms, stage=0, gate="errors", verdict=Verdict.INCONCLUSIVE))
    return entries


def write_once(store: RolloutStore, rng: random.Random, reason: str, lease: Lease | None = None) -> int:
    """Write one change, reading again as often as somebody else was faster; returns the head's version."""
    while True:
        batch = Batch(load(store), 9)
        batch.add(some_entries(rng, batch.loaded, reason))
        version = batch.rollout.version
        try:
            batch.commit(store, lease=lease, gates={"errors": {"version": version}})
        except StaleVersionError:
            continue
        return version


def write_for_ever(pipe: Connection, address: str, seed: int) -> None:
    """Write until killed; tell each version when it is written."""
    store, rng = open_store(address, clock_ms), random.Random(seed)
    while True:
        pipe.send(write_once(store, rng, "for ever"))


def write_often(pipe: Connection, address: str, name: str, times: int) -> None:
    """Write so many changes, each under a reason of its own; tell the versions."""
    store, rng = open_store(address, clock_ms), random.Random(name)
    pipe.send("ready")
    pipe.recv()
    pipe.send([write_once(store, rng, f"{name}-{turn}") for turn in range(times)])
    store.close()


def sleep_on_the_lease(pipe: Connection, address: str, ttl_s: float) -> None:
    """Drive, fall asleep, and go on as if nothing had happened; tell what comes of it."""
    store, rng = open_store(address, clock_ms), random.Random(1)
    lease = store.acquire("rollouts", "sleeper", ttl_s)
    pipe.send(write_once(store, rng, "awake", lease))
    pipe.recv()
    try:
        pipe.send(write_once(store, rng, "asleep", lease))
    except FencedError:
        pipe.send("fenced")
    store.close()


def check_whole(store: RolloutStore) -> int:
    """Check that head, carts, gates and outbox are what the log makes of nothing; returns the version.

    Nobody has told anything: the outbox holds every effect there ever was.
    """
    log = store.log(NAME, limit=1_000_000)
    assert [entry.number for entry in log] == list(range(1, len(log) + 1))
    first, *rest = (entry.event for entry in log)
    assert isinstance(first, events.Created)
    step = create(first)
    head, told = step.rollout, list(step.effects)
    carts: dict[str, CartRecord] = {}
    for event in rest:
        step = reduce(head, carts, event)
        assert not step.ignored
        head = step.rollout
        carts.update((cart.cart, cart) for cart in step.carts)
        told += step.effects
    assert store.head(NAME) == head
    assert store.carts(NAME) == carts
    waiting: list[Effect] = [
        entry.effect for entry in sorted(store.outbox(limit=1_000_000), key=lambda entry: entry.id)
    ]
    assert waiting == told
    if written := store.gates(NAME):
        assert written == {"errors": {"version": head.version}}
    return head.version
