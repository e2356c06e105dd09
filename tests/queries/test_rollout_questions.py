"""What the gates ask, in a real endpoint, with rows that must not count among those that must."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from queries import catalogue as cat
from queries.client import Warehouse
from queries.question import Question
from queries.writer import open_appender
from tests.queries import seed
from tests.queries.conftest import EmulatorProcess

START = datetime(2026, 3, 1, 9, 58, 20, tzinfo=UTC)
END = START + timedelta(seconds=120)
NEW, OLD = "b" * 16, "a" * 16
LABEL_LAG_S, CLOSE_S = 600, 660


def event(cart: str, name: str, after_s: float, **changes: Any) -> seed.Row:
    """Return an item event so long after the start, received at once."""
    at = START + timedelta(seconds=after_s)
    row = {
        **seed.provenance("s001", cart, "evt", zlib.crc32(name.encode()) % 10_000, at),
        "model_digest": NEW,
        "received_at": at + timedelta(seconds=2),
        "event_at": at,
        "event_id": name,
        "event_type": "item",
        "item_id": "apple",
        "quantity": 1,
        "direction": "add",
        "decision_ms": 100.0,
    }
    return row | changes


def label(cart: str, of: str, after_s: float, **changes: Any) -> seed.Row:
    """Return a label that says "nothing was moved"."""
    said = {"event_type": "correction", "item_id": None, "quantity": None, "direction": None}
    return event(cart, f"label of {of}", after_s, ref_event_id=of, **said) | changes


def window(cart: str, after_s: float, **changes: Any) -> seed.Row:
    """Return a telemetry window of ten seconds with five inferences."""
    at = START + timedelta(seconds=after_s)
    row = {
        **seed.provenance("s001", cart, "tel", round(after_s) + 1_000, at),
        "model_digest": NEW,
        "received_at": at + timedelta(seconds=12),
        "window_start": at,
        "window_end": at + timedelta(seconds=10),
        "windows_merged": 1,
        "histograms": [{"stage": "infer", "bucket": 90, "n": 3}, {"stage": "infer", "bucket": 91, "n": 2}],
        "signals": [],
        "counters": [],
        "gauges": [],
    }
    return row | changes


def put(warehouse: Warehouse, table: str, schema: Any, rows: list[seed.Row]) -> None:
    """Make rows durable."""
    appender = open_appender(warehouse.target)
    assert appender.append(table, seed.table(schema, rows)).wait(30)
    appender.close()


def ask(warehouse: Warehouse, question: Question) -> list[list[Any]]:
    """Return an answer as lists; its columns are those the catalogue says."""
    frame = warehouse.run(question).frame
    assert list(frame.columns) == [column.name for column in question.columns]
    return [list(row) for row in frame.itertuples(index=False, name=None)]


def outcomes(**changes: Any) -> cat.RolloutOutcomes:
    """Ask for two blocks of a minute."""
    values: dict[str, Any] = {
        "block_s": 60,
        "label_lag_s": LABEL_LAG_S,
        "close_s": CLOSE_S,
        "slow_ms": 250.0,
        "models": (NEW, OLD),
    }
    return cat.RolloutOutcomes(START, END, **(values | changes))


def test_outcomes_count_each_event_once_in_its_block(empty_warehouse: Warehouse) -> None:
    """Two blocks, each event in the one in which it happened; events on the edges belong to the later one."""
    rows = [
        event("c1", "e1", 0.0),
        event("c1", "e2", 59.9, decision_ms=300.0),
        event("c1", "e3", 60.0, decision_ms=None),
        event("c2", "e1", 30.0, model_digest=OLD),
        event("c1", "before", -0.1),
        event("c1", "after", 120.0),
    ]
    put(empty_warehouse, "events_raw", seed.EVENTS, rows)
    assert ask(empty_warehouse, outcomes()) == [
        [0, "s001", "c1", NEW, 2, 0, 2, 1],
        [0, "s001", "c2", OLD, 1, 0, 1, 0],
        [1, "s001", "c1", NEW, 1, 0, 0, 0],
    ]


def test_duplicates_change_nothing(empty_warehouse: Warehouse) -> None:
    """A redelivered message, and an event that a cart sent again after a reboot, count once."""
    first = event("c1", "e1", 5.0)
    again = first | {"received_at": first["received_at"] + timedelta(seconds=30)}
    rebooted = again | {"boot_id": "f" * 16, "seq": 0}
    wrong = label("c1", "e1", 6.0)
    put(empty_warehouse, "events_raw", seed.EVENTS, [first, again, rebooted, wrong, wrong])
    assert ask(empty_warehouse, outcomes()) == [[0, "s001", "c1", NEW, 1, 1, 1, 0]]


@pytest.mark.parametrize(
    ("changes", "contradicted"),
    [
        ({}, 1),
        ({"item_id": "apple"}, 0),
        ({"item_id": "pear"}, 1),
        ({"item_id": "apple", "quantity": 2}, 1),
        ({"item_id": "apple", "quantity": 1, "direction": "remove"}, 1),
        ({"event_at": START + timedelta(seconds=5 + LABEL_LAG_S)}, 1),
        ({"event_at": START + timedelta(seconds=5.001 + LABEL_LAG_S)}, 0),
        ({"received_at": START + timedelta(seconds=60 + CLOSE_S)}, 1),
        ({"received_at": START + timedelta(seconds=60.001 + CLOSE_S)}, 0),
        ({"store_id": "s002"}, 0),
    ],
)
def test_labels_count_up_to_a_fixed_lag(
    empty_warehouse: Warehouse, changes: dict[str, Any], contradicted: int
) -> None:
    """A label that came later, or was received after the block closed, never changes the block."""
    rows = [event("c1", "e1", 5.0), label("c1", "e1", 6.0, **changes)]
    put(empty_warehouse, "events_raw", seed.EVENTS, rows)
    assert ask(empty_warehouse, outcomes()) == [[0, "s001", "c1", NEW, 1, contradicted, 1, 0]]


def test_a_block_that_closed_stays_as_it_was(empty_warehouse: Warehouse) -> None:
    """An offline cart uploads its afternoon an hour later: no answer changes."""
    put(empty_warehouse, "events_raw", seed.EVENTS, [event("c1", "e1", 5.0)])
    before = ask(empty_warehouse, outcomes())
    late = START + timedelta(hours=1)
    rows = [
        event("c2", "e1", 5.0, received_at=late),
        event("c1", "e2", 6.0, received_at=late),
        label("c1", "e1", 8.0, received_at=late),
        event("c1", "e1", 5.0, received_at=late),
    ]
    put(empty_warehouse, "events_raw", seed.EVENTS, rows)
    assert ask(empty_warehouse, outcomes()) == before


def test_other_models_and_stores_are_left_out(empty_warehouse: Warehouse) -> None:
    """A cart between two models, without one, or elsewhere is nobody's evidence."""
    rows = [
        event("c1", "e1", 5.0),
        event("c1", "e2", 5.0, model_digest="c" * 16),
        event("c1", "e3", 5.0, model_digest=None),
        event("c9", "e1", 5.0, store_id="s009"),
    ]
    put(empty_warehouse, "events_raw", seed.EVENTS, rows)
    assert ask(empty_warehouse, outcomes(stores=("s001",))) == [[0, "s001", "c1", NEW, 1, 0, 1, 0]]


