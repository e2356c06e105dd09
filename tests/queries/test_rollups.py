"""Rollups against pandas, in a real endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from queries.client import Execution, QueryResult, Warehouse
from queries.errors import RollupError, WarehouseUnavailableError
from queries.question import Query
from queries.rollups import Rollups
from queries.rollups.run import MAX_SILENT
from queries.schema import apply_schema
from queries.writer import Appender, open_appender
from tests.queries import reference, seed

NOW = seed.END + timedelta(hours=1)


def ask(warehouse: Warehouse, sql: str) -> pd.DataFrame:
    """Ask what no page asks."""
    return warehouse.run(Query("test", sql)).frame


def counted(warehouse: Warehouse, table: str) -> int:
    """Return how many rows there are."""
    return int(ask(warehouse, f"SELECT COUNT(*) AS n FROM {table}")["n"].sum())


def put(appender: Appender, table: str, schema: pa.Schema, rows: list[seed.Row]) -> None:
    """Append rows and wait until they are durable."""
    assert appender.append(table, seed.table(schema, rows)).wait(30)


@pytest.fixture
def appender(empty_warehouse: Warehouse) -> Iterator[Appender]:
    """A writer into the empty warehouse."""
    writer = open_appender(empty_warehouse.target)
    yield writer
    writer.close()


def test_hourly_events_equal_pandas(empty_warehouse: Warehouse, appender: Appender) -> None:
    """Redelivered rows, labels of the next hour and labels without a time count once, at the event."""
    rows = seed.events(np.random.default_rng(7))
    put(appender, "events_raw", seed.EVENTS, [*rows, *seed.again(rows)])
    Rollups(empty_warehouse, lambda: NOW).run()
    found = ask(
        empty_warehouse,
        "SELECT hour, cart_id, SUM(item_events) AS item_events, SUM(contradicted) AS contradicted,"
        " SUM(labelled) AS labelled, SUM(asked) AS asked FROM hourly_events"
        " WHERE hour >= '2026-01-01' GROUP BY hour, cart_id HAVING SUM(item_events) > 0"
        " ORDER BY hour, cart_id",
    )
    expected = reference.counts(reference.judged_events(rows), ["hour", "cart_id"])
    assert found.to_numpy().tolist() == expected.to_numpy().tolist()
    items = ask(
        empty_warehouse,
        "SELECT SUM(item_events), SUM(contradicted) FROM hourly_items WHERE hour >= '2026-01-01'",
    )
    assert items.iloc[0].tolist() == [expected["item_events"].sum(), expected["contradicted"].sum()]


def test_labels_count_in_their_own_hour(empty_warehouse: Warehouse, appender: Appender) -> None:
    """Corrections, scans and audits are as many as were sent."""
    rows = seed.events(np.random.default_rng(8))
    put(appender, "events_raw", seed.EVENTS, rows)
    Rollups(empty_warehouse, lambda: NOW).run()
    found = ask(
        empty_warehouse,
        "SELECT SUM(corrections), SUM(scans), SUM(audits) FROM hourly_events WHERE hour >= '2026-01-01'",
    )
    kinds = pd.Series([row["event_type"] for row in rows]).value_counts()
    assert found.iloc[0].tolist() == [kinds["correction"], kinds["scan"], kinds["audit"]]


def test_histograms_merge_exactly(empty_warehouse: Warehouse, appender: Appender) -> None:
    """Every latency is in its bucket once, per hour, store, model and stage."""
    rows, latencies = seed.windows(np.random.default_rng(9))
    put(appender, "telemetry_raw", seed.TELEMETRY, [*rows, *seed.again(rows)])
    Rollups(empty_warehouse, lambda: NOW).run()
    found = ask(
        empty_warehouse,
        "SELECT hour, store_id, model_digest, stage, bucket, n FROM hourly_latency WHERE hour >= '2026-01-01'"
        " ORDER BY hour, store_id, model_digest, stage, bucket",
    )
    truth = pd.DataFrame(
        [
            (r["window_start"], r["store_id"], r["model_digest"] or "", s, seed.bucket_of(ms))
            for r, s, ms in latencies
        ],
        columns=["hour", "store_id", "model_digest", "stage", "bucket"],
    )
    truth["hour"] = truth["hour"].dt.floor("h")
    expected = truth.groupby(list(truth.columns)).size().reset_index()
    assert found.to_numpy().tolist() == expected.to_numpy().tolist()


def test_frames_drops_and_signals(empty_warehouse: Warehouse, appender: Appender) -> None:
    """Counters and signals add up, cameras and causes apart or together as the tables say."""
    rows, _ = seed.windows(np.random.default_rng(10))
    put(appender, "telemetry_raw", seed.TELEMETRY, [*rows, *seed.again(rows)])
    Rollups(empty_warehouse, lambda: NOW).run()
    carts = ask(
        empty_warehouse,
        "SELECT SUM(windows), SUM(frames), SUM(dropped) FROM hourly_carts WHERE hour >= '2026-01-01'",
    )
    assert carts.iloc[0].tolist() == [len(rows), 190 * len(rows), 5 * len(rows)]
    total = sum(part["n"] for row in rows for part in row["signals"])
    for table, where in (("hourly_signals", "hour"), ("daily_cart_signals", "day")):
        found = ask(empty_warehouse, f"SELECT SUM(n) FROM {table} WHERE {where} >= '2026-01-01'")
        assert found.iloc[0, 0] == total
    days = ask(
        empty_warehouse,
        "SELECT day, SUM(n) AS n FROM daily_cart_signals WHERE day >= '2026-01-01' GROUP BY day ORDER BY day",
    )
    expected = pd.Series({row["window_start"].date(): 0 for row in rows})
    for row in rows:
        expected[row["window_start"].date()] += sum(part["n"] for part in row["signals"])
    assert days["n"].tolist() == expected.sort_index().tolist()


def test_running_again_changes_nothing(empty_warehouse: Warehouse, appender: Appender) -> None:
    """A run without news does nothing, and a new process that re-opens the last hours gets the same rows."""
    rows = seed.events(np.random.default_rng(11))
    windows, _ = seed.windows(np.random.default_rng(11))
    put(appender, "events_raw", seed.EVENTS, rows)
    put(appender, "telemetry_raw", seed.TELEMETRY, windows)
    first = Rollups(empty_warehouse, lambda: NOW)
    assert first.run().hours >= seed.HOURS
    before = _everything(empty_warehouse)
    assert first.run().hours == 0
    assert Rollups(empty_warehouse, lambda: NOW).run().hours > 0
    assert _everything(empty_warehouse) == before


def test_a_late_label_reopens_the_hour_of_its_event(empty_warehouse: Warehouse, appender: Appender) -> None:
    """A correction that arrives days later changes the hour of the event it is about."""
    at = seed.START + timedelta(minutes=3)
    event = _event(at, 0, "item")
    put(appender, "events_raw", seed.EVENTS, [event])
    rollups = Rollups(empty_warehouse, lambda: NOW + timedelta(days=3))
    rollups.run()
    label = {**_event(at + timedelta(days=2), 1, "audit"), "item_id": "pear", "ref_event_id": "e0"}
    put(appender, "events_raw", seed.EVENTS, [{**label, "ref_event_at": at}])
    rollups.run()
    found = ask(
        empty_warehouse,
        "SELECT hour, item_events, labelled, contradicted, audits FROM hourly_events"
        " WHERE hour >= '2026-01-01' ORDER BY hour",
    )
    assert found.drop(columns="hour").to_numpy().tolist() == [[1, 1, 1, 0], [0, 0, 0, 1]]


def test_rows_received_long_ago_but_seen_late_are_counted(
    empty_warehouse: Warehouse, appender: Appender
) -> None:
    """Rows that were on the way while younger ones were counted are found by the overlap."""
    rollups = Rollups(empty_warehouse, lambda: NOW)
    put(appender, "events_raw", seed.EVENTS, [_event(seed.START + timedelta(minutes=9), 1, "item")])
    rollups.run()
    put(appender, "events_raw", seed.EVENTS, [_event(seed.START + timedelta(minutes=5), 0, "item")])
    put(appender, "events_raw", seed.EVENTS, [_event(seed.START + timedelta(minutes=10), 2, "item")])
    rollups.run()
    found = ask(empty_warehouse, "SELECT SUM(item_events) FROM hourly_events WHERE hour >= '2026-01-01'")
    assert found.iloc[0, 0] == 3


def test_carts_current_follows_births_and_wills(empty_warehouse: Warehouse, appender: Appender) -> None:
    """The newest state counts, a change of it is dated, and any message says that the cart is alive."""
    rollups = Rollups(empty_warehouse, lambda: NOW)
    at = seed.START
    put(appender, "cart_states_raw", seed.STATES, [seed.state("s001", "s001-c01", 1, at, online=True)])
    rollups.run()
    put(appender, "events_raw", seed.EVENTS, [_event(at + timedelta(minutes=2), 0, "item")])
    rollups.run()
    assert _cart(empty_warehouse) == [True, 1, at, at + timedelta(minutes=2, seconds=20)]
    will = seed.state("s001", "s001-c01", 1, at + timedelta(minutes=4), online=False)
    put(appender, "cart_states_raw", seed.STATES, [will])
    rollups.run()
    assert _cart(empty_warehouse) == [False, 1, at + timedelta(minutes=4), at + timedelta(minutes=4)]


def _cart(warehouse: Warehouse) -> list[object]:
    frame = ask(warehouse, "SELECT online, session, changed_at, last_seen_at FROM carts_current")
    return list(frame.iloc[0])


def _event(at: datetime, seq: int, kind: str) -> seed.Row:
    return {
        **seed.provenance("s001", "s001-c01", "evt", seq, at),
        "event_at": at,
        "event_id": f"e{seq}",
        "event_type": kind,
        "item_id": "apple",
        "quantity": 1,
        "direction": "add",
    }


def _everything(warehouse: Warehouse) -> dict[str, list[list[object]]]:
    tables = ("hourly_latency", "hourly_signals", "hourly_events", "hourly_items", "hourly_carts")
    frames = {name: ask(warehouse, f"SELECT * FROM {name} WHERE hour >= '2026-01-01'") for name in tables}
    frames["daily"] = ask(warehouse, "SELECT * FROM daily_cart_signals WHERE day >= '2026-01-01'")
    # Sums of floats depend on the order of the rows in their last digits.
    frames["hourly_events"]["posterior_sum"] = frames["hourly_events"]["posterior_sum"].round(9)
    return {name: sorted(frame.astype(str).to_numpy().tolist()) for name, frame in frames.items()}


class Watched:
    """A warehouse that notes which statements ran, and whose endpoint can fall silent for some."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self.ran: list[str] = []
        self.tried: list[str] = []
        self.silent: set[str] = set()

    def run(self, question: Query) -> QueryResult:
        """Ask."""
        return self._warehouse.run(question)

    def execute(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, name: str, timeout_s: float = 60.0
    ) -> Execution:
        """Run a statement."""
        short = name.removeprefix("rollups ")
        self.tried.append(short)
        if short in self.silent:
            raise WarehouseUnavailableError(name, "nobody answers")
        done = self._warehouse.execute(sql, parameters, name=name, timeout_s=timeout_s)
        self.ran.append(short)
        return done

    def look(self) -> tuple[list[str], list[str]]:
        """Return what was tried and what ran since the last look."""
        seen = sorted(set(self.tried)), sorted(set(self.ran))
        self.tried, self.ran = [], []
        return seen


