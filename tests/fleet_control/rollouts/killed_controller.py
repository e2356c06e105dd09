"""Controllers that are killed: run as `python -m ... ADDRESS KILLS SEED`, prints JSON of what was found.

Two controllers drive one database at once, each a process of its own; one of them after the other is killed
with SIGKILL at a random moment, and another takes its place. Meanwhile somebody pauses and resumes. Carts
answer late, twice and out of order. After every kill the log must be whole, and its fold the stored state.
"""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from typing import Any

from fleet_control.errors import FleetControlError, StaleVersionError
from fleet_control.rollouts import events
from fleet_control.rollouts.control import RolloutControl
from fleet_control.rollouts.engine import Engine, Findings
from fleet_control.rollouts.fleet_memory import MemoryFleet
from fleet_control.rollouts.outbox import OutboxPublisher
from fleet_control.rollouts.ports import CartReport, Command, Proof, RolloutStore
from fleet_control.rollouts.reducer import create, reduce
from fleet_control.rollouts.rollout import CartRecord
from fleet_control.rollouts.states import Action, CartStatus, DeviceState, Role, RolloutStatus, Verdict
from fleet_control.rollouts.store_sql import open_store
from tests.fleet_control.rollouts.scene import PLAN, Shelf
from tests.fleet_control.rollouts.worlds import BASELINE, MODEL, sightings

LEASE_S = 0.05
FLEET = sightings(4, 6)


def now_ms() -> int:
    """Return the time."""
    return time.time_ns() // 1_000_000


def drive(address: str, seed: int) -> None:
    """Be a controller until killed."""
    rng = random.Random(seed)
    store = open_store(address, now_ms)
    fleet = MemoryFleet(FLEET)
    engine = Engine(store, fleet, now_ms=now_ms)
    publisher = OutboxPublisher(store, fleet, now_ms=now_ms)
    while True:
        try:
            lease = store.acquire("rollouts", f"controller-{os.getpid()}", LEASE_S)
            if lease is None:
                time.sleep(0.001)
                continue
            answer(store, fleet, engine, rng)
            engine.run_pass(lease)
            publisher.run_once()
        except FleetControlError:
            continue


