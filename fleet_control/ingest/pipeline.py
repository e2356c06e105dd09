"""Receive, decode, batch, commit, acknowledge: two threads joined by a desk for one batch.

The decoding thread fills the next batch while the committing thread waits for the warehouse. A
message is acknowledged to the broker in one place only, after `Committer.commit` returned.
"""

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from fleet_control.errors import ShutdownError
from fleet_control.ingest.batch import Batch, BatchDesk, BatchLimits
from fleet_control.ingest.commit import Committer, Durable
from fleet_control.ingest.decoding import Accepted, Incoming, Rejected, decode, reject
from fleet_control.ingest.deliveries import Delivery, Inbox
from fleet_control.ingest.metrics import IngestMetrics
from fleet_control.ingest.plan import Plan, make_plan
from fleet_control.ingest.ports import History, Transport
from fleet_control.ingest.seeding import Memory, look_up_boots, seed
from fleet_control.ingest.watermarks import WatermarkDesk
from fleet_protocol.messages import Gap
from queries.errors import QueryError
from queries.writer.ports import Appender

_log = structlog.get_logger(__name__)

# Deliveries decoded between two looks at the clock.
DECODE_CHUNK = 200
# How often an idle thread looks whether there is something to do or whether to stop.
TICK_S = 0.1
# Pause before the warehouse is asked again about boots.
LOOK_UP_PAUSE_S = 1.0


