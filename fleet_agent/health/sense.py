"""A camera's or the scale's thread, which can be replaced when it hangs in a driver."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from fleet_agent.health.guard import Guard
from fleet_agent.ports import Clock

# A driver that hangs once a week is lived with; threads that hang are not collected without end.
FORGOTTEN_S = 3600.0


@dataclass(frozen=True, slots=True)
class Work:
    """What one thread does.

    Attributes:
        run: Until the stop.
        guard: Of its calls.
    """

    run: Callable[[], None]
    guard: Guard


class Sense:
    """One source, and the thread that reads it: at most one counts at any time.

    Args:
        name: Of the threads.
        make: Makes the work of a new thread, which ends when the event is set.
        clock: Makes the events.
        most_replacements: Hanging threads that are replaced within an hour; a further one is only
            abandoned, and the source given up.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[threading.Event], Work],
        *,
        clock: Clock,
        most_replacements: int,
    ) -> None:
        self._name = name
        self._make = make
        self._clock = clock
        self._most_replacements = most_replacements
        self._replaced_s: list[float] = []
        self._lock = threading.Lock()
        self._stopped = False
        self._begin()

    def _begin(self) -> None:
        self._stopping = self._clock.event()
        work = self._make(self._stopping)
        self._guard = work.guard
        self._thread = threading.Thread(target=work.run, name=self._name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def replace(self) -> bool:
        """Abandon a thread that hangs; True when another one has taken its place."""
        with self._lock:
            self._stopping.set()
            self._guard.abandon()
            now_s = self._clock.monotonic_s()
            self._replaced_s = [at_s for at_s in self._replaced_s if now_s - at_s < FORGOTTEN_S]
            if self._stopped or len(self._replaced_s) >= self._most_replacements:
                return False
            self._replaced_s.append(now_s)
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
