"""What the rollout engine needs of the world, one Protocol per outside system."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fleet_control.rollouts.events import AnyEvent
from fleet_control.rollouts.rollout import CartRecord, Effect, Rollout
from fleet_control.rollouts.states import Action, CartStatus, DeviceState, Role
from fleet_protocol.rollouts import Desired, Permit

# --- the database -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to drive all rollouts, for a while.

    Attributes:
        name: What it is for.
        owner: Who holds it.
        token: Higher than that of every lease before: a write with a lower one is refused.
    """

    name: str
    owner: str
    token: int


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """What a person or service asked for; kept for ever: the audit log.

    Attributes:
        key: Idempotency key; unique.
        fingerprint: sha256 of the command: the same key with another command is a mistake.
        at_ms: When.
        actor: Who.
        role: With which role.
        action: What.
        rollout_id: Of which rollout.
        reason: Why, in the actor's words.
        outcome: `done`, or why it was refused.
    """

    key: str
    fingerprint: str
    at_ms: int
    actor: str
    role: Role
    action: Action
    rollout_id: str
    reason: str
    outcome: str = "done"


@dataclass(frozen=True, slots=True)
class Change:
    """Everything that one step writes, in one transaction.

    Attributes:
        rollout: The new head.
        expected_version: Of the head it was made from; 0: the rollout is new.
        events: New entries of the log, in order: they get the numbers expected_version + 1 and so on, and
            the head's version is that of the last one.
        carts: New records of the carts that changed.
        effects: Go into the outbox, in order.
        claims: Carts that are claimed: none of them may be in another rollout that has not ended.
        releases: All carts of the rollout are free again.
        gates: New states of gates, by name.
        command: Whose command it was.
        lease: Under which it is written; None for a command, which needs none.
        at_ms: When.
    """

    rollout: Rollout
    expected_version: int
    events: tuple[AnyEvent, ...]
    at_ms: int
    carts: tuple[CartRecord, ...] = ()
    effects: tuple[Effect, ...] = ()
    claims: bool = False
    releases: bool = False
    gates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    command: CommandRecord | None = None
    lease: Lease | None = None


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An entry of the log with its number."""

    rollout_id: str
    number: int
    event: AnyEvent


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """Something that has to be told, in the order of `id`, at least once.

    Attributes:
        id: Counts up over all rollouts, from the time at which the database was made, so that a new one never
            goes on below an old one; the generation of a cart's `Desired`.
        rollout_id: Whose it is.
        effect: What.
        manifest: sha256 of the model's manifest, for a cart.
        at_ms: Since when it waits.
    """

    id: int
    rollout_id: str
    effect: Effect
    manifest: str
    at_ms: int


class RolloutStore(Protocol):
    """The database. Every method raises only `RolloutError`; all may be called from any thread."""

    def commit(self, change: Change) -> None:
        """Write a step, or nothing of it; the same command under the same key is done once.

        Raises:
            ActionRefusedError: the same command was refused before, under the same key.
            StaleVersionError: the head is not at the expected version.
            CartsTakenError: a claimed cart is in another rollout that has not ended.
            FencedError: the lease is no longer held.
            ReusedKeyError: the command's key was used before, for another command.
            StoreError: the database does not answer.
        """

    def record_refusal(self, command: CommandRecord) -> None:
        """Write down a command that was refused; one whose key is known changes nothing."""

    def command(self, key: str) -> CommandRecord | None:
        """Return the command of an idempotency key."""

    def head(self, rollout_id: str) -> Rollout:
        """Return a head.

        Raises:
            UnknownRolloutError: there is none.
        """

    def heads(self, *, open_only: bool = False, limit: int = 1_000) -> tuple[Rollout, ...]:
        """Return heads, the newest first; with open_only those that have not ended."""

    def carts(self, rollout_id: str) -> dict[str, CartRecord]:
        """Return all records of a rollout, by cart."""

    def cart_page(
        self,
        rollout_id: str,
        *,
        statuses: Sequence[CartStatus] = (),
        store: str | None = None,
        after: str = "",
        limit: int = 100,
    ) -> tuple[CartRecord, ...]:
        """Return records in the order of cart ids, after one of them."""

    def taken(self, carts: Iterable[str], *, but: str = "") -> dict[str, str]:
        """Return which of these carts are in a rollout that has not ended, and in which."""

    def log(self, rollout_id: str, *, after: int = 0, limit: int = 1_000) -> tuple[LoggedEvent, ...]:
        """Return entries in order, after a number."""

    def log_all(self, *, after: int = 0, limit: int = 1_000) -> tuple[tuple[int, LoggedEvent], ...]:
        """Return entries of all rollouts in the order in which they were written, after a position."""

    def audit(self, *, rollout_id: str | None = None, limit: int = 200) -> tuple[CommandRecord, ...]:
        """Return commands, the newest first."""

    def gates(self, rollout_id: str) -> dict[str, dict[str, Any]]:
        """Return the states of gates, by name."""

    def outbox(self, *, limit: int = 500) -> tuple[OutboxEntry, ...]:
        """Return what waits to be told, the oldest first; permits before everything else."""

    def told(self, ids: Sequence[int]) -> None:
        """Note that entries of the outbox were told."""

    def orders(self) -> tuple[OutboxEntry, ...]:
        """Return the newest order that each cart was told, by whichever rollout."""

    def acquire(self, name: str, owner: str, ttl_s: float) -> Lease | None:
        """Take or renew a lease; None: somebody else holds it. A new holder gets a higher token."""

    def release(self, lease: Lease) -> None:
        """Give a lease back; nothing happens if it is no longer held."""


# --- the carts ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CartSighting:
    """A cart by its newest retained state.

    Attributes:
        store: Where it is.
        cart: Its id.
        online: Whether it is connected.
        hardware: What it runs on.
        labels: Its owner's.
        model: Digest it says to run.
        since_ms: When `online` last changed, server clock.
        simulated: It says so.
    """

    store: str
    cart: str
    online: bool
    hardware: str
    labels: Mapping[str, str]
    model: str | None
    since_ms: int
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class CartReport:
    """A step that a cart told, not yet looked at.

    Attributes:
        store: Where it is.
        cart: Its id.
        rollout_id: Which rollout it means.
        attempt: Which try.
        step: Counts up within the try.
        state: The step.
        running: Digest it runs.
        why: Why it failed.
        at_ms: When the server received it.
    """

    store: str
    cart: str
    rollout_id: str
    attempt: int
    step: int
    state: DeviceState
    running: str | None
    why: str
    at_ms: int


class Fleet(Protocol):
    """The carts, over MQTT. Every method raises only `BrokerError`; all may be called from any thread."""

    def carts(self) -> Mapping[str, CartSighting]:
        """Return all carts that have ever been born, by id."""

    def reports(self) -> tuple[CartReport, ...]:
        """Return what came since the last call, in the order in which it came."""

    def tell(self, orders: Sequence[tuple[str, Desired] | Permit], timeout_s: float) -> int:
        """Publish retained messages in order, each (store/cart, Desired) or a Permit.

        Returns:
            How many of them, from the first, the broker has acknowledged.
        """

    def permits(self) -> Mapping[str, Permit]:
        """Return the permits that the broker holds, by rollout: what a cart that connects now reads."""

    def expect(self, orders: Iterable[tuple[str, Desired]]) -> None:
        """Note what carts were told before, so that it can be missed."""

    def missing(self, limit: int) -> Sequence[tuple[str, Desired]]:
        """Return at most so many orders that the broker lost, or holds in an older version."""

    def wait(self, timeout_s: float) -> bool:
        """Sleep until there is a report, or the time is over; whether there is one."""


# --- evidence and the rest ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Proof:
    """What a cart's newest telemetry shows.

    Attributes:
        running: Digest that its newest windows carry.
        windows: How many in a row carry it.
        inferences: In them.
        last_ms: End of the newest one.
    """

    running: str
    windows: int
    inferences: int
    last_ms: int


class Proofs(Protocol):
    """Telemetry in the warehouse. Raises only `WarehouseError`."""

    def running(self, carts: Sequence[tuple[str, str]], since_ms: int) -> Mapping[str, Proof]:
        """Return what carts (store, cart) run, as far as telemetry since a time shows."""


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """A model in the registry.

    Attributes:
        digest: As in telemetry.
        name: Of its manifest.
        version: Of its manifest.
        manifest: sha256 of `manifest.json`.
        size_bytes: Of all its files.
        published_ms: When.
    """

    digest: str
    name: str
    version: str
    manifest: str
    size_bytes: int
    published_ms: int


class Registry(Protocol):
    """The model repository, as far as rollouts need it. Raises only `RegistryError`."""

    def models(self) -> tuple[PublishedModel, ...]:
        """Return all models, the newest first."""

    def fetchable(self, digest: str) -> bool:
        """Whether a cart that asks now gets every file of it, unexpired and signed."""


# --- what people ask for --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Command:
    """An action that somebody asks for.

    Attributes:
        key: Idempotency key: the same command under the same key is done once.
        actor: Who.
        role: With which role.
        action: What; `CREATE` has its own way in.
        rollout_id: Of which rollout.
        reason: Why.
        expected_version: Refused if the rollout has moved on since the actor looked; None: whatever it is.
        carts: For a retry: which; empty: all that failed.
    """

    key: str
    actor: str
    role: Role
    action: Action
    rollout_id: str
    reason: str = ""
    expected_version: int | None = None
    carts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StagePreview:
    """The size of a stage, before it begins.

    Attributes:
        name: Of the stage.
        carts: How many it adds.
        by_store: The same by store.
        by_hardware: The same by hardware.
        pairs: Pairs of a canary and a control.
    """

    name: str
    carts: int
    by_store: Mapping[str, int]
    by_hardware: Mapping[str, int]
    pairs: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What a plan would mean for the carts that exist now.

    Attributes:
        carts: Of the target.
        offline: Of them, now.
        already: Of them, that run the model already.
        stages: In order.
        problems: Why it cannot be created; empty if it can.
        warnings: What its owner should know.
    """

    carts: int
    offline: int
    already: int
    stages: tuple[StagePreview, ...]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """An action as the state of a rollout and a role allow it, and what it would do.

    Attributes:
        action: Which.
        allowed: Whether it would be carried out now.
        why_not: Why not; empty if it is allowed.
        consequences: What happens to how many carts, in sentences.
    """

    action: Action
    allowed: bool
    why_not: str = ""
    consequences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GateReading:
    """What a gate knows, for people.

    Attributes:
        gate: accuracy, errors, latency, promotion, sample_ratio, replay.
        mode: enforce or shadow.
        verdict: The newest; None before the first.
        alpha: Its share of the plan's.
        e_value: Evidence now; None where the gate has none.
        threshold: At which it fails.
        interval: Where the difference is (canary minus control), at all times together; None if not known.
        canary: (hits, of) so far: right events, errors, slow decisions.
        control: The same of the controls.
        needed: About how many more canary events until a harm as large as the margin would be found; None.
        pairs: Pairs that have closed, for promotion.
        watermark_ms: Events up to then are counted.
        note: A sentence for people: why there is no data, what fired, what the replay found.
        query: The question it was asked with.
        history: (time, e-value), oldest first.
    """

    gate: str
    mode: str
    verdict: str | None
    alpha: float
    e_value: float | None = None
    threshold: float | None = None
    interval: tuple[float, float] | None = None
    canary: tuple[int, int] | None = None
    control: tuple[int, int] | None = None
    needed: int | None = None
    pairs: int | None = None
    watermark_ms: int | None = None
    note: str = ""
    query: str = ""
    history: tuple[tuple[int, float], ...] = ()


