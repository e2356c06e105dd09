"""The database of rollouts in memory: the double for tests, benchmarks and shows of a moment."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from fleet_control.errors import (
    CartsTakenError,
    FencedError,
    ReusedKeyError,
    StaleVersionError,
    UnknownRolloutError,
)
from fleet_control.rollouts.events import decode_event, encode_event
from fleet_control.rollouts.ports import Change, CommandRecord, Lease, LoggedEvent, OutboxEntry
from fleet_control.rollouts.rollout import CartRecord, Rollout, TellCart, TellPermit
from fleet_control.rollouts.states import CartStatus


class MemoryRolloutStore:
    """Implements `RolloutStore`.

    Args:
        now_ms: The time, for leases.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._lock = threading.RLock()
        self._heads: dict[str, Rollout] = {}
        self._carts: dict[str, dict[str, CartRecord]] = {}
        self._claims: dict[str, str] = {}
        self._log: list[LoggedEvent] = []
        self._gates: dict[str, dict[str, dict[str, Any]]] = {}
        self._commands: dict[str, CommandRecord] = {}
        self._outbox: dict[int, OutboxEntry] = {}
        self._ids = 0
        self._lease: Lease | None = None
        self._lease_until_ms = 0
        self._token = 0

    def commit(self, change: Change) -> None:
        """Write a step, or nothing of it; see `RolloutStore`."""
        with self._lock:
            if not self._check(change):
                return
            rollout_id = change.rollout.rollout_id
            for number, event in enumerate(change.events, change.expected_version + 1):
                # As a database would: what cannot be written is found out here.
                self._log.append(LoggedEvent(rollout_id, number, decode_event(encode_event(event))))
            self._heads[rollout_id] = change.rollout
            self._carts.setdefault(rollout_id, {}).update((cart.cart, cart) for cart in change.carts)
            if change.claims:
                self._claims.update((cart.cart, rollout_id) for cart in change.carts)
            for cart in change.carts:
                if cart.status is CartStatus.EXCLUDED:
                    self._claims.pop(cart.cart, None)
            if change.releases:
                self._claims = {cart: held for cart, held in self._claims.items() if held != rollout_id}
            self._gates.setdefault(rollout_id, {}).update(
                (name, dict(state)) for name, state in change.gates.items()
            )
            if change.command is not None:
                self._commands[change.command.key] = change.command
            self._tell_later(change)

    def _check(self, change: Change) -> bool:
        """Whether to write; False: it was written before."""
        command = change.command
        if command is not None and (known := self._commands.get(command.key)) is not None:
            if known.fingerprint != command.fingerprint:
                raise ReusedKeyError(command.key)
            return False
        lease = change.lease
        if lease is not None and (lease != self._lease or self._now_ms() >= self._lease_until_ms):
            raise FencedError(lease.name, lease.token)
        rollout_id = change.rollout.rollout_id
        head = self._heads.get(rollout_id)
        found = 0 if head is None else head.version
        if found != change.expected_version:
            raise StaleVersionError(rollout_id, change.expected_version, found)
        if change.claims and (taken := self.taken((cart.cart for cart in change.carts), but=rollout_id)):
            raise CartsTakenError(taken)
        return True

    def _tell_later(self, change: Change) -> None:
        rollout = change.rollout
        for effect in change.effects:
            self._ids += 1
            manifest = rollout.manifests.get(effect.model, "") if isinstance(effect, TellCart) else ""
            self._outbox[self._ids] = OutboxEntry(
                self._ids, rollout.rollout_id, effect, manifest, change.at_ms
            )

    def record_refusal(self, command: CommandRecord) -> None:
        """Write down a command that was refused."""
        with self._lock:
            self._commands.setdefault(command.key, command)

    def command(self, key: str) -> CommandRecord | None:
        """Return the command of an idempotency key."""
        with self._lock:
            return self._commands.get(key)

    def head(self, rollout_id: str) -> Rollout:
        """Return a head.

        Raises:
            UnknownRolloutError: there is none.
        """
        with self._lock:
            if rollout_id not in self._heads:
                raise UnknownRolloutError(rollout_id)
            return self._heads[rollout_id]

    def heads(self, *, open_only: bool = False, limit: int = 1_000) -> tuple[Rollout, ...]:
        """Return heads, the newest first."""
        with self._lock:
            found = [head for head in self._heads.values() if not (open_only and head.status.final)]
        return tuple(reversed(found))[:limit]

    def carts(self, rollout_id: str) -> dict[str, CartRecord]:
        """Return all records of a rollout."""
        with self._lock:
            return dict(self._carts.get(rollout_id, {}))

    def cart_page(
        self,
        rollout_id: str,
        *,
        statuses: Sequence[CartStatus] = (),
        store: str | None = None,
        after: str = "",
        limit: int = 100,
    ) -> tuple[CartRecord, ...]:
        """Return records in the order of cart ids."""
        found = [
            record
            for name, record in sorted(self.carts(rollout_id).items())
            if name > after
            and (not statuses or record.status in statuses)
            and (store is None or record.store == store)
        ]
        return tuple(found[:limit])

    def taken(self, carts: Iterable[str], *, but: str = "") -> dict[str, str]:
        """Return which of these carts are in a rollout that has not ended."""
        with self._lock:
            held = {cart: self._claims[cart] for cart in carts if cart in self._claims}
        return {cart: rollout for cart, rollout in held.items() if rollout != but}

    def log(self, rollout_id: str, *, after: int = 0, limit: int = 1_000) -> tuple[LoggedEvent, ...]:
        """Return entries in order."""
        with self._lock:
            mine = [entry for entry in self._log if entry.rollout_id == rollout_id and entry.number > after]
        return tuple(mine[:limit])

    def log_all(self, *, after: int = 0, limit: int = 1_000) -> tuple[tuple[int, LoggedEvent], ...]:
        """Return entries of all rollouts in the order in which they were written."""
        with self._lock:
            return tuple(enumerate(self._log[after : after + limit], after + 1))

    def audit(self, *, rollout_id: str | None = None, limit: int = 200) -> tuple[CommandRecord, ...]:
        """Return commands, the newest first."""
        with self._lock:
            every = [c for c in self._commands.values() if rollout_id in (None, c.rollout_id)]
        return tuple(reversed(every))[:limit]

    def gates(self, rollout_id: str) -> dict[str, dict[str, Any]]:
        """Return the states of gates."""
        with self._lock:
            return dict(self._gates.get(rollout_id, {}))

    def outbox(self, *, limit: int = 500) -> tuple[OutboxEntry, ...]:
        """Return what waits to be told, permits first."""
        with self._lock:
            waiting = sorted(
                self._outbox.values(), key=lambda entry: (not isinstance(entry.effect, TellPermit), entry.id)
            )
        return tuple(waiting[:limit])

    def told(self, ids: Sequence[int]) -> None:
        """Note that entries of the outbox were told."""
        with self._lock:
            for one in ids:
                self._outbox.pop(one, None)

    def acquire(self, name: str, owner: str, ttl_s: float) -> Lease | None:
        """Take or renew the lease; there is one, whatever its name."""
        with self._lock:
            now_ms = self._now_ms()
            held = self._lease is not None and now_ms < self._lease_until_ms
            if held and self._lease is not None and self._lease.owner != owner:
                return None
            if not held or self._lease is None:
                self._token += 1
                self._lease = Lease(name, owner, self._token)
            self._lease_until_ms = now_ms + int(ttl_s * 1000)
            return replace(self._lease)

    def release(self, lease: Lease) -> None:
        """Give the lease back."""
        with self._lock:
            if self._lease == lease:
                self._lease = None
