"""Entries that are written together: reduced one after the other, committed as one change."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fleet_control.rollouts import events
from fleet_control.rollouts.events import AnyEvent
from fleet_control.rollouts.ports import Change, CommandRecord, Lease, RolloutStore
from fleet_control.rollouts.reducer import reduce
from fleet_control.rollouts.rollout import CartRecord, Effect, Rollout


@dataclass(slots=True)
class Loaded:
    """A rollout as it is in the database.

    Attributes:
        rollout: The head.
        carts: All its records.
    """

    rollout: Rollout
    carts: dict[str, CartRecord]


@dataclass(slots=True)
class Batch:
    """Collects entries on a copy of the state; `commit` writes them, and only then the state is another.

    Attributes:
        loaded: The state; changed by `commit` alone.
        at_ms: When.
        ignored: Entries that changed nothing, with why: they are not written.
    """

    loaded: Loaded
    at_ms: int
    ignored: list[tuple[AnyEvent, str]] = field(default_factory=list)
    _head: Rollout = field(init=False)
    _carts: dict[str, CartRecord] = field(default_factory=dict, init=False)
    _events: list[AnyEvent] = field(default_factory=list, init=False)
    _effects: list[Effect] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._head = self.loaded.rollout

    @property
    def rollout(self) -> Rollout:
        """The head with everything that was added."""
        return self._head

    def add(self, entries: Iterable[AnyEvent]) -> None:
        """Reduce entries; those that change nothing are noted and left out."""
        view = _Overlay(self._carts, self.loaded.carts)
        for event in entries:
            step = reduce(self._head, view, event)
            if step.ignored:
                self.ignored.append((event, step.ignored))
                continue
            self._head = step.rollout
            self._carts.update((cart.cart, cart) for cart in step.carts)
            self._events.append(event)
            self._effects += step.effects

    def commit(
        self,
        store: RolloutStore,
        *,
        lease: Lease | None = None,
        command: CommandRecord | None = None,
        gates: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> bool:
        """Write what was added; whether there was anything to write.

        Raises:
            RolloutError: it was not written, and the state is as before.
        """
        if not self._events and not gates:
            return False
        store.commit(
            Change(
                rollout=self._head,
                expected_version=self.loaded.rollout.version,
                events=tuple(self._events),
                at_ms=self.at_ms,
                carts=tuple(self._carts.values()),
                effects=tuple(self._effects),
                claims=any(isinstance(event, events.Started | events.StageStarted) for event in self._events),
                releases=self._head.status.final,
                gates=gates or {},
                command=command,
                lease=lease,
            )
        )
        self.loaded.rollout = self._head
        self.loaded.carts.update(self._carts)
        self._carts, self._events, self._effects = {}, [], []
        return True


class _Overlay(Mapping[str, CartRecord]):
    """Changed records over those of the state."""

    def __init__(self, changed: Mapping[str, CartRecord], kept: Mapping[str, CartRecord]) -> None:
        self._changed = changed
        self._kept = kept

    def __getitem__(self, name: str) -> CartRecord:
        found = self._changed.get(name)
        return found if found is not None else self._kept[name]

    def __iter__(self) -> Any:
        yield from self._kept
        yield from (name for name in self._changed if name not in self._kept)

    def __len__(self) -> int:
        return len(self._kept) + sum(name not in self._kept for name in self._changed)
