"""A whole controller on doubles, with carts that do what they are told, on a clock that is turned by hand."""

from dataclasses import dataclass, field, replace
from typing import Any

from fleet_control.errors import RegistryError
from fleet_control.rollouts import events
from fleet_control.rollouts.control import RolloutControl
from fleet_control.rollouts.engine import Engine, Findings
from fleet_control.rollouts.fleet_memory import MemoryFleet
from fleet_control.rollouts.outbox import OutboxPublisher
from fleet_control.rollouts.plan import Plan
from fleet_control.rollouts.ports import (
    CartReport,
    CartSighting,
    Command,
    Proof,
    PublishedModel,
    RolloutStore,
)
from fleet_control.rollouts.rollout import Rollout
from fleet_control.rollouts.states import Action, DeviceState, Role, Verdict
from fleet_control.rollouts.store_memory import MemoryRolloutStore
from fleet_protocol.rollouts import Desired, Permit
from tests.fleet_control.rollouts.worlds import BASELINE, MANIFESTS, MODEL, sightings

PLAN: dict[str, Any] = {
    "rollout": "autumn",
    "model": MODEL,
    "stages": [
        {"name": "canary", "percent": 25, "bake": "10m"},
        {"name": "all", "percent": 100, "bake": "10m"},
    ],
}


class Shelf:
    """A registry of two models; those in `gone` cannot be fetched any more. It may be `away` altogether."""

    def __init__(self) -> None:
        self.gone: set[str] = set()
        self.away = False

    def models(self) -> tuple[PublishedModel, ...]:
        """Return the models."""
        if self.away:
            raise RegistryError("the model repository does not answer")
        return tuple(
            PublishedModel(digest, "grocery", version, MANIFESTS[digest], 1_000, 0)
            for digest, version in ((MODEL, "v2"), (BASELINE, "v1"))
        )

    def fetchable(self, digest: str) -> bool:
        """Whether it is there."""
        return digest in MANIFESTS and digest not in self.gone


@dataclass
class Scene:
    """Everything together."""

    now_ms: int = 1_000_000
    model_of: dict[str, str] = field(default_factory=dict)
    obeys: bool = True
    made: int = 0
    store: RolloutStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = MemoryRolloutStore(lambda: self.now_ms)
        self.fleet = MemoryFleet(sightings(4, 6))
        self.shelf = Shelf()
        self._seen = 0
        self.build()

    def build(self, store: RolloutStore | None = None) -> None:
        """Make the controller anew on the same database, as after a crash."""
        self.store = store or self.store
        self.engine = Engine(self.store, self.fleet, now_ms=lambda: self.now_ms)
        self.publisher = OutboxPublisher(self.store, self.fleet, now_ms=lambda: self.now_ms)
        self.control = RolloutControl(self.store, self.fleet, self.shelf, now_ms=lambda: self.now_ms)
        lease = self.store.acquire("rollouts", "controller", 1e6)
        assert lease is not None
        self.lease = lease

    def create(self, **changes: object) -> Rollout:
        """Create and start a rollout."""
        self.made += 1
        tree = {**PLAN, **changes}
        self.control.create(tree, key=f"create-{self.made}", actor="olga", role=Role.OWNER)
        return self.act(Action.START, rollout_id=str(tree["rollout"]))

    def act(
        self, action: Action, *, rollout_id: str = "autumn", key: str = "", reason: str = "story"
    ) -> Rollout:
        """Ask for something."""
        self.made += 1
        key = key or f"{action.value}-{self.made}"
        return self.control.act(Command(key, "olga", Role.OWNER, action, rollout_id, reason))

    def turn(self, times: int = 1, step_s: float = 1.0) -> Rollout:
        """Let time pass: the engine, the outbox and the carts do what is due."""
        for _ in range(times):
            self.now_ms += int(step_s * 1000)
            self.engine.run_pass(self.lease)
            while self.publisher.run_once():
                pass
            if self.obeys:
                self.carts_obey()
        return self.head

    def carts_obey(self) -> None:
        """Carts with a running permit take the model they are told, at once, and prove it."""
        fresh, self._seen = self.fleet.told[self._seen :], len(self.fleet.told)
        permits = self.fleet.permits()
        for order in fresh:
            if isinstance(order, Permit):
                continue
            where, desired = order
            store, cart = where.split("/")
            if desired.rollout is None:
                self.model_of[cart] = desired.model
            elif permits[desired.rollout].state == "running":
                self.model_of[cart] = desired.model
                self.fleet.say(self.report(store, cart, desired, DeviceState.COMMITTED))
        self.prove()

    def report(
        self, store: str, cart: str, desired: Desired, state: DeviceState, step: int = 3
    ) -> CartReport:
        """Return a report."""
        return CartReport(
            store, cart, desired.rollout or "", desired.attempt, step, state, None, "", self.now_ms
        )

    def prove(self) -> None:
        """Let telemetry show what every cart runs."""
        proofs = {
            cart: Proof(model, windows=12, inferences=100, last_ms=self.now_ms)
            for cart, model in self.model_of.items()
        }
        for head in self.store.heads(open_only=True):
            self.engine.found(Findings(head.rollout_id, proofs, counted_ms=self.now_ms))

    def says(self, gate: str, verdict: Verdict, rollout_id: str = "autumn") -> None:
        """Let a gate say something."""
        word = events.VerdictGiven(at_ms=self.now_ms, stage=0, gate=gate, verdict=verdict)
        self.engine.found(Findings(rollout_id, {}, (word,), {gate: {"said": verdict.value}}))

    def arm(self, rollout_id: str = "autumn") -> None:
        """Let the replay of yesterday be quiet."""
        self.says("replay", Verdict.PASS, rollout_id)

    def offline(self, *carts: str) -> None:
        """Let carts lose their connection."""
        self.fleet.see(
            replace(self.fleet.carts()[cart], online=False, since_ms=self.now_ms) for cart in carts
        )

    def online(self, *carts: str) -> None:
        """Let carts come back."""
        self.fleet.see(replace(self.fleet.carts()[cart], online=True, since_ms=self.now_ms) for cart in carts)

    @property
    def head(self) -> Rollout:
        """The rollout as the database has it."""
        return self.store.head("autumn")

    def plan(self) -> Plan:
        """Return its plan."""
        return self.head.plan

    def born(self, *carts: tuple[str, str]) -> None:
        """Let new carts (store, cart) come online."""
        self.fleet.see(
            CartSighting(
                store, cart, online=True, hardware="jetson", labels={}, model=BASELINE, since_ms=self.now_ms
            )
            for store, cart in carts
        )
