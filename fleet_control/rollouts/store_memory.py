"""The database of rollouts in memory: the double for tests, benchmarks and shows of a moment."""

import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from typing import Any

from fleet_control.errors import (
    CartsTakenError,
    FencedError,
    StaleVersionError,
    UnknownRolloutError,
)
from fleet_control.rollouts import store_codec as codec
from fleet_control.rollouts.events import decode_event, encode_event
from fleet_control.rollouts.idempotency import check_repeat
from fleet_control.rollouts.ports import Change, CommandRecord, Lease, LoggedEvent, OutboxEntry
from fleet_control.rollouts.rollout import CartRecord, Notice, Rollout, TellCart, TellPermit
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
        self._logs: dict[str, list[LoggedEvent]] = {}
        self._gates: dict[str, dict[str, dict[str, Any]]] = {}
        self._commands: dict[str, CommandRecord] = {}
        self._permits: dict[int, OutboxEntry] = {}
        self._notices: dict[int, OutboxEntry] = {}
        self._others: dict[int, OutboxEntry] = {}
        self._ids = max(1, now_ms())
        self._orders: dict[str, OutboxEntry] = {}
        self._leases: dict[str, Lease] = {}
        self._lease_until_ms: dict[str, int] = {}

    def commit(self, change: Change) -> None:
        """Write a step, or nothing of it; see `RolloutStore`."""
        with self._lock:
            if self._is_repeat(change):
                return
            self._check(change)
            rollout_id = change.rollout.rollout_id
            # As a database would: what cannot be written is found out before anything is.
            entries = [decode_event(encode_event(event)) for event in change.events]
            gates = {name: codec.decode_object(codec.encode(state)) for name, state in change.gates.items()}
            for number, event in enumerate(entries, change.expected_version + 1):
                entry = LoggedEvent(rollout_id, number, event)
                self._log.append(entry)
                self._logs.setdefault(rollout_id, []).append(entry)
            self._heads[rollout_id] = change.rollout
            self._carts.setdefault(rollout_id, {}).update((cart.cart, cart) for cart in change.carts)
            self._claim(change)
            self._gates.setdefault(rollout_id, {}).update(gates)
            if change.command is not None:
                self._commands[change.command.key] = change.command
            self._tell_later(change)

    def _is_repeat(self, change: Change) -> bool:
        command = change.command
        before = None if command is None else self._commands.get(command.key)
        if command is None or before is None:
            return False
        check_repeat(before, command)
        return True

    def _check(self, change: Change) -> None:
        lease = change.lease
        if lease is not None and not self._is_held(lease):
            raise FencedError(lease.name, lease.token)
        rollout_id = change.rollout.rollout_id
        head = self._heads.get(rollout_id)
        found = 0 if head is None else head.version
        if found != change.expected_version:
            raise StaleVersionError(rollout_id, change.expected_version, found)
        if taken := self.taken(_held_by(change), but=rollout_id):
            raise CartsTakenError(taken)

    def _claim(self, change: Change) -> None:
        """Let a rollout hold the carts of its records, but for those that left it; none once it has ended."""
        rollout_id, held = change.rollout.rollout_id, set(_held_by(change))
        for cart in change.carts:
            if cart.cart not in held and self._claims.get(cart.cart) == rollout_id:
                del self._claims[cart.cart]
        self._claims.update(dict.fromkeys(held, rollout_id))
        if change.releases:
            self._claims = {cart: by for cart, by in self._claims.items() if by != rollout_id}

    def _tell_later(self, change: Change) -> None:
        rollout = change.rollout
        for effect in change.effects:
            self._ids += 1
            manifest = rollout.manifests.get(effect.model, "") if isinstance(effect, TellCart) else ""
            entry = OutboxEntry(self._ids, rollout.rollout_id, effect, manifest, change.at_ms)
            waiting = self._permits if isinstance(effect, TellPermit) else self._others
            (self._notices if isinstance(effect, Notice) else waiting)[entry.id] = entry

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
        found.sort(key=lambda head: (head.created_ms, head.rollout_id), reverse=True)
        return tuple(found[:limit])

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
            return tuple(self._logs.get(rollout_id, ())[after : after + limit])

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
            return tuple(
                islice(chain(self._permits.values(), self._notices.values(), self._others.values()), limit)
            )

    def told(self, ids: Sequence[int]) -> None:
        """Note that entries of the outbox were told."""
        with self._lock:
            for one in ids:
                self._permits.pop(one, None)
                self._notices.pop(one, None)
                self._keep_order(self._others.pop(one, None))

    def _keep_order(self, entry: OutboxEntry | None) -> None:
        if entry is None or not isinstance(entry.effect, TellCart):
            return
        cart = f"{entry.effect.store}/{entry.effect.cart}"
        before = self._orders.get(cart)
        if before is None or before.id < entry.id:
            self._orders[cart] = entry

    def orders(self) -> tuple[OutboxEntry, ...]:
        """Return the newest order that each cart was told."""
        with self._lock:
            return tuple(self._orders.values())

    def acquire(self, name: str, owner: str, ttl_s: float) -> Lease | None:
        """Take or renew a lease; a new holder gets a higher token."""
        with self._lock:
            lease = self._leases.get(name)
            if lease is None or not self._is_held(lease):
                lease = Lease(name, owner, 1 if lease is None else lease.token + 1)
            elif lease.owner != owner:
                return None
            self._leases[name] = lease
            self._lease_until_ms[name] = self._now_ms() + int(ttl_s * 1000)
            return lease

    def release(self, lease: Lease) -> None:
        """Give a lease back."""
        with self._lock:
            if self._leases.get(lease.name) == lease:
                self._lease_until_ms[lease.name] = 0

    def _is_held(self, lease: Lease) -> bool:
        same = self._leases.get(lease.name) == lease
        return same and self._now_ms() < self._lease_until_ms[lease.name]


def _held_by(change: Change) -> list[str]:
    """Return which carts of a change its rollout holds from now on."""
    if change.releases:
        return []
    return [cart.cart for cart in change.carts if cart.holds]