MERGES = [
    "carts_current",
    "daily_cart_signals",
    "hourly_carts",
    "hourly_events",
    "hourly_items",
    "hourly_latency",
    "hourly_signals",
]


def test_a_rollup_that_fails_does_not_stop_the_others(empty_warehouse: Warehouse, appender: Appender) -> None:
    """With one table gone all other rollups are made; when it is back only what is owed is done."""
    windows, _ = seed.windows(np.random.default_rng(13))
    put(appender, "events_raw", seed.EVENTS, seed.events(np.random.default_rng(13)))
    put(appender, "telemetry_raw", seed.TELEMETRY, windows)
    whole = Rollups(empty_warehouse, lambda: NOW)
    whole.run()
    expected = _everything(empty_warehouse)
    for table in ("rollup_runs", *expected):
        name = {"daily": "daily_cart_signals"}.get(table, table)
        ask(empty_warehouse, f"DROP TABLE {name}")
    broken = ("hourly_items", "daily_cart_signals")
    apply_schema(empty_warehouse)
    for table in broken:
        ask(empty_warehouse, f"DROP TABLE {table}")

    watched = Watched(empty_warehouse)
    rollups = Rollups(watched, lambda: NOW)
    with pytest.raises(RollupError, match="hourly_items") as failed:
        rollups.run()
    assert sorted(failed.value.failed) == sorted(broken)
    tried, ran = watched.look()
    assert tried == MERGES
    assert ran == [name for name in MERGES if name not in broken]
    assert counted(empty_warehouse, "rollup_runs") == 0

    with pytest.raises(RollupError):
        rollups.run()
    assert watched.look() == (sorted(broken), [])

    apply_schema(empty_warehouse)
    assert rollups.run().hours == 0
    assert watched.look() == (sorted([*broken, "finish_run"]), sorted([*broken, "finish_run"]))
    assert _everything(empty_warehouse) == expected
    assert counted(empty_warehouse, "rollup_runs") == 1