def test_errors_come_with_how_often_it_was_tried(empty_warehouse: Warehouse) -> None:
    """Engine, vision and decider; each failure was a try. Late, foreign and repeated windows count not."""
    failures = [
        {"name": "engine_errors", "camera": "", "n": 2},
        {"name": "decider_failed", "camera": "", "n": 1},
        {"name": "frames", "camera": "front", "n": 90},
    ]
    late = START + timedelta(seconds=60.1 + CLOSE_S)
    rows = [
        window("c1", 0.0),
        window("c1", 10.0, counters=failures),
        window("c1", 10.0, counters=failures, received_at=START + timedelta(seconds=40)),
        window("c1", 65.0, histograms=[]),
        window("c1", 70.0, model_digest=OLD),
        window("c2", 20.0, received_at=late),
        window("c2", 30.0, model_digest="c" * 16),
    ]
    put(empty_warehouse, "telemetry_raw", seed.TELEMETRY, rows)
    question = cat.RolloutErrors(START, END, block_s=60, close_s=CLOSE_S, models=(NEW, OLD))
    assert ask(empty_warehouse, question) == [
        [0, "s001", "c1", NEW, 3, 13],
        [1, "s001", "c1", OLD, 0, 5],
    ]


def test_the_threshold_is_the_nearest_rank(empty_warehouse: Warehouse) -> None:
    """The 99th of a hundred decisions, each once; nothing at all where nobody decided."""
    rows = [event("c1", f"e{n}", 1.0, model_digest=OLD, decision_ms=float(n)) for n in range(1, 101)]
    put(empty_warehouse, "events_raw", seed.EVENTS, [*rows, *seed.again(rows)])
    question = cat.RolloutThreshold(START, END, 0.99, (OLD,))
    assert ask(empty_warehouse, question) == [[99.0, 100]]
    nobody = ask(empty_warehouse, cat.RolloutThreshold(START, END, 0.99, (NEW,)))
    assert pd.isna(nobody[0][0])
    assert nobody[0][1] == 0


