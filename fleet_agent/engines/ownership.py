"""One thread owns an engine: whoever comes while it is in there is refused."""

import threading
from types import TracebackType

from fleet_agent.errors import EngineBusyError, EngineError

# Closing waits this long for an inference in progress; the slowest on the slowest cart takes under a second.
CLOSE_WAIT_S = 10.0


class Ownership:
    """Guards an engine's memory, which holds one batch and its answers.

    An engine may pass from one thread to the next (it is tried by one and used by another), but two at once
    would read each other's pictures; that is a mistake in the program, so it is an error and not a wait.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = ""
        self._ended = False

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise EngineBusyError(self._owner)
        if self._ended:
            self._lock.release()
            raise EngineError("the engine is closed")
        self._owner = threading.current_thread().name

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def end(self) -> bool:
        """Wait for the thread that is in there, and let nobody in any more.

        Returns:
            False when it had ended before.

        Raises:
            EngineBusyError: the thread does not come out.
        """
        if not self._lock.acquire(timeout=CLOSE_WAIT_S):
            raise EngineBusyError(self._owner)
        try:
            ended, self._ended = self._ended, True
            return not ended
        finally:
            self._lock.release()