class Pipeline:
    """One ingest: owns the ledger, feeds on an inbox, writes to a warehouse."""

    def __init__(
        self,
        *,
        transport: Transport,
        appender: Appender,
        history: History,
        metrics: IngestMetrics,
        limits: BatchLimits | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.inbox = Inbox()
        self.memory = Memory()
        self.failure: Exception | None = None
        self._transport = transport
        self._history = history
        self._metrics = metrics
        self._clock_s = clock_s
        self._desk = BatchDesk(limits or BatchLimits(), clock_s)
        self._watermarks = WatermarkDesk()
        self._draining = threading.Event()
        self._abandon = threading.Event()
        self._committer = Committer(appender, metrics, self._abandon)
        self._taken = 0
        self._settled = 0
        self._committing_since_s: float | None = None
        self._threads = [
            threading.Thread(target=self._guard, args=(loop,), name=name, daemon=True)
            for name, loop in (("ingest-decode", self._decode_loop), ("ingest-commit", self._commit_loop))
        ]
        metrics.watch_pending(self.pending, lambda: self.inbox.waiting_bytes)
        metrics.oldest_s.set_function(self.commit_age_s)
        metrics.boots.set_function(lambda: len(self.memory.ledger))

    def seed(self) -> int:
        """Learn from the warehouse what is durable; return the ledger entries that had to be added.

        Raises:
            QueryError: it does not answer; call again.
        """
        return seed(self.memory, self._history, self._committer)

    def start(self) -> None:
        """Begin to work; the transport is started by this too."""
        for thread in self._threads:
            thread.start()
        self._transport.start(self.inbox)

    def stop(self, timeout_s: float) -> bool:
        """Take nothing new, make durable what was received, say goodbye; return whether all was.

        What is not durable in time stays unacknowledged and comes again.
        """
        deadline_s = self._clock_s() + timeout_s
        self._transport.pause()
        self._draining.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(deadline_s - self._clock_s(), 0.0))
        drained = not any(thread.is_alive() for thread in self._threads) and self.failure is None
        self._abandon.set()
        self._transport.stop(max(deadline_s - self._clock_s(), 1.0))
        return drained

    def pending(self) -> int:
        """How many messages were received and are not yet settled."""
        return len(self.inbox) + self._taken - self._settled

    def commit_age_s(self) -> float:
        """How long the batch in hand has been waiting for the warehouse; 0 when there is none."""
        since_s = self._committing_since_s
        return 0.0 if since_s is None else self._clock_s() - since_s

    def is_working(self) -> bool:
        """Tell whether both threads live."""
        return self.failure is None and all(thread.is_alive() for thread in self._threads)

    def _guard(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except ShutdownError as error:
            _log.warning("stopped before everything was durable", why=str(error))
        except Exception as error:  # noqa: BLE001  # a thread's end must be seen: the service exits on it
            self.failure = error
            self._abandon.set()
            _log.exception("ingest cannot go on")

    def _decode_loop(self) -> None:
        while not self._abandon.is_set():
            if not self._desk.wait_for_room(TICK_S):
                continue
            deliveries = self.inbox.take(DECODE_CHUNK, TICK_S)
            self._taken += len(deliveries)
            if deliveries:
                self._desk.add([_decode_or_reject(delivery) for delivery in deliveries])
            elif self._draining.is_set():
                break
        self._desk.close()

    def _commit_loop(self) -> None:
        while not self._desk.is_finished():
            if batch := self._desk.take(TICK_S):
                self._commit(batch)
            self._tell_carts()
        self._tell_carts(everything=True)

    def _commit(self, batch: Batch) -> None:
        started_s = self._committing_since_s = self._clock_s()
        self._look_up(batch.items)
        memory = self.memory
        plan = make_plan(batch.items, memory.ledger, memory.presences, memory.recent_letters)
        durable = self._committer.commit(plan, memory.recent_letters)
        self._remember(plan, durable)
        self._transport.ack([item.delivery.token for item in batch.items])
        self._settled += len(batch.items)
        self._committing_since_s = None
        self._count(batch, plan, durable, self._clock_s() - started_s)

    def _look_up(self, items: Sequence[Incoming]) -> None:
        keys = [item.key for item in items if isinstance(item, Accepted | Rejected) and item.key]
        while True:
            try:
                look_up_boots(self.memory.ledger, self._history, {(k.cart, k.boot) for k in keys})
            except QueryError as error:
                _log.warning("the warehouse does not tell about old boots; asking again", why=str(error))
                if self._abandon.wait(LOOK_UP_PAUSE_S):
                    raise ShutdownError("the service stops before the warehouse answered") from error
            else:
                return

    def _remember(self, plan: Plan, durable: Durable) -> None:
        ledger = self.memory.ledger
        for entry in durable.entries:
            ledger.settle(*entry.key, entry.key.seq)
        for part in plan.settlements:
            ledger.settle(part.cart, part.boot, part.channel, part.low, part.high)
        self.memory.presences.update(plan.presences)
        for letter in durable.letters:
            self.memory.recent_letters.add(letter.topic, letter.payload_sha256)
        for store, cart, boot in plan.touched:
            self._watermarks.touch(store, cart, boot)
        ledger.evict(keep={(cart, boot) for _, cart, boot in plan.touched})

    def _tell_carts(self, *, everything: bool = False) -> None:
        due = self._watermarks.due(self.memory.ledger, self._clock_s(), everything=everything)
        for topic, payload in due:
            self._transport.publish_retained(topic, payload)
            self._metrics.watermarks.inc()

    def _count(self, batch: Batch, plan: Plan, durable: Durable, took_s: float) -> None:
        metrics = self._metrics
        metrics.messages.labels("stored").inc(durable.messages_stored)
        metrics.messages.labels("dead_letter").inc(len(durable.letters))
        metrics.messages.labels("duplicate").inc(plan.duplicates + durable.refused_again)
        metrics.messages.labels("superseded").inc(plan.superseded)
        metrics.commit_s.observe(took_s)
        metrics.batch_messages.observe(len(batch.items))
        metrics.lag_s.observe(self._clock_s() - batch.opened_s)
        for letter in durable.letters:
            metrics.letters.labels(letter.reason).inc()
        for message in plan.messages:
            if isinstance(message.message, Gap):
                metrics.gap_messages.labels(message.message.why).inc(message.message.n)


def _decode_or_reject(delivery: Delivery) -> Incoming:
    try:
        return decode(delivery)
    except Exception as error:  # noqa: BLE001  # one message that trips a bug must not stop the fleet
        _log.exception("a message could not be decoded for a reason of ours", topic=delivery.topic)
        return reject(delivery, "internal_error", f"{type(error).__name__}: {error}")
