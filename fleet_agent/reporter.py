"""Writes what happened into the spool: item events and labels at once, telemetry once a window."""

import threading
from collections.abc import Callable

import structlog

from fleet_agent.errors import SpoolError
from fleet_agent.events import ItemEvent, Label
from fleet_agent.host import Host
from fleet_agent.ports import Clock
from fleet_agent.spool import Spool
from fleet_agent.telemetry import Counts, Telemetry, rounded
from fleet_agent.unwritten import UnwrittenEvents
from fleet_agent.wire import (
    Identity,
    UpdateStep,
    item_message,
    label_message,
    update_message,
    window_message,
)

log = structlog.get_logger()

# Counter that each kind of label adds to.
LABEL_COUNTERS = {"correction": "corrected", "scan": "scanned", "audit": "audited"}
# Frames of a shorter time than this tell no rate: the last window of a stop may be a moment.
LEAST_FPS_S = 0.1


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
        self._window_t0_s = clock.monotonic_s()
        self._window_failed = False
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

    def update(self, step: UpdateStep) -> None:
        """Make a step of a model update durable.

        Raises:
            SpoolError: the spool cannot.
        """
        at_ms = self._clock.epoch_ms()
        self._spool.append("upd", lambda seq: update_message(self._identity, step, at_ms=at_ms, seq=seq))
        self._wake()

    def speak_as(self, identity: Identity) -> None:
        """Carry another model's digest from now on; close the window first. Only the deciding thread."""
        self._identity = identity

    @property
    def works(self) -> bool:
        """Whether the spool has taken what it was given last."""
        return not self._window_failed and not len(self._unwritten)

    def close_window(self) -> None:
        """Write the window that ends now and begin the next; a failure is logged and its counts lost."""
        self._unwritten.retry()
        evicted = self._spool.evicted
        if evicted > self._evicted:
            self._telemetry.count("spool_evicted", evicted - self._evicted)
            self._evicted = evicted
        t0, t1 = self._window_t0, self._clock.epoch_ms()
        self._window_t0 = t1
        self._set_gauges()
        counts = self._telemetry.drain()
        gauges = rounded({**counts.gau, **self._fps(counts)})
        try:
            self._spool.append(
                "tel",
                lambda seq: window_message(self._identity, counts, gauges=gauges, t0=t0, t1=t1, seq=seq),
            )
        except SpoolError as error:
            self._window_failed = True
            log.warning("window lost", cart=self._identity.cart, why=str(error))
            self._telemetry.count("spool_failed")
            return
        self._window_failed = False
        self._wake()

    def _set_gauges(self) -> None:
        spool = {"spool_bytes": self._spool.size_bytes, "spool_messages": self._spool.messages}
        for name, value in {**self._host.gauges(), **spool}.items():
            self._telemetry.gauge(name, value)

    def _fps(self, counts: Counts) -> dict[str, float]:
        """Return the frames per second of each camera in the window that ends now; 0 for a silent one."""
        now_s = self._clock.monotonic_s()
        elapsed_s, self._window_t0_s = now_s - self._window_t0_s, now_s
        if elapsed_s < LEAST_FPS_S:
            return {}
        cameras = self._identity.cameras
        fps = {camera: counts.cnt.get(f"frames/{camera}", 0) / elapsed_s for camera in cameras}
        for camera, value in fps.items():
            self._telemetry.gauge("fps", value, camera=camera)
        return {f"fps/{camera}": value for camera, value in fps.items()}
