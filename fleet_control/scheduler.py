"""Runs something again and again: the rollups, one run at a time."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from queries.errors import QueriesError, RollupError

_log = structlog.get_logger(__name__)

# Seconds between runs. Pages are at most this much behind; lower only makes the warehouse work.
INTERVAL_S = 60.0
# Stands for every rollup: the warehouse could not even be asked what is new.
ALL = "all"
# After a failure the next run comes sooner, doubling up to the interval.
FIRST_RETRY_S = 2.0


class SchedulerObserver(Protocol):
    """Is told how runs go."""

    def rollup_finished(self, seconds: float) -> None:
        """A run succeeded."""

    def rollup_failed(self, names: Sequence[str]) -> None:
        """A run failed; it will be tried again.

        Args:
            names: The rollups that are behind.
        """


class RollupScheduler:
    """A thread that runs the rollups; never two runs at a time.

    Args:
        run: One run; raises `QueriesError` when it fails.
        interval_s: From the end of a run to the begin of the next.
        observer: Is told.

    Attributes:
        behind: The rollups that failed in the last run; empty when all are up to date.
    """

    def __init__(
        self, run: Callable[[], object], observer: SchedulerObserver, interval_s: float = INTERVAL_S
    ) -> None:
        self._run = run
        self._observer = observer
        self._interval_s = interval_s
        self.behind: tuple[str, ...] = ()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="rollups", daemon=True)

    def start(self) -> None:
        """Begin with a run at once."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Begin no more runs; return whether the last one ended in time."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        retry_s = FIRST_RETRY_S
        while not self._stopping.is_set():
            if self._run_once():
                retry_s = FIRST_RETRY_S
                self._stopping.wait(self._interval_s)
            else:
                self._stopping.wait(min(retry_s, self._interval_s))
                retry_s *= 2

    def _run_once(self) -> bool:
        began_s = time.monotonic()
        try:
            self._run()
        except RollupError as error:
            self._failed(tuple(sorted(error.failed)))
            _log.warning("some rollups failed; trying them again", rollups=self.behind, why=str(error))
            return False
        except QueriesError as error:
            self._failed((ALL,))
            _log.warning("the rollups failed; trying again", why=str(error))
            return False
        except Exception:  # noqa: BLE001  # pages go stale without rollups, but ingest must go on
            self._failed((ALL,))
            _log.exception("the rollups failed for a reason of ours")
            return False
        self.behind = ()
        self._observer.rollup_finished(time.monotonic() - began_s)
        return True

    def _failed(self, names: tuple[str, ...]) -> None:
        self.behind = names
        self._observer.rollup_failed(names)
