"""One rollout over 100,000 carts: time of an engine pass, size of the database, memory.

    python -m benchmarks.rollout_scale [--carts 100000] [--database sqlite:///FILE]

Carts are doubles that obey at once; the engine, the reducer, the outbox and the database are the real ones.
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from fleet_control.rollouts import events
from fleet_control.rollouts.control import RolloutControl
from fleet_control.rollouts.engine import Engine, Findings
from fleet_control.rollouts.fleet_memory import MemoryFleet
from fleet_control.rollouts.outbox import OutboxPublisher
from fleet_control.rollouts.ports import CartReport, CartSighting, Command, Lease, Proof, PublishedModel
from fleet_control.rollouts.states import Action, DeviceState, Role, RolloutStatus, Verdict
from fleet_control.rollouts.store_sql import SqlRolloutStore, open_store
from fleet_protocol.rollouts import Permit

MODEL, BASELINE = "b" * 16, "a" * 16
CARTS_PER_STORE = 50
MINUTE_MS = 60_000


class Shelf:
    """Two models."""

    def models(self) -> tuple[PublishedModel, ...]:
        """Return them."""
        return tuple(PublishedModel(d, "grocery", d[:2], d[0] * 64, 1, 0) for d in (MODEL, BASELINE))

    def fetchable(self, digest: str) -> bool:
        """Whether it is one of them."""
        return digest in (MODEL, BASELINE)


class Scale:
    """A rollout at work."""

    def __init__(self, carts: int, address: str) -> None:
        self.now_ms = 1_800_000_000_000
        self.store: SqlRolloutStore = open_store(address, lambda: self.now_ms)
        names = [(f"s{n // CARTS_PER_STORE:05}", f"c{n:06}") for n in range(carts)]
        self.fleet = MemoryFleet(
            {
                cart: CartSighting(
                    store, cart, online=True, hardware="orin", labels={}, model=BASELINE, since_ms=0
                )
                for store, cart in names
            }
        )
        self.engine = Engine(self.store, self.fleet, now_ms=lambda: self.now_ms)
        self.publisher = OutboxPublisher(self.store, self.fleet, now_ms=lambda: self.now_ms)
        self.control = RolloutControl(self.store, self.fleet, Shelf(), now_ms=lambda: self.now_ms)
        lease = self.store.acquire("rollouts", "benchmark", 1e9)
        if lease is None:
            raise SystemExit("the lease is taken")
        self.lease: Lease = lease
        self.passes_ms: list[float] = []
        self.tells_ms: list[float] = []
        self.pauses_ms: list[float] = []
        self._seen = 0

    def begin(self) -> dict[str, float]:
        """Create and start it; returns how long that took."""
        plan = {
            "rollout": "scale",
            "model": MODEL,
            "stages": [
                {"name": "canary", "percent": 10, "bake": "1m"},
                {"name": "all", "percent": 100, "bake": "1m"},
            ],
            "device": {"rate_per_min": 60_000},
        }
        began_s = time.perf_counter()
        self.control.create(plan, key="create", actor="olga", role=Role.OWNER)
        created_s = time.perf_counter()
        self.act(Action.START)
        started_s = time.perf_counter()
        word = events.VerdictGiven(at_ms=self.now_ms, stage=0, gate="replay", verdict=Verdict.PASS)
        good = events.VerdictGiven(at_ms=self.now_ms, stage=0, gate="promotion", verdict=Verdict.PASS)
        self.engine.found(Findings("scale", {}, (word, good)))
        return {"create_s": created_s - began_s, "start_s": started_s - created_s}

    def act(self, action: Action) -> None:
        """Ask for something."""
        key = f"{action.value}-{self.now_ms}-{time.perf_counter_ns()}"
        self.control.act(Command(key, "olga", Role.OWNER, action, "scale", "benchmark"))

    def turn(self) -> None:
        """Let a second pass: one engine pass, everything told, carts obey."""
        self.now_ms += 1_000
        began_s = time.perf_counter()
        self.engine.run_pass(self.lease)
        passed_s = time.perf_counter()
        while self.publisher.run_once():
            pass
        self.passes_ms.append((passed_s - began_s) * 1000)
        self.tells_ms.append((time.perf_counter() - passed_s) * 1000)
        self._obey()

    def pause(self) -> None:
        """Pause and resume in the middle of it."""
        began_s = time.perf_counter()
        self.act(Action.PAUSE)
        while self.fleet.permits()["scale"].state != "paused":
            self.publisher.run_once()
        self.pauses_ms.append((time.perf_counter() - began_s) * 1000)
        self.act(Action.RESUME)

    def _obey(self) -> None:
        fresh, self._seen = self.fleet.told[self._seen :], len(self.fleet.told)
        proofs: dict[str, Proof] = {}
        for order in fresh:
            if isinstance(order, Permit):
                continue
            where, desired = order
            store, cart = where.split("/")
            for step, state in enumerate((DeviceState.FETCHING, DeviceState.STAGED, DeviceState.COMMITTED)):
                self.fleet.say(
                    CartReport(
                        store, cart, "scale", desired.attempt, step, state, desired.model, "", self.now_ms
                    )
                )
            proofs[cart] = Proof(desired.model, windows=5, inferences=9, last_ms=self.now_ms + 1_000)
        self.fleet.told.clear()
        self._seen = 0
        self.engine.found(Findings("scale", proofs, counted_ms=self.now_ms))


def measure(carts: int, address: str, file: Path | None) -> dict[str, Any]:
    """Run a rollout to its end."""
    scale = Scale(carts, address)
    began_s = time.perf_counter()
    result: dict[str, Any] = {"carts": carts, **scale.begin()}
    turns = 0
    while scale.store.head("scale").status is not RolloutStatus.COMPLETED:
        scale.turn()
        turns += 1
        if turns % 20 == 5:
            scale.pause()
        if turns > 5_000:
            raise SystemExit(f"not completed: {scale.store.head('scale').stages}")
    idle = scale.passes_ms[-20:]
    result |= {
        "turns": turns,
        "whole_s": time.perf_counter() - began_s,
        "pass_ms": {
            "median": statistics.median(scale.passes_ms),
            "p95": statistics.quantiles(scale.passes_ms, n=20)[-1],
            "max": max(scale.passes_ms),
            "idle_median": statistics.median(idle),
        },
        "pause_to_permit_ms": {"median": statistics.median(scale.pauses_ms), "max": max(scale.pauses_ms)},
        "database_mb": file.stat().st_size / 1e6 if file else None,
        "entries": scale.store.head("scale").version,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    scale.store.close()
    return result


def main() -> None:
    """Run and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--carts", type=int, default=100_000)
    parser.add_argument("--database", help="default: SQLite in a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = None if options.database else Path(folder) / "rollouts.db"
        address = options.database or f"sqlite:///{file}"
        result = measure(options.carts, address, file)
    print(json.dumps({"benchmark": "rollout_scale", "cores": os.cpu_count(), **result}, indent=2))


if __name__ == "__main__":
    main()
