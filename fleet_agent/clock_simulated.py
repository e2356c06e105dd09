"""A clock whose hours pass in seconds: the double of the machine's clock.

Time stands still while any thread that takes part is awake, and jumps to the next wake-up when all of
them sleep. So a day of a whole cart with all its threads takes as long as its work, nothing is late
because the machine is busy, and one thread runs at a time, in order of time.

A thread that this clock made takes part from its start; any other from its first wait on an event or a
condition of this clock; both until they end or `leave`. Whoever does something else that takes long (joining
threads, a real socket) leaves first.
"""

import heapq
import math
import threading
from collections.abc import Callable, Iterable
from itertools import count
from typing import TypeVar

T = TypeVar("T")
# A sleeper looks this often, in real seconds, whether a thread that was awake has died. Longer delays
# only that; shorter costs a processor for nothing.
RECHECK_S = 0.05


class _Sleeper:
    """One thread in one wait."""

    __slots__ = ("due_s", "notified", "signal", "thread", "woken")

    def __init__(self, due_s: float) -> None:
        self.due_s = due_s
        self.thread = threading.current_thread()
        self.notified = False
        self.woken = False
        self.signal = threading.Lock()
        self.signal.acquire()


class SimulatedClock:
    """Both clocks of a cart, and its waits, in simulated time.

    Args:
        start_s: Where the clock that never jumps begins.
        epoch_ms: The time of day at that moment.
    """

    def __init__(self, start_s: float = 1000.0, epoch_ms: int = 1_790_000_000_000) -> None:
        self._lock = threading.Lock()
        self._now_s = start_s
        self._epoch_ms = epoch_ms - round(start_s * 1000)
        self._order = count()
        self._sleepers: list[tuple[float, int, _Sleeper]] = []
        self._awake: set[threading.Thread] = set()

    def monotonic_s(self) -> float:
        """Return simulated seconds."""
        return self._now_s

    def epoch_ms(self) -> int:
        """Return the simulated time of day."""
        return self._epoch_ms + round(self._now_s * 1000)

    def event(self) -> threading.Event:
        """Return an event whose waits pass simulated time."""
        return _SimulatedEvent(self)

    def condition(self) -> threading.Condition:
        """Return a condition whose waits pass simulated time."""
        return _SimulatedCondition(self)

    def thread(self, target: Callable[[], object], name: str) -> threading.Thread:
        """Return a thread for which time stands still until it waits."""
        return _SimulatedThread(self, target, name)

    def sleep(self, seconds: float) -> None:
        """Let simulated time pass."""
        self.event().wait(seconds)

    def take_part(self, thread: threading.Thread | None = None) -> None:
        """Hold time still until a thread waits: this one, or one that is about to run."""
        with self._lock:
            self._awake.add(thread or threading.current_thread())

    def leave(self) -> None:
        """Take part no more: time does not wait for this thread."""
        with self._lock:
            self._awake.discard(threading.current_thread())
            self._advance()

    def _wait(self, sleeper: _Sleeper) -> None:
        """Sleep until woken or due."""
        with self._lock:
            if sleeper.woken:  # notified before it slept
                return
            self._awake.discard(sleeper.thread)
            if not math.isinf(sleeper.due_s):
                heapq.heappush(self._sleepers, (sleeper.due_s, next(self._order), sleeper))
            self._advance()
        while not sleeper.signal.acquire(timeout=RECHECK_S):
            with self._lock:
                self._advance()

    def _notify(self, sleepers: Iterable[_Sleeper]) -> None:
        with self._lock:
            for sleeper in sleepers:
                sleeper.notified = True
                self._wake(sleeper)

    def _wake(self, sleeper: _Sleeper) -> None:
        if not sleeper.woken:
            sleeper.woken = True
            self._awake.add(sleeper.thread)
            sleeper.signal.release()

    def _advance(self) -> None:
        """Wake the next sleeper if nobody is awake, and move time to its wake-up."""
        if any(thread.is_alive() or thread.ident is None for thread in self._awake):
            return
        self._awake.clear()
        while self._sleepers:
            due_s, _, sleeper = heapq.heappop(self._sleepers)
            if not sleeper.woken:
                self._now_s = max(self._now_s, due_s)
                self._wake(sleeper)
                return


class _SimulatedThread(threading.Thread):
    """A thread that takes part before it runs: else time could pass while it comes to life."""

    def __init__(self, clock: SimulatedClock, target: Callable[[], object], name: str) -> None:
        super().__init__(target=target, name=name, daemon=True)
        self._clock = clock

    def start(self) -> None:
        self._clock.take_part(self)
        super().start()


class _SimulatedCondition(threading.Condition):
    """A condition that sleeps by a simulated clock."""

    def __init__(self, clock: SimulatedClock) -> None:
        super().__init__()
        self._clock = clock
        self._sleeping: list[_Sleeper] = []

    def wait(self, timeout: float | None = None) -> bool:
        now_s = self._clock.monotonic_s()
        sleeper = _Sleeper(math.inf if timeout is None else now_s + max(0.0, timeout))
        self._sleeping.append(sleeper)
        self.release()
        try:
            self._clock._wait(sleeper)  # noqa: SLF001  # two halves of one thing
        finally:
            self.acquire()
            if sleeper in self._sleeping:
                self._sleeping.remove(sleeper)
        return sleeper.notified

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        until_s = math.inf if timeout is None else self._clock.monotonic_s() + timeout
        result = predicate()
        while not result and (left_s := until_s - self._clock.monotonic_s()) > 0:
            self.wait(None if math.isinf(left_s) else left_s)
            result = predicate()
        return result

    def notify(self, n: int = 1) -> None:
        woken, self._sleeping = self._sleeping[:n], self._sleeping[n:]
        self._clock._notify(woken)  # noqa: SLF001

    def notify_all(self) -> None:
        self.notify(len(self._sleeping))


class _SimulatedEvent(threading.Event):
    """An event that sleeps by a simulated clock."""

    def __init__(self, clock: SimulatedClock) -> None:
        super().__init__()
        self._changed = clock.condition()
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        with self._changed:
            self._is_set = True
            self._changed.notify_all()

    def clear(self) -> None:
        with self._changed:
            self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._is_set, timeout)
