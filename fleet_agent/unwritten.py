"""Item events that the spool could not take yet: kept in memory, in order, and tried again.

A full disk is often full for minutes only: a log is rotated, a download is deleted. An event lost to it
would be a hole in a basket that nobody can explain. What is here is lost with the process, so it is
little and it is counted.
"""

from collections import deque
from collections.abc import Callable

import structlog

from fleet_agent.errors import SpoolError
from fleet_agent.events import ItemEvent
from fleet_agent.telemetry import Telemetry
from fleet_protocol.errors import ProtocolError

log = structlog.get_logger()

# Events that may wait: some five shopping trips, 1 kB each. More only grows what a power cut takes;
# fewer are lost while somebody clears the disk.
MAX_UNWRITTEN = 256


class UnwrittenEvents:
    """A bounded queue in front of the spool. For one thread.

    Args:
        append: Makes one event durable; raises `SpoolError` when it cannot.
        telemetry: Counts `spool_failed` per failed attempt and `events_lost` per lost event; its gauge
            `events_unwritten` says how many wait.
        on_late: Told of each event that became durable later than it was handed in.
        limit: Events that may wait.
    """

    def __init__(
        self,
        append: Callable[[ItemEvent], None],
        *,
        telemetry: Telemetry,
        on_late: Callable[[ItemEvent], None],
        limit: int = MAX_UNWRITTEN,
    ) -> None:
        self._append = append
        self._telemetry = telemetry
        self._on_late = on_late
        self._limit = limit
        self._waiting: deque[ItemEvent] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def write(self, event: ItemEvent) -> bool:
        """Write an event after those that wait; False when it has to wait or cannot be written at all."""
        self._waiting.append(event)
        written = self._write_waiting()
        if len(self._waiting) > self._limit:
            self._lose(self._waiting.popleft(), f"more than {self._limit} wait for the spool")
        self._telemetry.gauge("events_unwritten", len(self._waiting))
        self._tell([late for late in written if late is not event])
        return any(one is event for one in written)

    def retry(self) -> None:
        """Write what waits, the oldest first, as far as the spool takes it."""
        if self._waiting:
            written = self._write_waiting()
            self._telemetry.gauge("events_unwritten", len(self._waiting))
            self._tell(written)

    def _write_waiting(self) -> list[ItemEvent]:
        written = []
        while self._waiting:
            try:
                self._append(self._waiting[0])
            except SpoolError as error:
                log.warning("item events wait for the spool", waiting=len(self._waiting), why=str(error))
                self._telemetry.count("spool_failed")
                break
            except ProtocolError as error:  # it never will be: those behind it must not wait for it
                self._lose(self._waiting.popleft(), str(error))
            else:
                written.append(self._waiting.popleft())
        return written

    def _lose(self, event: ItemEvent, why: str) -> None:
        log.error("item event lost", event_id=event.event_id, why=why)
        self._telemetry.count("events_lost")

    def _tell(self, written: list[ItemEvent]) -> None:
        for event in written:
            try:
                self._on_late(event)
            except Exception:  # somebody else's callback does not stop the cart
                log.exception("on_event failed", event_id=event.event_id)
