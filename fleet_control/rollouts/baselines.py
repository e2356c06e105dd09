"""Whether rollouts can go back, asked of the repository before it matters.

The engine must know at the moment a gate fires, and may not wait for a server then: what was answered last
counts. A rollout was only created because its baseline could be fetched, so without any answer it can go
back; carts that keep the baseline do not even need the repository for that.
"""

import threading
from collections.abc import Callable, Iterable

import structlog

from fleet_control.errors import RegistryError
from fleet_control.rollouts.rollout import Rollout

_log = structlog.get_logger(__name__)


class Baselines:
    """Remembers; `ask` is for a thread that may wait, `can_go_back` for any.

    Args:
        ask: Whether the baseline of a rollout can be fetched; raises only `RegistryError`, and may take long.
    """

    def __init__(self, ask: Callable[[Rollout], bool]) -> None:
        self._ask = ask
        self._gone: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def can_go_back(self, rollout: Rollout) -> bool:
        """Return the last answer; never waits."""
        with self._lock:
            return rollout.rollout_id not in self._gone

    def refresh(self, rollouts: Iterable[Rollout]) -> None:
        """Ask for all that have not ended; a repository that does not answer changes nothing."""
        gone = set()
        for rollout in rollouts:
            try:
                lost = not self._ask(rollout)
            except RegistryError as error:
                _log.warning("the model repository cannot be asked", why=str(error))
                lost = not self.can_go_back(rollout)
            if lost:
                gone.add(rollout.rollout_id)
                _log.error(
                    "a rollout could not go back", rollout=rollout.rollout_id, baseline=rollout.baseline
                )
        with self._lock:
            self._gone = frozenset(gone)
