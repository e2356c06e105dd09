"""The database of rollouts: what a change costs, and how long a pause waits beside an engine without rest.

`python -m benchmarks.rollout_database [ADDRESS] [--carts 100000]` prints one JSON object. Without an address
it measures SQLite in a temporary folder; a database must be empty, and is left full.
"""

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path

from sqlalchemy import create_engine, text

from fleet_control.rollouts import events
from fleet_control.rollouts.batch import Batch, Loaded
from fleet_control.rollouts.events import Candidate
from fleet_control.rollouts.plan_text import plan_of
from fleet_control.rollouts.ports import Change
from fleet_control.rollouts.reducer import create
from fleet_control.rollouts.store_sql import SqlRolloutStore, open_store

MODEL, BASELINE = "b" * 16, "a" * 16
PAUSES = 200
CHUNK = 1_000
CHUNKS = 50


def now_ms() -> int:
    """Return the time."""
    return time.time_ns() // 1_000_000


def timed_ms(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1_000


def spread(times_ms: list[float]) -> dict[str, float]:
    """Return what to tell of many times."""
    p95 = statistics.quantiles(times_ms, n=20)[-1]
    return {
        "p50_ms": round(statistics.median(times_ms), 2),
        "p95_ms": round(p95, 2),
        "max_ms": round(max(times_ms), 2),
    }


def begin(store: SqlRolloutStore, name: str, carts: int) -> tuple[Loaded, float]:
    """Create and start a rollout; returns it, and how long it took to claim its carts."""
    stages = [{"name": "canary", "percent": 50}, {"name": "all", "percent": 100}]
    plan = plan_of({"rollout": name, "model": MODEL, "baseline": BASELINE, "stages": stages})
    made = events.Created(at_ms=1, plan=plan, baseline=BASELINE, manifests={MODEL: "2" * 64})
    step = create(made)
    store.commit(Change(step.rollout, 0, (made,), 1, effects=step.effects))
    loaded = Loaded(step.rollout, {})
    target = tuple(Candidate(f"s{n // 100:04}", f"{name}-{n:06}", "jetson") for n in range(carts))
    return loaded, write_ms(store, loaded, events.Started(at_ms=2, population=target))


def write_ms(store: SqlRolloutStore, loaded: Loaded, *entries: events.AnyEvent) -> float:
    """Write entries; returns how long the commit took, without the reducer."""
    batch = Batch(loaded, 5)
    batch.add(entries)
    return timed_ms(lambda: batch.commit(store))


def pauses(store: SqlRolloutStore, loaded: Loaded) -> dict[str, float]:
    """Pause and resume often."""
    times = []
    for turn in range(PAUSES):
        word = events.Resumed if turn % 2 else events.Paused
        times.append(write_ms(store, loaded, word(at_ms=9, actor="olga")))
        time.sleep(0.005)
    return spread(times)


def write_without_rest(address: str, name: str, busy: Event, enough: Event) -> None:
    """Be an engine that writes records of carts as fast as it can."""
    store = open_store(address, now_ms)
    lease = store.acquire("rollouts", "busy", 600)
    head, carts = store.head(name), tuple(store.carts(name).values())[:CHUNK]
    while not enough.is_set():
        store.commit(Change(head, head.version, (), 1, carts, lease=lease))
        busy.set()
    store.close()


def beside_an_engine(store: SqlRolloutStore, address: str, name: str, mine: Loaded) -> dict[str, float]:
    """Pause one rollout while another process writes another one without rest."""
    processes = multiprocessing.get_context("spawn")
    busy, enough = processes.Event(), processes.Event()
    # A daemon: it ends with us, also when a pause fails.
    engine = processes.Process(target=write_without_rest, args=(address, name, busy, enough), daemon=True)
    engine.start()
    if not busy.wait(60):
        raise SystemExit("the engine did not begin")
    times = pauses(store, mine)
    enough.set()
    engine.join(60)
    return times


def size_bytes(address: str) -> int:
    """Return the size of the database."""
    if address.startswith("sqlite"):
        path = address.removeprefix("sqlite:///")
        return sum(Path(path + part).stat().st_size for part in ("", "-wal") if Path(path + part).exists())
    engine = create_engine(address.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        size = int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
    engine.dispose()
    return size


def measure(address: str, carts: int) -> dict[str, object]:
    """Return what everything takes."""
    store = open_store(address, now_ms)
    empty = size_bytes(address)
    loaded, claim_ms = begin(store, "big", carts)
    names = [cart.cart for cart in loaded.carts.values()]
    stage_ms = write_ms(
        store, loaded, events.StageStarted(at_ms=3, stage=0, carts=tuple(names[: carts // 2]))
    )
    chunks = [tuple(names[at : at + CHUNK]) for at in range(0, min(carts // 2, CHUNK * CHUNKS), CHUNK)]
    told = [write_ms(store, loaded, events.CartsTold(at_ms=4, carts=chunk)) for chunk in chunks]
    mine, _ = begin(store, "small", 100)
    result: dict[str, object] = {
        "database": address.partition(":")[0],
        "carts": carts,
        "claim_ms": round(claim_ms),
        "stage_of_half_ms": round(stage_ms),
        f"change_of_{CHUNK}_carts": spread(told),
        "pause": pauses(store, loaded),
        "pause_beside_an_engine": beside_an_engine(store, address, "big", mine),
        "read_all_carts_ms": round(timed_ms(lambda: store.carts("big"))),
        "taken_of_all_carts_ms": round(timed_ms(lambda: store.taken(names))),
        "read_outbox_ms": round(timed_ms(store.outbox), 1),
        "bytes_per_cart": round((size_bytes(address) - empty) / carts),
    }
    result["end_and_release_ms"] = round(write_ms(store, loaded, events.Aborted(at_ms=9, actor="olga")))
    store.close()
    return result


def main() -> None:
    """Print what everything takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", help="of an empty database")
    parser.add_argument("--carts", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        address = options.address or f"sqlite:///{folder}/rollouts.db"
        print(json.dumps(measure(address, options.carts), indent=2))


if __name__ == "__main__":
    main()
