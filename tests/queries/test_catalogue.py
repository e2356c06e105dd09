"""The catalogue against pandas, in a real endpoint that holds the seeded stores."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd
import pytest

from queries import catalogue as cat
from queries.client import Warehouse, open_warehouse
from queries.dimensions import (
    Item,
    SignalBin,
    Store,
    replace_items,
    replace_signal_bins,
    replace_stores,
)
from queries.errors import QueryRefusedError
from queries.question import Question
from queries.rollups import Rollups
from queries.schema import apply_schema
from queries.writer import open_appender
from tests.queries import reference, seed
from tests.queries.conftest import EmulatorProcess

SPAN = (seed.START, seed.END)
HOUR_S = 3600


@dataclasses.dataclass(frozen=True)
class Seeded:
    """A warehouse and what is in it."""

    warehouse: Warehouse
    judged: pd.DataFrame
    windows: list[seed.Row]
    latencies: pd.DataFrame

    def ask(self, question: Question) -> pd.DataFrame:
        """Return an answer; its columns are those the catalogue says."""
        frame = self.warehouse.run(question).frame
        assert list(frame.columns) == [column.name for column in question.columns]
        return frame


@pytest.fixture(scope="module")
def seeded(emulator: EmulatorProcess) -> Iterator[Seeded]:
    """Two stores, five hours around midnight, some rows twice, rolled up."""
    rng = np.random.default_rng(42)
    events, (windows, latencies) = seed.events(rng), seed.windows(rng)
    with open_warehouse(emulator.target("catalogue")) as warehouse:
        apply_schema(warehouse)
        appender = open_appender(warehouse.target)
        births = [seed.state(s, c, 3, seed.START, online=not c.endswith("2")) for s, c in seed.carts()]
        rows = [
            ("events_raw", seed.EVENTS, [*events, *seed.again(events)]),
            ("telemetry_raw", seed.TELEMETRY, [*windows, *seed.again(windows)]),
            ("cart_states_raw", seed.STATES, births),
        ]
        tickets = [appender.append(table, seed.table(schema, part)) for table, schema, part in rows]
        assert all(ticket.wait(30) for ticket in tickets)
        appender.close()
        replace_stores(warehouse, [Store("s001", "North", "Gent", "Europe/Brussels", simulated=True)])
        replace_items(warehouse, [Item("item-0", "Apple", "fruit", "1", 150.0, None, 0)])
        replace_signal_bins(warehouse, [SignalBin("blur", 0, None, 0.5, "< 0.5", "")])
        Rollups(warehouse, lambda: seed.END).run()
        yield Seeded(warehouse, reference.judged_events(events), windows, _frame(latencies))


def _frame(latencies: list[tuple[seed.Row, str, float]]) -> pd.DataFrame:
    rows = [(r["store_id"], r["model_digest"] or "", r["window_start"], s, ms) for r, s, ms in latencies]
    return pd.DataFrame(rows, columns=["store_id", "model_digest", "at", "stage", "ms"])


def as_lists(frame: pd.DataFrame, columns: list[str] | None = None) -> list[list[Any]]:
    """Return rows as lists, for comparison."""
    return frame[columns or list(frame.columns)].to_numpy().tolist()


COUNTS = ["item_events", "contradicted", "labelled", "asked"]


def test_every_file_is_in_the_catalogue_and_says_what_it_is() -> None:
    """No SQL file without an entry, no entry without a file; each has a sentence, columns and units."""
    files = {f.name.removesuffix(".sql") for f in resources.files("queries.sql").iterdir()}
    assert files == set(cat.CATALOGUE)
    for name, entry in cat.CATALOGUE.items():
        sql = (resources.files("queries.sql") / f"{name}.sql").read_text()
        assert sql.startswith("-- "), name
        assert entry.__doc__, name
        assert entry.columns, name
        assert all(column.meaning for column in entry.columns), name
        assert entry.maximum_bytes_billed > 0
        parameters = {field.name for field in dataclasses.fields(entry)}
        assert all(f"@{parameter}" in sql for parameter in parameters), name


@pytest.mark.parametrize("question", [cat.EventSeries, cat.EventSeriesRecent])
def test_event_series(seeded: Seeded, question: type[cat.EventSeries]) -> None:
    """Hourly rollups and raw rows give the same series, that of pandas."""
    found = seeded.ask(question(*SPAN, step_s=HOUR_S))
    expected = reference.counts(seeded.judged, ["store_id", "hour"])
    assert as_lists(found, ["store_id", "at", *COUNTS]) == as_lists(expected)
    sums = seeded.judged.groupby(["store_id", "hour"])["posterior"].sum()
    assert found["posterior_sum"].to_list() == pytest.approx(sums.to_list())


def test_event_series_in_short_steps(seeded: Seeded) -> None:
    """The raw rows give ten-minute steps, for one store and one model."""
    found = seeded.ask(cat.EventSeriesRecent(*SPAN, step_s=600, stores=("s002",), models=(seed.NEW_MODEL,)))
    judged = seeded.judged.query("store_id == 's002' and model_digest == @seed.NEW_MODEL").copy()
    judged["at"] = judged["event_at"].dt.floor("10min")
    assert as_lists(found, ["at", *COUNTS]) == as_lists(reference.counts(judged, ["at"]))


@pytest.mark.parametrize("question", [cat.CartEvents, cat.CartEventsRecent])
def test_cart_events(seeded: Seeded, question: type[cat.CartEvents]) -> None:
    """Counts per cart, for one model."""
    found = seeded.ask(question(*SPAN, models=(seed.OLD_MODEL,)))
    judged = seeded.judged[seeded.judged["model_digest"] == seed.OLD_MODEL]
    assert as_lists(found) == as_lists(reference.counts(judged, ["store_id", "cart_id"]))


@pytest.mark.parametrize("question", [cat.CartActivity, cat.CartActivityRecent])
def test_cart_activity(seeded: Seeded, question: type[cat.CartActivity]) -> None:
    """Frames and drops add up over cameras and causes."""
    found = seeded.ask(question(*SPAN))
    per_cart = len(seeded.windows) // len(seed.carts())
    expected = [[per_cart, 190 * per_cart, 5 * per_cart]] * len(seed.carts())
    assert as_lists(found, ["windows", "frames", "dropped"]) == expected


def test_cart_vitals(seeded: Seeded) -> None:
    """Gauges are the newest window's, counters add up once, redelivered windows or not."""
    found = seeded.ask(cat.CartVitals(*SPAN, stores=("s001",)))
    cart = found[found["cart_id"] == found["cart_id"].iloc[0]]
    per_cart = len(seeded.windows) // len(seed.carts())
    assert as_lists(cart, ["kind", "name", "camera", "value"]) == [
        ["counter", "asked", "", per_cart],
        ["counter", "drop_full", "", 2 * per_cart],
        ["counter", "drop_stale", "left", 3 * per_cart],
        ["counter", "frames", "front", 100 * per_cart],
        ["counter", "frames", "left", 90 * per_cart],
        ["gauge", "fps/front", "", 15.0],
        ["gauge", "temp_c", "", 40.0 + per_cart - 1],
    ]
    assert set(found["store_id"]) == {"s001"}


