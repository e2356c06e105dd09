"""Writes what happened into the spool: item events and labels at once, telemetry once a window."""

import threading
from collections.abc import Callable

import structlog

from fleet_agent.errors import SpoolError
from fleet_agent.events import ItemEvent, Label
from fleet_agent.host import Host
from fleet_agent.ports import Clock
from fleet_agent.spool import Spool
from fleet_agent.telemetry import Telemetry, rounded
from fleet_agent.unwritten import UnwrittenEvents
from fleet_agent.wire import Identity, item_message, label_message, window_message

log = structlog.get_logger()

# Counter that each kind of label adds to.
LABEL_COUNTERS = {"correction": "corrected", "scan": "scanned", "audit": "audited"}


class Reporter:
    """The cart's way into its spool.

    Args:
        identity: Who speaks.
        spool: Where to.
        telemetry: What a window contains.
        clock: Time.
        wake: Tells the transport that there is something new.
        on_late: Told of each item event that became durable only after the spool had failed.

    Attributes:
        session_id: The shopping trip that coming events belong to.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        spool: Spool,
        telemetry: Telemetry,
        clock: Clock,
        wake: Callable[[], None],
        on_late: Callable[[ItemEvent], None] = lambda _: None,
    ) -> None:
        self._identity = identity
        self._spool = spool
        self._telemetry = telemetry
        self._clock = clock
        self._wake = wake
        self._host = Host()
        self._window_t0 = clock.epoch_ms()
        self._evicted = 0
        self._labels = 0
        self._lock = threading.Lock()
        self._unwritten = UnwrittenEvents(self._append_item, telemetry=telemetry, on_late=on_late)
        self.session_id: str | None = None

    def event_id(self, number: int) -> str:
        """Return the id of this boot's so-manyth item event: unique per cart."""
        return f"{self._identity.boot}-{number}"

    def item(self, event: ItemEvent) -> bool:
        """Make an item event durable; False when the spool cannot: then it waits and is tried again.

        Not for several threads at once: the deciding thread calls this and `close_window`.
        """
        return self._unwritten.write(event)

    def _append_item(self, event: ItemEvent) -> None:
        self._spool.append("evt", lambda seq: item_message(self._identity, event, seq))
        self._wake()

    def label(self, label: Label) -> None:
        """Make a label durable.

        Raises:
            SpoolError: the spool cannot.
        """
        with self._lock:
            self._labels += 1
            row_id = f"{self._identity.boot}-l{self._labels}"
        at_ms = self._clock.epoch_ms()
        self._spool.append(
            "evt", lambda seq: label_message(self._identity, label, row_id=row_id, at_ms=at_ms, seq=seq)
        )
        self._telemetry.count(LABEL_COUNTERS[label.type])
        self._wake()

    def close_window(self) -> None:
        """Write the window that ends now and begin the next; a failure is logged and its counts lost."""
        self._unwritten.retry()
        evicted = self._spool.evicted
        if evicted > self._evicted:
            self._telemetry.count("spool_evicted", evicted - self._evicted)
            self._evicted = evicted
        t0, t1 = self._window_t0, self._clock.epoch_ms()
        self._window_t0 = t1
        counts = self._telemetry.drain()
        gauges = rounded(
            {
                **self._host.gauges(),
                **counts.gau,
                "spool_bytes": self._spool.size_bytes,
                "spool_messages": self._spool.messages,
            }
        )
        try:
            self._spool.append(
                "tel",
                lambda seq: window_message(self._identity, counts, gauges=gauges, t0=t0, t1=t1, seq=seq),
            )
        except SpoolError as error:
            log.warning("window lost", cart=self._identity.cart, why=str(error))
            self._telemetry.count("spool_failed")
            return
        self._wake()