def answer(store: RolloutStore, fleet: MemoryFleet, engine: Engine, rng: random.Random) -> None:
    """Let carts say and show what they would, in disorder."""
    for head in store.heads(open_only=True):
        proofs: dict[str, Proof] = {}
        said: list[CartReport] = []
        for cart in store.carts(head.rollout_id).values():
            if cart.status in (CartStatus.TOLD, CartStatus.WORKING, CartStatus.PROVING):
                said += [report(cart, head.rollout_id, step) for step in range(3)]
                proofs[cart.cart] = Proof(MODEL, windows=12, inferences=5, last_ms=now_ms() + 1_000)
            if cart.status is CartStatus.REVERTING:
                proofs[cart.cart] = Proof(BASELINE, windows=2, inferences=5, last_ms=now_ms() + 1_000)
        rng.shuffle(said)
        fleet.say(*said, *said[: len(said) // 3])
        words = tuple(
            events.VerdictGiven(at_ms=now_ms(), stage=0, gate=gate, verdict=Verdict.PASS)
            for gate in ("replay", "promotion")
            if gate not in head.verdicts
        )
        engine.found(Findings(head.rollout_id, proofs, words, counted_ms=now_ms()))


def report(cart: CartRecord, rollout_id: str, step: int) -> CartReport:
    """Return the report of one step."""
    state = (DeviceState.FETCHING, DeviceState.STAGED, DeviceState.COMMITTED)[step]
    return CartReport(cart.store, cart.cart, rollout_id, cart.attempt, step, state, None, "", now_ms())


def check(store: RolloutStore, rollout_id: str) -> list[str]:
    """Return what is wrong with a rollout: nothing, if all is well."""
    head = store.head(rollout_id)
    entries, carts = store.log(rollout_id, limit=100_000), store.carts(rollout_id)
    wrong = []
    if [entry.number for entry in entries] != list(range(1, len(entries) + 1)):
        wrong.append("numbers are lost or doubled")
    first = entries[0].event
    if not isinstance(first, events.Created):
        return [*wrong, "the log does not begin with its creation"]
    folded, records = create(first).rollout, dict[str, CartRecord]()
    for entry in entries[1:]:
        status = folded.status
        step = reduce(folded, records, entry.event)
        if step.ignored:
            wrong.append(f"entry {entry.number} changes nothing: {step.ignored}")
        if status is RolloutStatus.PAUSED and isinstance(entry.event, events.CartsTold):
            wrong.append(f"entry {entry.number} tells carts during a pause")
        folded = step.rollout
        records.update((cart.cart, cart) for cart in step.carts)
    if folded != head:
        wrong.append(f"the head is not the fold of the log at {head.version}")
    if records != carts:
        wrong.append("records are not the fold of the log")
    return wrong


class Owner:
    """Somebody who creates, pauses and resumes."""

    def __init__(self, store: RolloutStore, rng: random.Random) -> None:
        self.control = RolloutControl(store, MemoryFleet(FLEET), Shelf(), now_ms=now_ms)
        self.store = store
        self.rng = rng
        self.made = 0
        self.actions: Counter[str] = Counter()

    @property
    def rollout_id(self) -> str:
        """The rollout that goes on."""
        return f"r{self.made}"

    def begin(self) -> None:
        """Create and start the next rollout."""
        self.made += 1
        stages = [{**stage, "bake": "0s"} for stage in PLAN["stages"]]
        plan = {**PLAN, "rollout": self.rollout_id, "stages": stages}
        self.control.create(plan, key=f"create-{self.made}", actor="olga", role=Role.OWNER)
        self.ask(Action.START)

    def ask(self, action: Action) -> None:
        """Ask for an action, twice under one key, as a click does that comes twice."""
        key = f"{action.value}-{self.made}-{sum(self.actions.values())}"
        for _ in range(2):
            try:
                self.control.act(Command(key, "olga", Role.OWNER, action, self.rollout_id, "because"))
            except StaleVersionError:
                return
        self.actions[action.value] += 1

    def something(self) -> None:
        """Do what an owner does."""
        status = self.store.head(self.rollout_id).status
        if status.final:
            self.begin()
        elif status is RolloutStatus.RUNNING and self.rng.random() < 0.3:
            self.ask(self.rng.choice([Action.PAUSE, Action.PAUSE, Action.ROLL_BACK, Action.ABORT_KEEP]))
        elif status is RolloutStatus.PAUSED:
            before = self.store.log(self.rollout_id, limit=100_000)[-1].number
            time.sleep(0.005)
            fresh = self.store.log(self.rollout_id, after=before, limit=1_000)
            told = [entry for entry in fresh if isinstance(entry.event, events.CartsTold)]
            self.actions["told while paused"] += len(told)
            self.ask(Action.RESUME)


def spawn(address: str, seed: int) -> int:
    """Start a controller; returns its process id."""
    pid = os.fork()
    if pid == 0:
        try:
            drive(address, seed)
        finally:
            os._exit(1)
    return pid


def main(address: str, kills: int, seed: int) -> dict[str, Any]:
    """Kill controllers; returns what was found."""
    children = [spawn(address, seed + n) for n in range(2)]
    try:
        return torment(address, kills, seed, children)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def torment(address: str, kills: int, seed: int, children: list[int]) -> dict[str, Any]:
    """Kill one controller after the other; `children` holds those that live."""
    rng = random.Random(seed)
    # Opened after the forks: nobody shares a connection.
    store = open_store(address, now_ms)
    owner = Owner(store, rng)
    owner.begin()
    wrong: list[str] = []
    for turn in range(kills):
        time.sleep(rng.uniform(0.0, 0.03))
        try:
            owner.something()
        except FleetControlError as error:
            owner.actions[type(error).__name__] += 1
        victim, other = children[turn % 2], children[1 - turn % 2]
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        # Nobody writes while it is looked at; what the other one has in hand it has not committed.
        os.kill(other, signal.SIGSTOP)
        wrong += check(store, owner.rollout_id)
        os.kill(other, signal.SIGCONT)
        children[turn % 2] = spawn(address, seed + 10 + turn)
    for number in range(1, owner.made):
        wrong += check(store, f"r{number}")
    entries = sum(store.head(f"r{number}").version for number in range(1, owner.made + 1))
    store.close()
    return {
        "kills": kills,
        "rollouts": owner.made,
        "entries": entries,
        "actions": dict(owner.actions),
        "wrong": wrong[:10],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))) + "\n")