def test_cart_engines(seeded: Seeded) -> None:
    """Carts that have been born say what runs their model; those that only died are not listed."""
    found = seeded.ask(cat.CartEngines(*SPAN))
    born = [(s, c) for s, c in seed.carts() if not c.endswith("2")]
    assert as_lists(found, ["store_id", "cart_id", "engine", "hardware"]) == [
        [store, cart, "onnxruntime 3", "simulated"] for store, cart in born
    ]


@pytest.mark.parametrize("question", [cat.Latency, cat.LatencyRecent])
def test_latency_histograms(seeded: Seeded, question: type[cat.Latency]) -> None:
    """Buckets hold each latency once."""
    found = seeded.ask(question(*SPAN))
    truth = seeded.latencies.assign(bucket=seeded.latencies["ms"].map(seed.bucket_of))
    expected = truth.groupby(["store_id", "model_digest", "stage", "bucket"]).size().reset_index()
    assert as_lists(found) == as_lists(expected)


@pytest.mark.parametrize("question", [cat.LatencySeries, cat.LatencySeriesRecent])
def test_latency_series(seeded: Seeded, question: type[cat.LatencySeries]) -> None:
    """One stage of one store over time."""
    found = seeded.ask(question(*SPAN, step_s=2 * HOUR_S, stage="infer", stores=("s001",)))
    truth = seeded.latencies.query("stage == 'infer' and store_id == 's001'")
    truth = truth.assign(at=truth["at"].dt.floor("2h"), bucket=truth["ms"].map(seed.bucket_of))
    assert as_lists(found) == as_lists(truth.groupby(["at", "bucket"]).size().reset_index())


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({}, ["stage"]),
        ({"by_store": True, "by_model": True}, ["store_id", "model_digest", "stage"]),
        ({"step_s": HOUR_S, "stages": ("infer",)}, ["at"]),
    ],
)
def test_latency_quantiles(seeded: Seeded, options: dict[str, Any], keys: list[str]) -> None:
    """Quantiles of merged histograms are within 1.1 % of those of the latencies themselves, with their n."""
    found = seeded.ask(cat.LatencyQuantiles(*SPAN, **options))
    truth = seeded.latencies.assign(at=seeded.latencies["at"].dt.floor("h"))
    truth = truth[truth["stage"].isin(options.get("stages", seed.STAGES))]
    for row, (_, group) in zip(found.to_dict("records"), truth.groupby(keys), strict=True):
        assert row["n"] == len(group)
        for name, q in (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)):
            assert row[name] == pytest.approx(reference.nearest_rank(group["ms"], q), rel=0.011)


