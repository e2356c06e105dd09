"""What the pages ask of the warehouse.

Every question returns a `Reading`: a frame with the documented columns, and when it was read. Times
are UTC. Counts are additive: summing rows is always right. Every method raises only
`dashboard.errors.SourceError`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import pandas as pd

from dashboard.timeframe import Comparison, Window


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer.

    Attributes:
        frame: Its rows; the columns are documented at the method that returns it.
        fetched_at: When the warehouse gave it.
    """

    frame: pd.DataFrame
    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class Scope:
    """What the filters leave.

    Attributes:
        store_id: One store, or None for all.
        model_digest: One model, or None for all.
    """

    store_id: str | None = None
    model_digest: str | None = None


class WarehouseSource(Protocol):
    """The warehouse, as the pages see it."""

    def stores(self) -> Reading:
        """Return the stores: store_id, name, city, timezone, simulated."""
        ...

    def items(self) -> Reading:
        """Return the items: item_id, name, class_index."""
        ...

    def signal_bins(self) -> Reading:
        """Return the bins of the signals: signal, bin, lower, upper, label, unit; open bounds are null."""
        ...

    def freshness(self) -> Reading:
        """Return one row: counted_until (rollups), last_seen_at (any cart); null when never."""
        ...

    def carts(self) -> Reading:
        """Return all carts.

        Columns: store_id, cart_id, online, model_digest, agent_version, last_seen_at, changed_at, simulated.
        """
        ...

    def models(self, window: Window) -> Reading:
        """Return the models that were at work: model_digest, item_events, first_at, last_at."""
        ...

    def event_series(self, window: Window, scope: Scope) -> Reading:
        """Return counts per store and step: store_id, at, item_events, contradicted, labelled, asked."""
        ...

    def cart_events(self, window: Window, scope: Scope) -> Reading:
        """Return counts per cart: store_id, cart_id, item_events, contradicted, labelled, asked."""
        ...

    def cart_activity(self, window: Window, scope: Scope) -> Reading:
        """Return frames per cart: store_id, cart_id, frames, dropped."""
        ...

    def cart_vitals(self, window: Window, scope: Scope) -> Reading:
        """Return what carts said about their own health.

        Columns: store_id, cart_id, kind (gauge: newest value; counter: sum), name, camera, value, last_at.
        """
        ...

    def cart_engines(self, window: Window, scope: Scope) -> Reading:
        """Return what runs the model, by the newest birth: store_id, cart_id, engine, hardware, born_at."""
        ...

    def recent_events(self, window: Window, scope: Scope, limit: int) -> Reading:
        """Return the newest item events with what people said about them.

        Columns: event_at, store_id, cart_id, event_id, item_id, quantity, direction, posterior, outcome,
        weight_residual_g, decision_ms, model_digest, label_type (null without a label), label_item_id,
        label_quantity, label_direction.
        """
        ...

    def rollout_marks(self, window: Window, scope: Scope) -> Reading:
        """Return what happened to rollouts: at, rollout_id, kind, stage (its name), model_digest, reason."""
        ...

    def latency(self, window: Window, scope: Scope) -> Reading:
        """Return merged histograms: store_id, model_digest, stage, bucket, n.

        Bucket i covers (2^(i/32), 2^((i+1)/32)] ms.
        """
        ...

    def latency_series(self, window: Window, scope: Scope, stage: str) -> Reading:
        """Return one stage's merged histograms over time: at, bucket, n."""
        ...

    def signals(self, comparison: Comparison, scope: Scope) -> Reading:
        """Return counts of both stretches: store_id, signal, bin, now_n, reference_n; cameras summed."""
        ...

    def cart_signals(self, comparison: Comparison, scope: Scope) -> Reading:
        """Return the same per cart and camera, by whole days.

        Columns: store_id, cart_id, signal, camera, bin, now_n, reference_n.
        """
        ...

    def camera_days(self, window: Window, scope: Scope, signal: str) -> Reading:
        """Return one signal per camera and day: day, cart_id, camera, bin, n."""
        ...
