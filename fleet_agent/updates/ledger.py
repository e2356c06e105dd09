"""The record in use: each step is on the disk before it is taken, and told once it is."""

import threading
from collections import deque
from collections.abc import Callable

import structlog

from fleet_agent.errors import SpoolError
from fleet_agent.telemetry import Telemetry
from fleet_agent.updates.happened import Happened
from fleet_agent.updates.lifecycle import reduce
from fleet_agent.updates.ports import RunningCart
from fleet_agent.updates.record import Record, RecordFile
from fleet_agent.wire import UpdateStep

log = structlog.get_logger()

# Reports that wait for a spool that fails. More would only tell what is long over.
MOST_UNTOLD = 64


class Ledger:
    """The record and the reports of it. Any thread may apply what happened.

    Args:
        file: The record.
        cart: Whose spool takes the reports.
        telemetry: Counts steps, as `update_<state>`.

    Attributes:
        lock: Held while the record changes: whoever must look at it and change it at once takes it, and calls
            `apply_locked`.
    """

    def __init__(self, file: RecordFile, cart: RunningCart, telemetry: Telemetry) -> None:
        self._file = file
        self._cart = cart
        self._telemetry = telemetry
        self._untold: deque[UpdateStep] = deque(maxlen=MOST_UNTOLD)
        self.lock = threading.Lock()

    @property
    def record(self) -> Record:
        """What holds now."""
        return self._file.record

    @property
    def told(self) -> bool:
        """Whether every step is in the spool."""
        return not self._untold

    def apply(self, happened: Happened) -> Record:
        """Take the record one step on, and write it down first.

        Raises:
            UpdateRecordError: it cannot be written; nothing happened.
        """
        with self.lock:
            return self.apply_locked(happened)

    def apply_locked(self, happened: Happened) -> Record:
        """Do as `apply`, for a thread that holds the lock."""
        before = self._file.record
        after = reduce(before, happened)
        self._file.save(after)
        if after.target is not None and _steps(after) != _steps(before):
            self._note(after)
        return after

    def apply_with(self, happened: Callable[[], Happened]) -> Record:
        """Do as `apply`, for what happened as seen under the lock."""
        with self.lock:
            return self.apply_locked(happened())

    def _note(self, record: Record) -> None:
        target = record.target
        if target is None:
            return
        step = UpdateStep(
            state=record.state,
            target=target.model,
            rollout=target.rollout,
            attempt=target.attempt if target.rollout else 0,
            number=record.step,
            reason=record.reason,
        )
        self._untold.append(step)
        self._telemetry.count(f"update_{record.state.lower()}")
        log.info("update", state=step.state, target=step.target, step=step.number, reason=step.reason)

    def tell(self) -> None:
        """Put reports into the spool, in order; what it does not take is tried again."""
        while self._untold:
            try:
                self._cart.report_update(self._untold[0])
            except SpoolError as error:
                log.warning("update not told", why=str(error))
                return
            self._untold.popleft()


def _steps(record: Record) -> tuple[object, ...]:
    return (record.step, record.target.key if record.target else None)