def test_recent_events(seeded: Seeded) -> None:
    """The newest events come first, each once, with its newest label."""
    found = seeded.ask(cat.RecentEvents(*SPAN, max_events=20))
    newest = seeded.judged.sort_values(["event_at", "cart_id"], ascending=[False, True]).head(20)
    assert as_lists(found, ["event_at", "cart_id", "event_id"]) == as_lists(
        newest, ["event_at", "cart_id", "event_id"]
    )
    assert found["label_type"].notna().to_list() == newest["labelled"].to_list()
    assert found["posterior"].to_list() == newest["posterior"].to_list()


def test_signals_of_now_and_of_the_past(seeded: Seeded) -> None:
    """Two stretches are counted apart; hours of the day limit the past only."""
    middle = seed.START + timedelta(hours=3)
    found = seeded.ask(cat.Signals(middle, seed.END, seed.START, middle, hours=(23,)))
    for store in seed.STORES:
        rows = [w for w in seeded.windows if w["store_id"] == store]
        mine = found[found["store_id"] == store]
        now = [w for w in rows if w["window_start"] >= middle]
        past = [w for w in rows if w["window_start"].hour == 23]
        for column, part in (("now_n", now), ("reference_n", past)):
            assert mine[column].sum() == sum(s["n"] for w in part for s in w["signals"])


def test_cart_signals_and_camera_days(seeded: Seeded) -> None:
    """Days are UTC days, both ends included, cameras apart."""
    first, second = date(2026, 3, 1), date(2026, 3, 2)
    found = seeded.ask(cat.CartSignals(second, second, first, first, stores=("s001",)))
    days = seeded.ask(cat.CameraDays(first, second, "blur", stores=("s001",)))
    for camera in ("front", "left"):
        for day, column in ((second, "now_n"), (first, "reference_n")):
            rows = [w for w in seeded.windows if w["store_id"] == "s001" and w["window_start"].date() == day]
            expected = sum(s["n"] for w in rows for s in w["signals"] if s["camera"] == camera)
            assert found.loc[found["camera"] == camera, column].sum() == expected
            assert days.loc[(days["camera"] == camera) & (days["day"] == day), "n"].sum() == expected


def test_store_overview(seeded: Seeded) -> None:
    """One row per store, also for one nobody described, with its numbers and its carts."""
    found = seeded.ask(cat.StoreOverview(*SPAN))
    assert as_lists(found, ["store_id", *COUNTS]) == as_lists(reference.counts(seeded.judged, ["store_id"]))
    assert found["name"].isna().to_list() == [False, True]
    assert as_lists(found, ["carts", "carts_online"]) == [[2, 1], [2, 1]]
    assert [list(models) for models in found["models"]] == [[seed.NEW_MODEL]] * 2
    decided = seeded.latencies[seeded.latencies["stage"] == "camera_to_decision"]
    for row, (_, group) in zip(found.to_dict("records"), decided.groupby("store_id"), strict=True):
        assert row["decisions"] == len(group)
        assert row["p95_ms"] == pytest.approx(reference.nearest_rank(group["ms"], 0.95), rel=0.011)


def test_fleet_totals(seeded: Seeded) -> None:
    """The period and the one before it share no event and lose none."""
    middle = seed.START + timedelta(hours=2)
    found = seeded.ask(cat.FleetTotals(seed.START, middle, seed.END))
    for period, part in (
        ("current", seeded.judged[seeded.judged["event_at"] >= middle]),
        ("previous", seeded.judged[seeded.judged["event_at"] < middle]),
    ):
        sums = [len(part), *(part[name].sum() for name in COUNTS[1:])]
        assert as_lists(found[found["period"] == period], COUNTS) == [sums]


