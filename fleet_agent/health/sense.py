"""A camera's or the scale's thread, which can be replaced when it hangs in a driver."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from fleet_agent.health.guard import Guard
from fleet_agent.ports import Clock


@dataclass(frozen=True, slots=True)
class Work:
    """What one thread does.

    Attributes:
        run: Until the stop.
        guard: Of its calls.
        delivers: Whether its source does; cameras tell their `CameraWatch` instead.
    """

    run: Callable[[], None]
    guard: Guard
    delivers: Callable[[], bool] = lambda: True


class Sense:
    """One source, and the thread that reads it: at most one counts at any time.

    Args:
        name: Of the threads.
        make: Makes the work of a new thread, which ends when the event is set.
        clock: Makes the events and threads.
        most_hanging: Abandoned threads that may hang at the same time; with one more the source is given
            up until some of them have come back.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[threading.Event], Work],
        *,
        clock: Clock,
        most_hanging: int,
    ) -> None:
        self._name = name
        self._make = make
        self._clock = clock
        self._most_hanging = most_hanging
        self._hanging: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._stopped = False
        self._begin()

    def _begin(self) -> None:
        self._stopping = self._clock.event()
        work = self._make(self._stopping)
        self._guard = work.guard
        self._work = work
        ended = self._ended = threading.Event()

        def run() -> None:
            work.run()
            ended.set()

        self._thread = self._clock.thread(run, self._name)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def dead(self) -> bool:
        """Whether the thread is gone though nobody stopped it and its source has not ended."""
        with self._lock:
            gone = self._thread.ident is not None and not self._thread.is_alive()
            return gone and not (self._ended.is_set() or self._stopped or self._guard.abandoned)

    @property
    def delivers(self) -> bool:
        """Whether the source does."""
        return self._work.delivers()

    def replace(self) -> bool:
        """Abandon a thread that hangs or died; True when another one has taken its place."""
        with self._lock:
            self._stopping.set()
            self._guard.abandon()
            self._hanging.append(self._thread)
            return self._begin_again()

    def revive(self) -> bool:
        """Start a source that was given up once more, if there is room for it by now; True if it was."""
        with self._lock:
            return self._guard.abandoned and self._begin_again()

    def _begin_again(self) -> bool:
        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        if self._stopped or len(self._hanging) > self._most_hanging:
            return False
        self._begin()
        self._thread.start()
        return True

    def begin_stop(self) -> None:
        """Tell the thread to end."""
        with self._lock:
            self._stopped = True
            self._stopping.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of the thread that counts; False when it does not come."""
        if self._thread.ident is None or self._guard.abandoned:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def name(self) -> str:
        """Name of the thread."""
        return self._name
