"""The controller: the threads that drive rollouts, under one lease.

- `drive` passes over all rollouts, every second or when there is news;
- `tell` sends what waits in the outbox, at once: a pause does not wait for a pass;
- `observe` asks the warehouse;
- `renew` holds the lease. Who loses it stands by, and another controller goes on from the database.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from fleet_control.errors import FencedError, FleetControlError
from fleet_control.rollouts.engine import Engine
from fleet_control.rollouts.observer import Observer
from fleet_control.rollouts.ports import Fleet, Lease, RolloutStore

_log = structlog.get_logger(__name__)

LEASE = "rollouts"


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often things are done.

    Attributes:
        pass_s: Between two passes without news. Lower costs queries; higher, and stages move later.
        tell_s: Between two looks into the outbox without news of this process. It bounds how long the pause
            of another process waits.
        observe_s: Between two looks at the warehouse. Lower costs queries; higher, and a harm is found later.
        lease_s: How long a lease lasts without being renewed: so long nobody drives after a crash.
    """

    pass_s: float = 1.0
    tell_s: float = 0.05
    observe_s: float = 10.0
    lease_s: float = 10.0


class Publisher(Protocol):
    """Sends what waits in the outbox."""

    def begin(self) -> None:
        """Begin to send under a new lease."""

    def run_once(self) -> int:
        """Send a part; returns how many entries were sent."""


class Controller:
    """Runs until told to stop.

    Args:
        owner: Names this process in the lease.
        store: The database.
        fleet: The carts.
        engine: Drives.
        publisher: Tells.
        observer: Asks the warehouse.
        rhythm: How often.
    """

    def __init__(
        self,
        owner: str,
        *,
        store: RolloutStore,
        fleet: Fleet,
        engine: Engine,
        publisher: Publisher,
        observer: Observer | None,
        rhythm: Rhythm | None = None,
    ) -> None:
        self._owner = owner
        self._store = store
        self._fleet = fleet
        self._engine = engine
        self._publisher = publisher
        self._observer = observer
        self._rhythm = rhythm or Rhythm()
        self._stopping = threading.Event()
        self._news = threading.Event()
        self._lease: Lease | None = None
        self._telling_under: int | None = None
        self._passed_s = time.monotonic()
        work: list[tuple[str, Callable[[Lease], None], Callable[[], None]]] = [
            ("drive", self._drive, lambda: self._fleet_wait(self._rhythm.pass_s)),
            ("tell", self._tell, self._wait_for_news),
        ]
        if observer is not None:
            work.append(("observe", self._observe, lambda: self._sleep(self._rhythm.observe_s)))
        self._threads = [
            threading.Thread(target=self._loop, args=each, name=f"rollouts-{each[0]}", daemon=True)
            for each in work
        ]
        self._threads.append(threading.Thread(target=self._renew, name="rollouts-renew", daemon=True))

    @property
    def leads(self) -> bool:
        """Whether this process drives; otherwise it stands by."""
        return self._lease is not None

    @property
    def silent_s(self) -> float:
        """How long ago the last pass ended, while this process drives."""
        return time.monotonic() - self._passed_s if self.leads else 0.0

    def start(self) -> None:
        """Begin; returns at once."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Say that something waits to be told. Any thread; never blocks."""
        self._news.set()

    def stop(self, timeout_s: float) -> bool:
        """End all threads and give the lease back; whether they ended in time."""
        self._stopping.set()
        self._news.set()
        deadline_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        ended = not any(thread.is_alive() for thread in self._threads)
        lease = self._lease
        if ended and lease is not None:
            try:
                self._store.release(lease)
            except FleetControlError as error:
                _log.warning("lease not given back; it runs out by itself", why=str(error))
        return ended

    def _loop(self, name: str, work: Callable[[Lease], None], rest: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            lease = self._lease
            if lease is None:
                self._sleep(self._rhythm.lease_s / 10)
                continue
            try:
                work(lease)
            except FencedError as error:
                _log.warning("another controller drives", thread=name, why=str(error))
                self._lease = None
            except FleetControlError as error:
                _log.warning("trying again", thread=name, why=str(error))
                self._sleep(self._rhythm.pass_s)
            except Exception:  # noqa: BLE001  # one fault must not end the thread that a pause needs
                _log.exception("trying again", thread=name)
                self._sleep(self._rhythm.pass_s)
            rest()

    def _drive(self, lease: Lease) -> None:
        self._engine.run_pass(lease)
        self._passed_s = time.monotonic()
        self._news.set()

    def _tell(self, lease: Lease) -> None:
        # Before the fleet is known nobody can tell whom an old order still concerns.
        if self._telling_under != lease.token and self._fleet.carts():
            self._publisher.begin()
            self._telling_under = lease.token
        while self._publisher.run_once() and not self._stopping.is_set():
            pass

    def _observe(self, _: Lease) -> None:
        if self._observer is not None:
            self._observer.run_once()

    def _renew(self) -> None:
        while not self._stopping.is_set():
            try:
                lease = self._store.acquire(LEASE, self._owner, self._rhythm.lease_s)
            except FleetControlError as error:
                _log.warning("lease not renewed", why=str(error))
                lease = None
            if (lease is None) != (self._lease is None):
                _log.info("driving" if lease else "standing by", owner=self._owner)
                self._passed_s = time.monotonic()
            self._lease = lease
            self._sleep(self._rhythm.lease_s / 3)

    def _wait_for_news(self) -> None:
        self._news.wait(self._rhythm.tell_s)
        self._news.clear()

    def _fleet_wait(self, timeout_s: float) -> None:
        self._fleet.wait(timeout_s)

    def _sleep(self, timeout_s: float) -> None:
        self._stopping.wait(timeout_s)