def test_a_process_that_dies_owing_is_repeated_by_the_next(
    empty_warehouse: Warehouse, appender: Appender
) -> None:
    """What was owed is known to nobody after a crash, so the end of that run was not written down."""
    put(appender, "events_raw", seed.EVENTS, seed.events(np.random.default_rng(14)))
    ask(empty_warehouse, "DROP TABLE hourly_items")
    with pytest.raises(RollupError):
        Rollups(empty_warehouse, lambda: NOW).run()
    apply_schema(empty_warehouse)
    assert Rollups(empty_warehouse, lambda: NOW).run().hours > 0
    assert counted(empty_warehouse, "hourly_items WHERE hour >= '2026-01-01'") > 0


def test_new_rows_are_rolled_while_a_rollup_keeps_failing(
    empty_warehouse: Warehouse, appender: Appender
) -> None:
    """Hours that came in meanwhile are added to what is owed; the other rollups have them at once."""
    at = seed.START
    ask(empty_warehouse, "DROP TABLE hourly_items")
    rollups = Rollups(empty_warehouse, lambda: NOW)
    for hour in range(3):
        put(appender, "events_raw", seed.EVENTS, [_event(at + timedelta(hours=hour), hour, "item")])
        with pytest.raises(RollupError):
            rollups.run()
        events = ask(empty_warehouse, "SELECT SUM(item_events) FROM hourly_events WHERE hour >= '2026-01-01'")
        assert events.iloc[0, 0] == hour + 1
    apply_schema(empty_warehouse)
    rollups.run()
    items = ask(empty_warehouse, "SELECT SUM(item_events) FROM hourly_items WHERE hour >= '2026-01-01'")
    assert items.iloc[0, 0] == 3


