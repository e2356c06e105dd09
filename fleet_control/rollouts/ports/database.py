"""The database: heads, carts, the log, commands, leases, and what waits to be told."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fleet_control.rollouts.events import AnyEvent
from fleet_control.rollouts.rollout import CartRecord, Effect, Rollout
from fleet_control.rollouts.states import Action, CartStatus, Role


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