class Control(Protocol):
    """What the API, the command line and tests may ask. Raises only `FleetControlError`."""

    def create(self, plan_tree: Any, *, key: str, actor: str, role: Role, reason: str = "") -> Rollout:
        """Create a rollout from a tree of plain values; the same key gives the same rollout.

        Raises:
            PlanError: the plan is wrong or does not fit the fleet.
            ActionRefusedError: the role may not.
            CartsTakenError: carts are in another rollout.
        """

    def preview(self, plan_tree: Any) -> Preview:
        """Return what a plan would mean now.

        Raises:
            PlanError: it is no plan.
        """

    def act(self, command: Command) -> Rollout:
        """Carry out an action; the same key changes nothing the second time.

        Raises:
            UnknownRolloutError: there is no such rollout.
            ActionRefusedError: the state or the role forbids it.
            StaleVersionError: the rollout has moved on.
            ReusedKeyError: the key was used for another command.
        """

    def choices(self, rollout_id: str, role: Role, actor: str | None = None) -> tuple[Choice, ...]:
        """Return all actions with what they would do now; nobody may approve what they created."""

    def evidence(self, rollout_id: str) -> tuple[GateReading, ...]:
        """Return what the gates know."""

    def fleet(self) -> Mapping[str, CartSighting]:
        """Return all carts."""

    def models(self) -> tuple[PublishedModel, ...]:
        """Return all models that may be rolled out."""

    @property
    def store(self) -> RolloutStore:
        """For reading."""


OnNotice = Callable[[str, str, str], None]