def test_a_silent_warehouse_is_not_asked_eight_times(empty_warehouse: Warehouse, appender: Appender) -> None:
    """One statement that gets no answer stops no other; two in a row say that the warehouse is away."""
    windows, _ = seed.windows(np.random.default_rng(15))
    put(appender, "telemetry_raw", seed.TELEMETRY, windows)
    watched = Watched(empty_warehouse)
    watched.silent = {"hourly_signals"}
    rollups = Rollups(watched, lambda: NOW)
    with pytest.raises(RollupError):
        rollups.run()
    assert "daily_cart_signals" in watched.look()[1]
    rollups = Rollups(watched, lambda: NOW)
    watched.silent = set(MERGES)
    with pytest.raises(RollupError) as failed:
        rollups.run()
    assert len(watched.look()[0]) == MAX_SILENT
    assert len(failed.value.failed) > MAX_SILENT
    watched.silent = set()
    rollups.run()
    assert "hourly_signals" in watched.look()[1]


def test_what_was_counted_is_left_alone(empty_warehouse: Warehouse, appender: Appender) -> None:
    """Right after a long history, one new row re-opens one hour, not all that came in lately."""
    rows = seed.events(np.random.default_rng(12))
    now = max(row["received_at"] for row in rows)
    put(appender, "events_raw", seed.EVENTS, [{**row, "received_at": now} for row in rows])
    rollups = Rollups(empty_warehouse, lambda: now)
    assert rollups.run().hours >= seed.HOURS
    put(appender, "events_raw", seed.EVENTS, [{**_event(seed.END, 500, "item"), "received_at": now}])
    assert rollups.run().hours == 1