def test_store_carts_items_models_and_versions(seeded: Seeded) -> None:
    """Carts, items, models and versions each add up to all events or all carts."""
    carts = seeded.ask(cat.StoreCarts(*SPAN, stores=("s001",)))
    of_store = seeded.judged[seeded.judged["store_id"] == "s001"]
    assert as_lists(carts, COUNTS) == as_lists(reference.counts(of_store, ["cart_id"]), COUNTS)
    assert carts["online"].to_list() == [True, False]
    items = seeded.ask(cat.StoreItems(*SPAN)).sort_values("item_id")
    expected = reference.counts(seeded.judged, ["item_id"])
    wanted = ["item_id", "item_events", "contradicted"]
    assert as_lists(items, wanted) == as_lists(expected, wanted)
    assert items["name"].to_list()[0] == "Apple"
    models = seeded.ask(cat.Models(*SPAN)).set_index("model_digest")["item_events"]
    assert models.to_dict() == seeded.judged["model_digest"].value_counts().to_dict()
    versions = seeded.ask(cat.Versions(*SPAN))
    assert set(versions["model_digest"]) == {"", seed.OLD_MODEL, seed.NEW_MODEL}


def test_dimensions_freshness_span_and_simulation(seeded: Seeded) -> None:
    """The small answers: what there is, since when, how fresh, and that it is simulated."""
    assert as_lists(seeded.ask(cat.Stores())) == [["s001", "North", "Gent", "Europe/Brussels", True]]
    assert as_lists(seeded.ask(cat.Items())) == [["item-0", "Apple", "fruit", 0]]
    bins = seeded.ask(cat.SignalBins())
    assert bins["upper"].to_list() == [0.5]
    assert bins["lower"].isna().all()
    fresh = seeded.ask(cat.Freshness()).iloc[0]
    received = max(w["received_at"] for w in seeded.windows[::3]) + timedelta(seconds=30)
    assert fresh["counted_until"] >= received
    span = seeded.ask(cat.DataSpan(datetime(2026, 1, 1, tzinfo=UTC))).iloc[0]
    assert [span["first_at"], span["stores"], span["item_events"]] == [seed.START, 2, len(seeded.judged)]
    assert as_lists(seeded.ask(cat.Simulation())) == [[1, 1, 4, 4]]
    sources = seeded.ask(cat.SourceFreshness(seed.START)).set_index("source")
    assert sources.loc["cart states", "row_count"] == 4
    assert len(seeded.ask(cat.Carts(stores=("s002",)))) == 2


def test_ingest_finds_what_is_durable(emulator: EmulatorProcess) -> None:
    """Runs of the ledger, rows without an entry and the newest states come back as they are."""
    at = seed.START
    with open_warehouse(emulator.target("ingest_questions")) as warehouse:
        apply_schema(warehouse)
        appender = open_appender(warehouse.target)
        windows = [
            {
                **seed.provenance("s001", "c1", "tel", n, at),
                "window_start": at,
                "window_end": at,
                "windows_merged": 1,
            }
            for n in range(6)
        ]
        entries = [
            {
                "received_at": at,
                "cart_id": "c1",
                "boot_id": "0" * 16,
                "channel": "tel",
                "seq": n,
                "row_count": 1,
                "disposition": "stored",
            }
            for n in (0, 1, 2, 2, 4)
        ]
        states = [seed.state("s001", "c1", n, at, online=n == 1) for n in (1, 2)]
        parts = [
            ("telemetry_raw", seed.TELEMETRY, windows),
            ("ingest_ledger", seed.LEDGER, entries),
            ("cart_states_raw", seed.STATES, states),
        ]
        assert all(appender.append(t, seed.table(s, rows)).wait(30) for t, s, rows in parts)
        appender.close()
        runs = warehouse.run(cat.LedgerRanges(at)).frame.sort_values("low")
        assert as_lists(runs, ["low", "high"]) == [[0, 2], [4, 4]]
        assert warehouse.run(cat.LedgerRanges(at, boots=("other",))).frame.empty
        missing = warehouse.run(cat.MessagesWithoutEntry(at, at)).frame
        assert sorted(missing["seq"]) == [3, 5]
        assert as_lists(warehouse.run(cat.LastStates(at)).frame, ["session", "online"]) == [[2, False]]
        assert warehouse.run(cat.LedgerHorizon(at)).frame.loc[0, "newest"] == at
        assert warehouse.run(cat.GapRanges(at)).frame.empty
        assert warehouse.run(cat.RecentLetters(at)).frame.empty
        assert warehouse.run(cat.DeadLettersSummary(*SPAN)).frame.empty


def test_a_question_that_would_bill_too_much_is_refused(seeded: Seeded) -> None:
    """The limit is sent with each question."""
    query = cat.EventSeries(*SPAN, step_s=HOUR_S).query()
    with pytest.raises(QueryRefusedError, match="bytes billed") as refused:
        seeded.warehouse.run(dataclasses.replace(query, maximum_bytes_billed=1))
    assert refused.value.query == "event_series"