def test_what_runs_is_proved_by_windows_in_a_row(empty_warehouse: Warehouse) -> None:
    """Only the newest windows without another digest between them count, each once."""
    rows = [
        window("c1", 0.0),
        window("c1", 10.0, model_digest=OLD),
        window("c1", 20.0),
        window("c1", 30.0),
        window("c1", 30.0, received_at=END),
        window("c2", 10.0, model_digest=OLD),
        window("c2", 20.0, model_digest=None),
    ]
    put(empty_warehouse, "telemetry_raw", seed.TELEMETRY, rows)
    last_1, last_2 = (pd.Timestamp(START + timedelta(seconds=s)) for s in (40, 30))
    assert ask(empty_warehouse, cat.RolloutRunning(START)) == [
        ["s001", "c1", NEW, 2, last_1, 10],
        ["s001", "c2", "", 1, last_2, 5],
    ]
    assert ask(empty_warehouse, cat.RolloutRunning(START, stores=("s001",), carts=("c2",))) == [
        ["s001", "c2", "", 1, last_2, 5]
    ]


def test_an_earlier_table_of_updates_gets_its_columns(emulator: EmulatorProcess) -> None:
    """Steps stored before rollouts existed stay, with null in the new columns."""
    from queries.client import open_warehouse
    from queries.question import Query
    from queries.schema import apply_schema, statements

    new = ("  rollout_id ", "  attempt ", "  step ")
    lines = dict(statements())["updates_raw"].splitlines()
    earlier = "\n".join(line for line in lines if not line.startswith(new))
    with open_warehouse(emulator.target("earlier_updates")) as warehouse:
        warehouse.create_dataset()
        warehouse.execute(earlier, name="earlier")
        warehouse.execute(
            "INSERT updates_raw (store_id, cart_id, boot_id, channel, seq, row_ix, updated_at, state,"
            " received_at, simulated) VALUES"
            " ('s1', 'c1', 'b', 'upd', 0, 0, TIMESTAMP '2026-11-24 00:00:00+00', 'IDLE',"
            " TIMESTAMP '2026-11-24 00:00:00+00', TRUE)",
            name="step",
        )
        apply_schema(warehouse)
        read = Query(
            "read",
            "SELECT state, rollout_id, attempt, step FROM updates_raw"
            " WHERE updated_at >= TIMESTAMP '2026-11-01 00:00:00+00'",
        )
        frame = warehouse.run(read).frame
    assert frame["state"].tolist() == ["IDLE"]
    assert frame[["rollout_id", "attempt", "step"]].isna().all(axis=None)
