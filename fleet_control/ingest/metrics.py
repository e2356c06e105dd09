"""What ingest counts, on a registry of its own.

At any quiet moment: received = stored + duplicate + dead_letter + superseded + pending.
"""

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

OUTCOMES = ("stored", "duplicate", "dead_letter", "superseded")


class IngestMetrics:
    """The metrics of one ingest process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.received = self._counter("messages_received", "Messages received from the broker.")
        self.messages = self._counter("messages", "Messages by what became of them.", ("outcome",))
        self.rows = self._counter("rows", "Rows appended.", ("table",))
        self.append_failures = self._counter(
            "append_failures", "Appends that have to be tried again.", ("table",)
        )
        self.reconnects = self._counter("broker_connections", "Connections made to the broker.")
        self.stale_acks = self._counter("stale_acks", "Acknowledgements dropped: their connection was gone.")
        self.watermarks = self._counter("watermarks", "Watermarks published to carts.")
        self.gap_messages = self._counter("gap_messages", "Messages that carts declared lost.", ("why",))
        self.letters = self._counter("dead_letters", "Dead letters by reason.", ("reason",))
        self.pending = self._gauge("pending_messages", "Messages received and not yet settled.")
        self.inbox_bytes = self._gauge("inbox_bytes", "Payload bytes that wait undecoded.")
        self.connected = self._gauge("broker_connected", "1 while connected and subscribed.")
        self.oldest_s = self._gauge("oldest_pending_seconds", "Age of the batch being committed.")
        self.boots = self._gauge("ledger_boots", "Boots in the ledger's memory.")
        self.commit_s = self._histogram(
            "commit_seconds", "Time to make a batch durable.", (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
        )
        self.batch_messages = self._histogram(
            "batch_messages", "Messages per batch.", (1, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000)
        )
        self.lag_s = self._histogram(
            "lag_seconds", "From receipt to durable.", (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300)
        )
        self.rollup_success = self._gauge(
            "rollup_last_success_timestamp_seconds", "When the rollups last ran."
        )
        self.rollup_s = self._gauge("rollup_duration_seconds", "How long the last rollups took.")
        self.rollup_failures = self._counter("rollup_failures", "Rollup runs of which something failed.")
        self.rollup_behind = self._gauge(
            "rollup_behind", "1 for each rollup that failed in the last run.", ("rollup",)
        )
        for outcome in OUTCOMES:
            self.messages.labels(outcome)

    def appended(self, table: str, rows: int) -> None:
        """Rows are durable."""
        self.rows.labels(table).inc(rows)

    def append_failed(self, table: str) -> None:
        """An append has to be tried again."""
        self.append_failures.labels(table).inc()

    def message_received(self) -> None:
        """A message was put into the inbox."""
        self.received.inc()

    def connection_changed(self, *, ready: bool) -> None:
        """Connected and subscribed, or no longer."""
        self.connected.set(ready)
        self.reconnects.inc(ready)

    def ack_dropped(self) -> None:
        """An acknowledgement came too late for its connection."""
        self.stale_acks.inc()

    def rollup_finished(self, seconds: float) -> None:
        """The rollups are up to date."""
        self.rollup_success.set_to_current_time()
        self.rollup_s.set(seconds)
        self.rollup_behind.clear()

    def rollup_failed(self, names: Sequence[str]) -> None:
        """Some rollups failed; the others are up to date."""
        self.rollup_failures.inc()
        self.rollup_behind.clear()
        for name in names:
            self.rollup_behind.labels(name).set(1)

    def watch_pending(self, count: Callable[[], int], size_bytes: Callable[[], int]) -> None:
        """Read the pending messages and the inbox when somebody scrapes."""
        self.pending.set_function(count)
        self.inbox_bytes.set_function(size_bytes)

    def outcome(self, name: str) -> int:
        """Return how many messages had an outcome."""
        return int(self.registry.get_sample_value("cartwright_ingest_messages_total", {"outcome": name}) or 0)

    def value(self, name: str) -> float:
        """Return one unlabelled sample by its name without the prefix."""
        return self.registry.get_sample_value(f"cartwright_ingest_{name}") or 0.0

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(f"cartwright_ingest_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(f"cartwright_ingest_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"cartwright_ingest_{name}", text, buckets=buckets, registry=self.registry)
