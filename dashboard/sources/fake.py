"""The warehouse in memory: SIMULATED numbers for developing pages and for tests. Says so in every store."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum

import numpy as np
import pandas as pd

from dashboard.errors import SourceUnavailableError
from dashboard.sources import fake_world as world
from dashboard.sources.fake_drift import cart_signal_rows, signal_bin_rows
from dashboard.sources.fake_rollouts import MARK_COLUMNS, mark_rows
from dashboard.sources.fake_vitals import engine_rows, vital_rows
from dashboard.sources.protocol import Reading, Scope
from dashboard.timeframe import Comparison, Window

_CELL = timedelta(minutes=10)
_COUNTS = ["item_events", "contradicted", "labelled", "asked"]


class Condition(Enum):
    """What the fake has to show: the happy case, or one of the sad ones."""

    FINE = "fine"
    EMPTY = "empty"
    STALE = "stale"
    PARTIAL = "partial"
    ERROR = "error"


class FakeWarehouse:
    """An in-memory `WarehouseSource`."""

    def __init__(self, clock: Callable[[], datetime], condition: Condition = Condition.FINE) -> None:
        self._clock = clock
        self._condition = condition

    def stores(self) -> Reading:
        """See `WarehouseSource`."""
        rows = [(*store[:4], True) for store in world.STORES]
        return self._read(pd.DataFrame(rows, columns=["store_id", "name", "city", "timezone", "simulated"]))

    def items(self) -> Reading:
        """See `WarehouseSource`."""
        rows = [(item_id, name, i) for i, (item_id, name) in enumerate(world.ITEMS)]
        return self._read(pd.DataFrame(rows, columns=["item_id", "name", "class_index"]))

    def signal_bins(self) -> Reading:
        """See `WarehouseSource`."""
        return self._read(signal_bin_rows())

    def freshness(self) -> Reading:
        """See `WarehouseSource`."""
        newest = self._newest()
        return self._read(pd.DataFrame({"counted_until": [newest], "last_seen_at": [newest]}))

    def carts(self) -> Reading:
        """See `WarehouseSource`."""
        newest, rows = self._newest(), []
        for store_ix, store in enumerate(world.STORES):
            for n, cart_id in enumerate(world.cart_ids(store_ix)):
                online = (store_ix + 3 * n) % 11 != 7
                seen = newest - timedelta(seconds=n if online else 5400) - self._silence(store_ix)
                changed = seen - timedelta(hours=5) if online else seen
                rows.append(
                    (store[0], cart_id, online, world.NEW_MODEL, "0.1.0", seen, changed, True),
                )
        columns = ["store_id", "cart_id", "online", "model_digest", "agent_version", "last_seen_at"]
        return self._read(pd.DataFrame(rows, columns=[*columns, "changed_at", "simulated"]))

    def models(self, window: Window) -> Reading:
        """See `WarehouseSource`."""
        cells = self._cells(window, Scope()).assign(
            at=lambda f: pd.to_datetime(f["at_s"], unit="s", utc=True)
        )
        frame = cells.groupby("model_digest", as_index=False).agg(
            item_events=("item_events", "sum"), first_at=("at", "min"), last_at=("at", "max")
        )
        return self._read(frame)

    def event_series(self, window: Window, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        cells = self._cells(window, scope)
        step_s = int(window.step.total_seconds())
        cells["at"] = pd.to_datetime(cells["at_s"] // step_s * step_s, unit="s", utc=True)
        return self._read(cells.groupby(["store_id", "at"], as_index=False)[_COUNTS].sum())

    def cart_events(self, window: Window, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        cells = self._cells(window, scope)
        return self._read(cells.groupby(["store_id", "cart_id"], as_index=False)[_COUNTS].sum())

    def cart_activity(self, window: Window, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        cells = self._cells(window, scope)
        return self._read(cells.groupby(["store_id", "cart_id"], as_index=False)[["frames", "dropped"]].sum())

    def cart_vitals(self, window: Window, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        return self._read(_of_store(_since(window, vital_rows(self._newest()), "last_at"), scope))

    def cart_engines(self, window: Window, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        return self._read(_of_store(_since(window, engine_rows(self._newest()), "born_at"), scope))

    def recent_events(self, window: Window, scope: Scope, limit: int) -> Reading:
        """See `WarehouseSource`."""
        rng = np.random.default_rng(11)
        stores = [i for i, s in enumerate(world.STORES) if scope.store_id in (None, s[0])]
        rows: list[tuple[object, ...]] = []
        at = self._newest()
        while len(rows) < limit and at > window.start and self._condition is not Condition.EMPTY:
            store_ix = int(rng.choice(stores))
            at -= timedelta(seconds=float(rng.exponential(70.0)))
            rows.append(_event_row(rng, store_ix, at))
        return self._read(pd.DataFrame(rows, columns=_EVENT_COLUMNS))

    def rollout_marks(self, window: Window, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        rows = [] if self._condition is Condition.EMPTY else mark_rows(self._clock())
        frame = pd.DataFrame(rows, columns=MARK_COLUMNS)
        del scope  # every simulated rollout is for all stores
        inside = [window.start <= at < window.end for at in frame["at"]]
        return self._read(frame[inside])

    def latency(self, window: Window, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        cells = self._cells(window, scope)
        keys = ["store_ix", "store_id", "model_digest"]
        totals = cells.groupby(keys, as_index=False)["item_events"].sum()
        frames = [
            pd.DataFrame({"store_id": store_id, "model_digest": model, "stage": stage, "bucket": b, "n": n})
            for store_ix, store_id, model, total in totals.itertuples(index=False)
            for stage in world.STAGES
            for b, n in [world.latency_buckets(int(store_ix), stage, model, _observations(stage, int(total)))]
        ]
        columns = ["store_id", "model_digest", "stage", "bucket", "n"]
        return self._read(pd.concat(frames) if frames else pd.DataFrame(columns=columns))

    def latency_series(self, window: Window, scope: Scope, stage: str) -> Reading:
        """See `WarehouseSource`."""
        cells = self._cells(window, scope)
        step_s = int(window.step.total_seconds())
        cells["step"] = cells["at_s"] // step_s * step_s
        totals = cells.groupby(["step", "store_ix", "model_digest"], as_index=False)["item_events"].sum()
        frames = []
        for at_s, store_ix, model, total in totals.itertuples(index=False):
            load = 1.0 + 0.12 * float(world.uniform(int(at_s), int(store_ix))[0])
            b, n = world.latency_buckets(int(store_ix), stage, model, _observations(stage, int(total)), load)
            frames.append(pd.DataFrame({"at": pd.Timestamp(at_s, unit="s", tz="UTC"), "bucket": b, "n": n}))
        if not frames:
            return self._read(pd.DataFrame(columns=["at", "bucket", "n"]))
        return self._read(
            pd.DataFrame(pd.concat(frames).groupby(["at", "bucket"], as_index=False)["n"].sum())
        )

    def signals(self, comparison: Comparison, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        rows = self._signal_rows(comparison, scope)
        return self._read(
            rows.groupby(["store_id", "signal", "bin"], as_index=False)[["now_n", "reference_n"]].sum()
        )

    def cart_signals(self, comparison: Comparison, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        return self._read(self._signal_rows(comparison, scope))

    def camera_days(self, window: Window, scope: Scope, signal: str) -> Reading:
        """See `WarehouseSource`."""
        frames, day = [], window.start.replace(hour=0, minute=0, second=0, microsecond=0)
        while day < window.end and self._condition is not Condition.EMPTY:
            rows = cart_signal_rows(
                world.FakeWorld(self._clock()), day, day + timedelta(days=1), scope, signal
            )
            frames.append(rows.assign(day=day))
            day += timedelta(days=1)
        columns = ["day", "cart_id", "camera", "bin", "n"]
        return self._read(pd.concat(frames)[columns] if frames else pd.DataFrame(columns=columns))

    def _signal_rows(self, comparison: Comparison, scope: Scope) -> pd.DataFrame:
        fleet, keys = world.FakeWorld(self._clock()), ["store_id", "cart_id", "signal", "camera", "bin"]
        now = cart_signal_rows(fleet, comparison.now.start, comparison.now.end, scope)
        past = cart_signal_rows(fleet, comparison.reference.start, comparison.reference.end, scope)
        both = now.rename(columns={"n": "now_n"}).merge(past.rename(columns={"n": "reference_n"}), on=keys)
        return both.iloc[0:0] if self._condition is Condition.EMPTY else both

    def _cells(self, window: Window, scope: Scope) -> pd.DataFrame:
        cell = min(_CELL, window.step)
        end = min(window.counted_until(self._clock()), self._newest())
        cells = world.FakeWorld(self._clock()).cells(window.start, end, cell)
        if self._condition is Condition.EMPTY:
            return cells.iloc[0:0].copy()
        if self._condition is Condition.PARTIAL:
            cells = cells[cells["store_id"] != world.STORES[-1][0]]
        for column, wanted in (("store_id", scope.store_id), ("model_digest", scope.model_digest)):
            if wanted is not None:
                cells = cells[cells[column] == wanted]
        return cells.copy()

    def _newest(self) -> datetime:
        late = timedelta(minutes=47) if self._condition is Condition.STALE else timedelta(seconds=4)
        return self._clock() - late

    def _silence(self, store_ix: int) -> timedelta:
        silent = self._condition is Condition.PARTIAL and store_ix == len(world.STORES) - 1
        return timedelta(minutes=30) if silent else timedelta()

    def _read(self, frame: pd.DataFrame) -> Reading:
        if self._condition is Condition.ERROR:
            raise SourceUnavailableError("The warehouse", "any", "it cannot be reached.")
        return Reading(frame.reset_index(drop=True), self._clock().astimezone(UTC))


def _since(window: Window, rows: pd.DataFrame, column: str) -> pd.DataFrame:
    return rows[rows[column] >= window.start]


def _of_store(rows: pd.DataFrame, scope: Scope) -> pd.DataFrame:
    return rows if scope.store_id is None else rows[rows["store_id"] == scope.store_id]


def _observations(stage: str, events: int) -> int:
    return int(events) if stage == "camera_to_decision" else int(events) * 90


_EVENT_COLUMNS = [
    "event_at",
    "store_id",
    "cart_id",
    "event_id",
    "item_id",
    "quantity",
    "direction",
    "posterior",
    "outcome",
    "weight_residual_g",
    "decision_ms",
    "model_digest",
    "label_type",
    "label_item_id",
    "label_quantity",
    "label_direction",
]


def _event_row(rng: np.random.Generator, store_ix: int, at: datetime) -> tuple[object, ...]:
    item, other = (world.ITEMS[int(i)][0] for i in rng.choice(len(world.ITEMS), 2, replace=False))
    posterior = float(np.clip(rng.beta(14, 1.2), 0.3, 0.999))
    asked = posterior < 0.75
    wrong = bool(rng.random() < (0.25 if asked else 0.03))
    kind = "scan" if asked else "correction" if wrong else "audit" if rng.random() < 0.05 else None
    direction = "remove" if rng.random() < 0.1 else "add"
    label = (None, None, None) if kind is None else (other if wrong else item, 1, direction)
    cart = world.cart_ids(store_ix)[int(rng.integers(world.CARTS_PER_STORE))]
    return (
        at,
        world.STORES[store_ix][0],
        cart,
        f"e{int(at.timestamp() * 1000)}",
        item,
        1,
        direction,
        posterior,
        "asked" if asked else "accepted",
        float(rng.normal(0, 6)),
        float(rng.lognormal(4.95, 0.28)),
        world.NEW_MODEL,
        kind,
        *label,
    )
