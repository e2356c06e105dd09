"""Targets, parameters, answers and errors of the client."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pytest

from queries.client import RETRY_S, Warehouse, open_warehouse
from queries.errors import (
    ConfigurationError,
    QueryRefusedError,
    QueryTimeoutError,
    WarehouseUnavailableError,
)
from queries.question import Parameter, Query, parameters_from, parameters_of, read_sql
from queries.schema import ADDED_COLUMNS, apply_schema, statements
from queries.target import Target, parse_target
from tests.queries.conftest import EmulatorProcess


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("shop-1.fleet", {}, Target("shop-1", "fleet")),
        ("shop-1.fleet?location=EU", {}, Target("shop-1", "fleet", location="EU")),
        ("example.com:shop.fleet", {}, Target("example.com:shop", "fleet")),
        (
            "shop-1.fleet",
            {"BIGQUERY_EMULATOR_HOST": "http://box:9050"},
            Target("shop-1", "fleet", "http://box:9050", "box:9060"),
        ),
        (
            "shop-1.fleet",
            {"BIGQUERY_EMULATOR_HOST": "box:9050", "BIGQUERY_STORAGE_EMULATOR_HOST": "box:1"},
            Target("shop-1", "fleet", "http://box:9050", "box:1"),
        ),
        (
            "emulator://127.0.0.1:9050/demo.fleet?grpc=7",
            {},
            Target("demo", "fleet", "http://127.0.0.1:9050", "127.0.0.1:7"),
        ),
        ("emulator://h:1/demo.fleet", {}, Target("demo", "fleet", "http://h:1", "h:9060")),
    ],
)
def test_targets(text: str, environ: dict[str, str], expected: Target) -> None:
    """Each way to say where the warehouse is means what its documentation says."""
    assert parse_target(text, environ) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "shop",
        "a.b.c d",
        "emulator://h/p.d",
        "emulator://h:x/p.d",
        "emulator://h:1/p",
        "emulator://h:1/p.d?grpc=x",
    ],
)
def test_a_target_that_makes_no_sense_is_named(text: str) -> None:
    """The sentence quotes what was written."""
    with pytest.raises(ConfigurationError, match="is not a warehouse"):
        parse_target(text, {})


@dataclass(frozen=True)
class Everything:
    """One field of each kind."""

    at: datetime
    day: date
    stores: tuple[str, ...] = ()
    n: int = 1
    share: float = 0.5
    is_on: bool = True
    maybe: str | None = None


def test_fields_become_typed_parameters() -> None:
    """The type comes from the declaration, so that an empty tuple and a None have one too."""
    at, day = datetime(2026, 1, 1, tzinfo=UTC), date(2026, 1, 1)
    assert parameters_of(Everything(at, day)) == [
        Parameter("at", "TIMESTAMP", at),
        Parameter("day", "DATE", day),
        Parameter("stores", "STRING", (), is_array=True),
        Parameter("n", "INT64", 1),
        Parameter("share", "FLOAT64", 0.5),
        Parameter("is_on", "BOOL", value=True),
        Parameter("maybe", "STRING", None),
    ]
    with pytest.raises(ConfigurationError, match="no type"):
        parameters_from({"x": object()})
    with pytest.raises(ConfigurationError, match=r"no nowhere\.sql"):
        read_sql("queries.sql", "nowhere")


def test_values_travel_there_and_back(empty_warehouse: Warehouse) -> None:
    """Every kind of parameter arrives as it left, and answers say when, how much and by which job."""
    at = datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
    values = {"at": at, "day": at.date(), "text": "it's", "n": 7, "x": 0.25, "yes": True, "list": ["a", "b"]}
    names = ", ".join(f"@{name} AS `{name}`" for name in values)
    result = empty_warehouse.run(Query("all kinds", f"SELECT {names}", tuple(parameters_from(values))))
    found = result.frame.iloc[0].to_dict()
    assert {**found, "list": list(found["list"])} == values
    assert result.fetched_at.tzinfo is UTC
    assert result.bytes_processed == 0
    assert result.job_id
    nothing = empty_warehouse.run(Query("none", "SELECT NULLIF(1, 1) AS n, [1] AS list FROM UNNEST([1, 2])"))
    assert nothing.frame["n"].isna().all()


def test_the_schema_is_applied_twice_without_harm(empty_warehouse: Warehouse) -> None:
    """A second start finds its tables, with their partitions, and changes nothing."""
    apply_schema(empty_warehouse)
    dataset = f"{empty_warehouse.target.project}.{empty_warehouse.target.dataset}"
    tables = {table.table_id for table in empty_warehouse.client.list_tables(dataset)}
    assert tables == {name for name, _ in statements()} - set(ADDED_COLUMNS)
    events = empty_warehouse.client.get_table(f"{dataset}.events_raw")
    assert events.require_partition_filter
    assert events.time_partitioning.field == "event_at"


def test_a_warehouse_of_an_earlier_version_gets_the_columns_it_lacks(empty_warehouse: Warehouse) -> None:
    """Births stored before carts told their engine stay, with null in the new column."""
    table = f"{empty_warehouse.target.project}.{empty_warehouse.target.dataset}.cart_states_raw"
    ddl = dict(statements())["cart_states_raw"]
    earlier = "\n".join(line for line in ddl.splitlines() if not line.startswith("  engine "))
    empty_warehouse.client.delete_table(table)
    empty_warehouse.execute(earlier, name="earlier")
    empty_warehouse.execute(
        "INSERT cart_states_raw (store_id, cart_id, boot_id, session, online, simulated, received_at)"
        " VALUES ('s1', 'c1', 'b', 1, TRUE, TRUE, TIMESTAMP '2026-11-24 00:00:00+00')",
        name="birth",
    )
    assert "engine" not in {field.name for field in empty_warehouse.client.get_table(table).schema}
    apply_schema(empty_warehouse)
    read = Query(
        "read",
        "SELECT cart_id, engine FROM cart_states_raw WHERE received_at >= TIMESTAMP '2026-11-01 00:00:00+00'",
    )
    frame = empty_warehouse.run(read).frame
    assert frame["cart_id"].tolist() == ["c1"]
    assert frame["engine"].isna().all()


def test_views_have_no_duplicates(empty_warehouse: Warehouse) -> None:
    """A row that was delivered twice is there once, with the time it came first."""
    insert = (
        "INSERT INTO events_raw (store_id, cart_id, boot_id, channel, seq, row_ix, event_at, event_id,"
        " event_type, received_at, simulated) SELECT 's', 'c', 'b', 'evt', 0, 0, TIMESTAMP '2026-01-01',"
        " 'e', 'item', TIMESTAMP_SECONDS(t), TRUE FROM UNNEST([20, 10]) AS t"
    )
    assert empty_warehouse.execute(insert, name="insert").rows_affected == 2
    sql = "SELECT received_at FROM events WHERE event_at >= '2026-01-01'"
    found = empty_warehouse.run(Query("view", sql)).frame["received_at"].to_list()
    assert found == [datetime.fromtimestamp(10, UTC)]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT FROM", "invalidQuery"),
        ("SELECT * FROM nowhere", "notFound"),
        ("SELECT * FROM events_raw", "invalidQuery"),
    ],
)
def test_a_refusal_says_which_query_and_why(empty_warehouse: Warehouse, sql: str, reason: str) -> None:
    """Bad syntax, a missing table and a missing partition filter are refused at once."""
    with pytest.raises(QueryRefusedError) as refused:
        empty_warehouse.run(Query("my question", sql))
    assert (refused.value.query, refused.value.reason) == ("my question", reason)
    assert "http" not in refused.value.detail


def test_nobody_there(emulator: EmulatorProcess) -> None:
    """A warehouse that does not answer is unavailable, soon and in our words."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        target = Target("p", "d", url, emulator.grpc_address)
        with open_warehouse(target) as opened, pytest.raises(WarehouseUnavailableError):
            Warehouse(target, opened.client, retry_s=0.1).run(Query("my question", "SELECT 1"))
    assert RETRY_S < 10


def test_no_answer_in_time() -> None:
    """A warehouse that takes the question and says nothing is given up after the time-out."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        target = Target("p", "d", f"http://127.0.0.1:{silent.getsockname()[1]}", "unused:1")
        with open_warehouse(target) as opened, pytest.raises(QueryTimeoutError, match="my question"):
            Warehouse(target, opened.client, retry_s=0.1).run(Query("my question", "SELECT 1", timeout_s=0.3))
