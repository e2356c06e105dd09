"""Rollouts and the warehouse, in a real endpoint: evidence, proofs, and the log of what happened."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
import pandas as pd
import pytest

from fleet_control.errors import RowsRefusedError, WarehouseError, WarehouseUnreachableError
from fleet_control.rollouts import events
from fleet_control.rollouts.batch import Batch, Loaded
from fleet_control.rollouts.gating.evidence import GateEvidence
from fleet_control.rollouts.gating.source import CartErrors, CartOutcomes, Scope, Span
from fleet_control.rollouts.gating.source_memory import MemorySource
from fleet_control.rollouts.gating.source_warehouse import WarehouseSource
from fleet_control.rollouts.journal import MAX_ENTRIES, TABLE, WarehouseJournal
from fleet_control.rollouts.ports import Change, Proof
from fleet_control.rollouts.reducer import create
from fleet_control.rollouts.states import Verdict
from fleet_control.rollouts.store_memory import MemoryRolloutStore
from queries.catalogue import RolloutMarks
from queries.client import Warehouse, open_warehouse
from queries.errors import WarehouseUnavailableError
from queries.question import Query
from queries.schema import apply_schema
from queries.target import Target
from queries.writer import Appender, MemoryAppender, open_appender
from tests.fleet_control.rollouts.test_evidence import BEGAN_MS, MINUTE_MS, TIMING, Shop
from tests.fleet_control.rollouts.warehouse_rows import minute, put, settle, utc
from tests.fleet_control.rollouts.worlds import BASELINE, MANIFESTS, MODEL, candidates, plan
from tests.queries import seed
from tests.queries.conftest import EmulatorProcess

_numbers = itertools.count()
SPAN = Span(BEGAN_MS, 2, 60, 120, 150)
SCOPE = Scope((MODEL, BASELINE))


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    """One endpoint for all stories here."""
    process = EmulatorProcess(tmp_path_factory.mktemp("rollouts"))
    yield process
    process.stop()


@pytest.fixture
def warehouse(endpoint: EmulatorProcess) -> Iterator[Warehouse]:
    """A dataset of its own with the schema and no rows."""
    with open_warehouse(endpoint.target(f"rollouts_{next(_numbers)}")) as opened:
        apply_schema(opened)
        yield opened


@pytest.fixture
def appender(warehouse: Warehouse) -> Iterator[Appender]:
    """What writes into it."""
    opened = open_appender(warehouse.target)
    yield opened
    opened.close()


def test_the_warehouse_and_memory_lead_to_the_same_verdicts(warehouse: Warehouse) -> None:
    """Half an hour of a harmful model: the gates over real rows say what they say over the same counts."""
    shop, memory = Shop().bakes(), MemorySource()
    rng = np.random.default_rng(3)
    told: list[seed.Row] = []
    seen: list[seed.Row] = []
    for cart, n in itertools.product(list(shop.told.carts.values())[::3], range(1, 25)):
        is_canary = cart.cart in shop.canaries
        model, accuracy = (MODEL, 0.5) if is_canary else (BASELINE, 0.95)
        at_ms = BEGAN_MS + n * MINUTE_MS
        rows = minute(rng, (cart.store, cart.cart), at_ms, model, events=3, accuracy=accuracy)
        told += rows[0]
        seen += rows[1]
        items = [row for row in rows[0] if row["event_type"] == "item"]
        slow = sum(row["decision_ms"] > 250.0 for row in items)
        wrong = len(rows[0]) - len(items)
        failed = sum(counter["n"] for row in rows[1] for counter in row["counters"])
        memory.put(
            at_ms,
            CartOutcomes(0, cart.store, cart.cart, model, len(items), wrong, len(items), slow),
            CartErrors(0, cart.store, cart.cart, model, failed, 20 + failed),
        )
    repeated = [row | {"received_at": utc(BEGAN_MS + 30 * MINUTE_MS)} for row in told[::5]]
    put(
        warehouse,
        {"events_raw": (seed.EVENTS, [*told, *repeated]), "telemetry_raw": (seed.TELEMETRY, seen)},
    )
    settle(warehouse, BEGAN_MS + 27 * MINUTE_MS)
    memory.watermark_ms = BEGAN_MS + 27 * MINUTE_MS
    now_ms = BEGAN_MS + 40 * MINUTE_MS
    looks = [
        GateEvidence(source, TIMING).look(shop.told.rollout, shop.told.carts, {}, now_ms)
        for source in (WarehouseSource(warehouse), memory)
    ]
    assert looks[0] == looks[1]
    assert ("accuracy", Verdict.FAIL) in {(v.gate, v.verdict) for v in looks[0].verdicts}


def test_what_the_source_asks_and_gets(warehouse: Warehouse) -> None:
    """Watermark, threshold and proofs, with nothing and with something there."""
    source = WarehouseSource(warehouse)
    assert source.watermark(BEGAN_MS) is None
    assert source.threshold(BEGAN_MS, BEGAN_MS + MINUTE_MS, 0.99, SCOPE) == (None, 0)
    assert list(source.outcomes(SPAN, SCOPE, 250.0)) == []
    cart = ("s001", "s001-c01")
    told, seen = minute(np.random.default_rng(1), cart, BEGAN_MS, MODEL, events=40, accuracy=1.0, windows=6)
    put(warehouse, {"events_raw": (seed.EVENTS, told), "telemetry_raw": (seed.TELEMETRY, seen)})
    settle(warehouse, BEGAN_MS + 123_456)
    assert source.watermark(BEGAN_MS) == BEGAN_MS + 123_456
    value, n = source.threshold(BEGAN_MS, BEGAN_MS + MINUTE_MS, 0.5, SCOPE)
    assert value is not None
    assert (n, value) == (len(told), sorted(row["decision_ms"] for row in told)[(n + 1) // 2 - 1])
    [row] = source.outcomes(SPAN, SCOPE, value)
    assert row == CartOutcomes(0, *cart, MODEL, n, 0, n, n // 2)
    assert source.errors(SPAN, SCOPE)[0].inferences >= 120
    proofs = source.running([cart, ("s001", "s001-c02")], BEGAN_MS)
    assert proofs == {"s001-c01": Proof(MODEL, 6, 120, BEGAN_MS + MINUTE_MS - 1)}


def test_only_our_errors_come_out(endpoint: EmulatorProcess) -> None:
    """A warehouse that nobody runs is unreachable; one without our tables refuses."""
    nowhere = Target("p", "d", "http://127.0.0.1:9", "127.0.0.1:9")
    with open_warehouse(nowhere) as away:
        asked = Warehouse(nowhere, away.client, retry_s=0.1)
        with pytest.raises(WarehouseUnreachableError):
            WarehouseSource(asked).watermark(BEGAN_MS)
        with pytest.raises(WarehouseUnreachableError):
            WarehouseJournal(MemoryRolloutStore(lambda: 0), asked, MemoryAppender()).run_once()
    with open_warehouse(endpoint.target("empty_of_ours")) as foreign:
        foreign.create_dataset()
        with pytest.raises(WarehouseError) as caught:
            WarehouseSource(foreign).outcomes(SPAN, SCOPE, 250.0)
        assert not isinstance(caught.value, WarehouseUnreachableError)


@dataclass
class Logged:
    """A database in which a rollout happens."""

    store: MemoryRolloutStore
    loaded: Loaded

    @classmethod
    def new(cls) -> "Logged":
        """Return a rollout that has begun its first stage."""
        made = events.Created(
            at_ms=BEGAN_MS, actor="olga", plan=plan(), baseline=BASELINE, manifests=MANIFESTS
        )
        step = create(made)
        store = MemoryRolloutStore(lambda: BEGAN_MS)
        store.commit(Change(step.rollout, 0, (made,), BEGAN_MS, effects=step.effects))
        logged = cls(store, Loaded(step.rollout, {}))
        logged.happens(
            events.Started(at_ms=BEGAN_MS + 1, population=candidates()),
            events.StageStarted(at_ms=BEGAN_MS + 2, stage=0, carts=("s001-c01",)),
            events.CartsTold(at_ms=BEGAN_MS + 3, carts=("s001-c01",)),
            events.VerdictGiven(
                at_ms=BEGAN_MS + 4, stage=0, gate="accuracy", verdict=Verdict.FAIL, numbers={"e_value": 81.5}
            ),
            events.Paused(at_ms=BEGAN_MS + 5, reason="stopped by the gate", automatic=True),
        )
        return logged

    def happens(self, *entries: events.AnyEvent) -> None:
        """Write entries."""
        batch = Batch(self.loaded, BEGAN_MS)
        batch.add(entries)
        batch.commit(self.store)

    def journal(self, warehouse: Warehouse, appender: Appender) -> WarehouseJournal:
        """Return a journal as a process that starts makes it."""
        return WarehouseJournal(self.store, warehouse, appender, lambda: BEGAN_MS)


def marks(warehouse: Warehouse, *stores: str) -> list[tuple[str, str | None]]:
    """Return (kind, stage) of what charts mark in the minute of the story."""
    question = RolloutMarks(utc(BEGAN_MS), utc(BEGAN_MS + MINUTE_MS), tuple(stores))
    frame = warehouse.run(question).frame
    assert list(frame.columns) == [column.name for column in question.columns]
    return [
        (row["kind"], None if pd.isna(row["stage"]) else row["stage"])
        for row in frame.to_dict(orient="records")
    ]


def test_the_log_gets_into_the_warehouse_and_charts_can_mark_it(
    warehouse: Warehouse, appender: Appender
) -> None:
    """Every entry with its words and numbers; marks of what matters, in the rollout's stores."""
    logged = Logged.new()
    assert logged.journal(warehouse, appender).run_once() == 6
    read = Query(
        "read",
        "SELECT number, kind, verdict, actor, model_digest, payload FROM rollout_transitions"
        " WHERE `at` >= TIMESTAMP '2020-01-01 00:00:00+00' ORDER BY number",
    )
    rows = warehouse.run(read).frame.to_dict(orient="records")
    assert [row["number"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert {row["model_digest"] for row in rows} == {MODEL}
    assert (rows[0]["actor"], rows[4]["verdict"]) == ("olga", "fail")
    assert json.loads(rows[4]["payload"])["numbers"] == {"e_value": 81.5}
    expected = [
        ("started", None),
        ("stage_started", "canary"),
        ("verdict_given", "canary"),
        ("paused", None),
    ]
    assert marks(warehouse) == marks(warehouse, "s001", "s099") == expected
    assert marks(warehouse, "s099") == []


def test_a_journal_that_died_goes_on_and_nothing_counts_twice(
    warehouse: Warehouse, appender: Appender
) -> None:
    """One dies before it hears that its rows are durable; the next goes on, and charts show each once."""
    logged = Logged.new()
    logged.journal(warehouse, appender).run_once()
    other = logged.journal(warehouse, appender)
    assert other.run_once() == 0
    logged.happens(events.Resumed(at_ms=BEGAN_MS + 6, actor="olga"))
    assert other.run_once() == 1
    # One that read its position before the others wrote.
    late = logged.journal(warehouse, appender)
    late._position = 0
    assert late.run_once() == 7
    assert len(marks(warehouse)) == 5


def test_rows_that_wait_are_sent_again(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the warehouse takes nothing, the journal says so and keeps its place."""
    monkeypatch.setattr("fleet_control.rollouts.journal.APPEND_TIMEOUT_S", 0.01)
    logged, appender = Logged.new(), MemoryAppender()
    journal = WarehouseJournal(logged.store, warehouse, appender)
    appender.away.set()
    with pytest.raises(WarehouseUnreachableError):
        journal.run_once()
    appender.away.clear()
    assert journal.run_once() == 6
    assert len({row["number"] for row in appender.rows(TABLE)}) == 6
    appender.refuses = lambda _table, _rows: "no such column"
    logged.happens(events.Resumed(at_ms=BEGAN_MS + 6))
    with pytest.raises(RowsRefusedError):
        journal.run_once()


def test_the_largest_request_is_taken(warehouse: Warehouse, appender: Appender) -> None:
    """As many entries as go at once, as long as they may be; lists of a large fleet stay in the database."""
    logged = Logged.new()
    wide = events.VerdictGiven(
        at_ms=BEGAN_MS, stage=0, gate="errors", verdict=Verdict.NO_DATA, reason="\u20ac" * 1_300
    )
    logged.happens(*(wide for _ in range(MAX_ENTRIES)))
    logged.happens(events.VerdictGiven(**{**msgspec.structs.asdict(wide), "reason": "x" * 5_000}))
    journal = logged.journal(warehouse, appender)
    assert [journal.run_once() for _ in range(3)] == [MAX_ENTRIES, 7, 0]
    read = Query(
        "read",
        "SELECT COUNT(*) AS n, COUNTIF(payload IS NULL) AS cut, MAX(LENGTH(reason)) AS longest"
        " FROM rollout_transitions WHERE `at` >= TIMESTAMP '2020-01-01 00:00:00+00'",
    )
    assert warehouse.run(read).frame.iloc[0].tolist() == [MAX_ENTRIES + 7, 1, 1_000]


def test_errors_of_the_client_are_ours() -> None:
    """What the client calls unavailable is unreachable here."""

    class Away:
        """A warehouse that does not answer."""

        def run(self, question: object) -> None:
            """Do not answer."""
            raise WarehouseUnavailableError(str(question), "it is away")

    with pytest.raises(WarehouseUnreachableError):
        WarehouseSource(Away()).errors(SPAN, SCOPE)  # type: ignore[arg-type]
