"""Keeps the components running: starts them in order, restarts what dies, stops all in reverse.

One thread, one loop: `step` looks at every component once and never blocks for longer than a
readiness probe. The clock is passed in, so that tests can tell the time.
"""

import enum
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from demo.errors import ComponentError, NotReadyError
from demo.up.components import Component
from demo.up.processes import Child
from demo.up.restarts import DeathRecord

# How often components are looked at: while something starts, and when all is well. Lower costs
# idle CPU, higher delays the start and the news of a death.
STARTING_STEP_S = 0.05
STEADY_STEP_S = 0.5


class State(enum.StrEnum):
    """Where a component is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    DONE = "done"
    RESTARTING = "restarting"
    STOPPED = "stopped"


UP = frozenset({State.READY, State.DONE})


@dataclass(frozen=True, slots=True)
class Change:
    """News of one component, for people."""

    component: Component
    state: State
    remark: str
    took_s: float | None = None


class Orphanage(Protocol):
    """Ends process groups if the supervisor itself is killed."""

    def watch(self, pgid: int) -> None:
        """Remember a group."""
        ...

    def forget(self, pgid: int) -> None:
        """Forget a group that has ended."""
        ...


@dataclass(slots=True)
class Slot:
    """One component and its present life."""

    component: Component
    state: State = State.WAITING
    child: Child | None = None
    started_s: float = 0.0
    retry_at_s: float = 0.0
    deaths: DeathRecord = field(default_factory=DeathRecord)

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self.child.pid if self.child is not None else None


class Supervisor:
    """Runs components; every change of state is told to `on_change`."""

    def __init__(
        self,
        components: Iterable[Component],
        *,
        logs: Path,
        orphanage: Orphanage,
        on_change: Callable[[Change], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.slots = {component.name: Slot(component) for component in components}
        self._logs = logs
        self._orphanage = orphanage
        self._on_change = on_change
        self._clock = clock

    @property
    def all_up(self) -> bool:
        """Whether every component is ready, or done."""
        return all(slot.state in UP for slot in self.slots.values())

    @property
    def pause_s(self) -> float:
        """How long to wait before the next step."""
        return STEADY_STEP_S if self.all_up else STARTING_STEP_S

    def step(self) -> None:
        """Look at every component once.

        Raises:
            ComponentError: one does not stay up, or was not ready in time.
        """
        for slot in self.slots.values():
            match slot.state:
                case State.WAITING if self._may_start(slot):
                    self._start(slot)
                case State.RESTARTING if self._clock() >= slot.retry_at_s:
                    self._start(slot)
                case State.STARTING:
                    self._look_if_ready(slot)
                case State.READY:
                    self._look_if_dead(slot)
                case _:
                    pass

    def _may_start(self, slot: Slot) -> bool:
        return all(self.slots[name].state in UP for name in slot.component.after)

    def _start(self, slot: Slot) -> None:
        component = slot.component
        slot.child = Child(component, self.log_of(component))
        self._orphanage.watch(slot.child.pid)
        slot.started_s = self._clock()
        slot.state = State.STARTING
        self._on_change(Change(component, slot.state, ""))

    def log_of(self, component: Component) -> Path:
        """Return where a component's output goes."""
        return self._logs / f"{component.name.replace(' ', '-')}.log"

    def _look_if_ready(self, slot: Slot) -> None:
        child = _running(slot)
        signs = child.signs()
        if signs.exit_code is not None and not (slot.component.one_shot and signs.exit_code == 0):
            self._bury(slot, signs.exit_code)
            return
        remark = slot.component.ready.look(signs)
        waited_s = self._clock() - slot.started_s
        if remark is not None:
            self._is_ready(slot, remark, waited_s)
        elif waited_s > slot.component.ready_timeout_s:
            raise NotReadyError(slot.component.name, waited_s, child.log, child.last_words)

    def _is_ready(self, slot: Slot, remark: str, took_s: float) -> None:
        if slot.component.one_shot:
            self._let_go(slot)
        slot.state = State.DONE if slot.component.one_shot else State.READY
        self._on_change(Change(slot.component, slot.state, remark, took_s))

    def _look_if_dead(self, slot: Slot) -> None:
        exit_code = _running(slot).exit_code
        if exit_code is not None:
            self._bury(slot, exit_code)

    def _bury(self, slot: Slot, exit_code: int) -> None:
        child = _running(slot)
        words = child.last_words
        self._let_go(slot)
        slot.deaths = slot.deaths.died(self._clock())
        how = f"killed by signal {-exit_code}" if exit_code < 0 else f"exit status {exit_code}"
        if slot.deaths.hopeless:
            why = f"died {len(slot.deaths.at_s)} times in a row ({how}) and was given up"
            raise ComponentError(slot.component.name, why, child.log, words)
        slot.state = State.RESTARTING
        slot.retry_at_s = self._clock() + slot.deaths.backoff_s
        remark = f"died ({how}), starts again in {slot.deaths.backoff_s:g} s; log: {child.log}"
        self._on_change(Change(slot.component, slot.state, remark))

    def _let_go(self, slot: Slot) -> None:
        child = _running(slot)
        child.finish(deadline_s=0.0)
        self._orphanage.forget(child.pid)
        slot.child = None

    def stop(self) -> None:
        """Stop everything: those first that nobody running depends on, each wave at once."""
        while running := [slot for slot in self.slots.values() if slot.child is not None]:
            needed = {name for slot in running for name in self._needs(slot.component)}
            wave = [slot for slot in running if slot.component.name not in needed] or running
            self._stop_wave(wave)

    def _needs(self, component: Component) -> set[str]:
        needs: set[str] = set()
        for name in component.after:
            needs |= {name} | self._needs(self.slots[name].component)
        return needs

    def _stop_wave(self, wave: list[Slot]) -> None:
        for slot in wave:
            _running(slot).ask_to_stop()
        begun_s = time.monotonic()
        for slot in wave:
            child = _running(slot)
            child.finish(begun_s + slot.component.stop_timeout_s)
            self._orphanage.forget(child.pid)
            slot.child = None
            slot.state = State.STOPPED
            self._on_change(Change(slot.component, slot.state, ""))


def _running(slot: Slot) -> Child:
    if slot.child is None:
        msg = f"{slot.component.name} does not run"
        raise AssertionError(msg)
    return slot.child
