"""What the control API counts, on a registry of its own."""

import math
import time
from collections import Counter as Tally
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fleet_control.errors import RolloutError
from fleet_control.rollouts.ports import RolloutStore
from fleet_control.rollouts.states import RolloutStatus

_PREFIX = "cartwright_control"
# A scrape reads no more of the outbox than this; a longer one shows as this long and old.
MAX_BACKLOG = 1_000
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class ControlMetrics:
    """The metrics of one control API.

    Args:
        store: Asked at every scrape.
        now_ms: The time.
        webhook: What became of notices so far, by outcome; None: there is no webhook.
        heartbeat: Seconds since the last pass over the rollouts, NaN while another process drives them; None:
            nothing here drives.
    """

    def __init__(
        self,
        store: RolloutStore,
        now_ms: Callable[[], int],
        webhook: Callable[[], Mapping[str, int]] | None = None,
        heartbeat: Callable[[], float] | None = None,
    ) -> None:
        self.registry = CollectorRegistry()
        self.actions = Counter(
            f"{_PREFIX}_actions",
            "Commands by action and by what became of them.",
            ("action", "outcome"),
            registry=self.registry,
        )
        self.request_s = Histogram(
            f"{_PREFIX}_request_seconds",
            "Time to answer a request.",
            ("method", "route", "status"),
            registry=self.registry,
            buckets=_BUCKETS_S,
        )
        self.registry.register(_StoreCollector(store, now_ms))
        if webhook is not None:
            self.registry.register(_WebhookCollector(webhook))
        if heartbeat is not None:
            self.registry.register(_HeartbeatCollector(heartbeat))

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _StoreCollector(Collector):
    """Reads the database when somebody scrapes."""

    def __init__(self, store: RolloutStore, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._now_ms = now_ms

    def describe(self) -> list[Metric]:
        """Return nothing: registering it must not ask the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Return the samples; without a database only that there is none."""
        up = GaugeMetricFamily(f"{_PREFIX}_store_up", "1 while the database of rollouts answers.")
        try:
            heads = self._store.heads()
            waiting = self._store.outbox(limit=MAX_BACKLOG)
        except RolloutError:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        rollouts = GaugeMetricFamily(
            f"{_PREFIX}_rollouts", "The newest 1,000 rollouts by status.", labels=["status"]
        )
        tally = Tally(head.status for head in heads)
        for status in RolloutStatus:
            rollouts.add_metric([status.value], tally[status])
        yield rollouts
        backlog = GaugeMetricFamily(f"{_PREFIX}_outbox_entries", f"Orders to be told, up to {MAX_BACKLOG:,}.")
        backlog.add_metric([], len(waiting))
        yield backlog
        oldest = GaugeMetricFamily(f"{_PREFIX}_outbox_oldest_seconds", "Age of the oldest order to be told.")
        now_ms = self._now_ms()
        oldest.add_metric([], max((now_ms - entry.at_ms for entry in waiting), default=0) / 1000)
        yield oldest


class _HeartbeatCollector(Collector):
    """Tells whether this process drives the rollouts, and whether it has got stuck."""

    def __init__(self, heartbeat: Callable[[], float]) -> None:
        self._heartbeat = heartbeat

    def collect(self) -> Iterator[Metric]:
        """Return the samples; without a lease no age."""
        silent_s = self._heartbeat()
        drives = GaugeMetricFamily(f"{_PREFIX}_drives", "1 while this process drives the rollouts.")
        drives.add_metric([], 0 if math.isnan(silent_s) else 1)
        yield drives
        if not math.isnan(silent_s):
            age = GaugeMetricFamily(f"{_PREFIX}_pass_age_seconds", "Time since the last pass over rollouts.")
            age.add_metric([], silent_s)
            yield age


class _WebhookCollector(Collector):
    """Reads what became of notices."""

    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """Return the samples."""
        gauge = GaugeMetricFamily(
            f"{_PREFIX}_webhook_notices", "Notices since the start, by outcome.", labels=["outcome"]
        )
        for outcome, count in self._counts().items():
            gauge.add_metric([outcome], count)
        yield gauge


Message = MutableMapping[str, Any]


class Timed:
    """Wraps an app and measures its answers.

    Args:
        app: Answers.
        metrics: Get the times.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], metrics: ControlMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.monotonic()
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            # The pattern, never the path: a path is the caller's to invent.
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in ("GET", "POST") else "other"
            self._metrics.request_s.labels(method, route, status).observe(time.monotonic() - began_s)
