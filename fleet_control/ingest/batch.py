"""Collecting messages until it is worth a commit."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fleet_control.ingest.decoding import Accepted, Incoming
from fleet_protocol.messages import Window

# A window has some 150 nested counts, about the bytes of this many event rows.
ROWS_PER_WINDOW = 20


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """When a batch is handed to the warehouse.

    Attributes:
        rows: Enough rows for a commit (a commit costs about 10 ms whatever its size).
        bytes: Enough payload for a commit.
        wait_s: Longest wait of a message for company; lower gives fresher pages and smaller appends.
        most_rows: While the warehouse is busy a batch grows to here, then reading stops.
        most_bytes: As most_rows; with the inbox this bounds the memory.
    """

    rows: int = 6_000
    bytes: int = 2 * 1024 * 1024
    wait_s: float = 0.3
    most_rows: int = 20_000
    most_bytes: int = 16 * 1024 * 1024


@dataclass(slots=True)
class Batch:
    """Messages in order of arrival."""

    opened_s: float
    items: list[Incoming] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0

    def add(self, item: Incoming) -> None:
        """Append a message."""
        self.items.append(item)
        self.bytes += len(item.delivery.payload)
        self.rows += _weight(item)

    def is_worth_it(self, limits: BatchLimits, now_s: float) -> bool:
        """Tell whether the batch should go as soon as the warehouse is free."""
        if not self.items:
            return False
        waited = now_s - self.opened_s >= limits.wait_s
        return waited or self.rows >= limits.rows or self.bytes >= limits.bytes

    def is_full(self, limits: BatchLimits) -> bool:
        """Tell whether nothing more may be added."""
        return self.rows >= limits.most_rows or self.bytes >= limits.most_bytes


class BatchDesk:
    """Where the decoding thread lays messages down and the committing thread picks batches up.

    While the committing thread is busy the open batch grows, so that a slow warehouse gets fewer
    and larger appends; a full batch makes the decoding thread wait.
    """

    def __init__(self, limits: BatchLimits, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock_s = clock_s
        self._changed = threading.Condition()
        self._batch = Batch(opened_s=clock_s())
        self._closed = False

    def add(self, items: Sequence[Incoming]) -> None:
        """Append messages, whatever the size of the batch."""
        with self._changed:
            if not self._batch.items:
                self._batch.opened_s = self._clock_s()
            for item in items:
                self._batch.add(item)
            self._changed.notify_all()

    def wait_for_room(self, timeout_s: float) -> bool:
        """Return whether more may be added, at the latest after the time-out."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._batch.is_full(self._limits), timeout_s)

    def take(self, timeout_s: float) -> Batch | None:
        """Return the open batch once it is worth a commit; None when it is not in time."""
        deadline_s = self._clock_s() + timeout_s
        with self._changed:
            while not self._is_due():
                left_s = min(deadline_s - self._clock_s(), self._due_in_s())
                if deadline_s - self._clock_s() <= 0:
                    return None
                self._changed.wait(max(left_s, 0.001))
            taken, self._batch = self._batch, Batch(opened_s=self._clock_s())
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Say that nothing more comes: what is there goes at once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def is_finished(self) -> bool:
        """Tell whether it is closed and everything was taken."""
        with self._changed:
            return self._closed and not self._batch.items

    def _is_due(self) -> bool:
        worth_it = self._batch.is_worth_it(self._limits, self._clock_s())
        return worth_it or (self._closed and bool(self._batch.items))

    def _due_in_s(self) -> float:
        if not self._batch.items:
            return self._limits.wait_s
        return self._batch.opened_s + self._limits.wait_s - self._clock_s()


def _weight(item: Incoming) -> int:
    if not isinstance(item, Accepted):
        return 1
    return ROWS_PER_WINDOW if isinstance(item.message, Window) else item.rows
