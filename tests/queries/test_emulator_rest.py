"""The REST side of the embedded endpoint, asked by Google's own client in another process."""

from __future__ import annotations

import datetime as dt
import decimal
import io
import itertools
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from google.api_core import exceptions as api
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from tests.queries.conftest import PROJECT, EmulatorProcess

F = bigquery.SchemaField
_numbers = itertools.count()
EVERY_TYPE = [
    F("i", "INT64", "REQUIRED"),
    F("s", "STRING"),
    F("f", "FLOAT64"),
    F("b", "BOOL"),
    F("y", "BYTES"),
    F("ts", "TIMESTAMP"),
    F("d", "DATE"),
    F("t", "TIME"),
    F("dt", "DATETIME"),
    F("n", "NUMERIC"),
    F("j", "JSON"),
    F("tags", "STRING", "REPEATED"),
    F("r", "RECORD", fields=[F("x", "INT64"), F("z", "RECORD", "REPEATED", fields=[F("q", "FLOAT64")])]),
]
FULL_ROW = {
    "i": 1,
    "s": "ä'\"",
    "f": 1.5,
    "b": True,
    "y": "YWI=",
    "ts": "2024-01-02T03:04:05.123456Z",
    "d": "2024-01-02",
    "t": "03:04:05.5",
    "dt": "2024-01-02T03:04:05",
    "n": "1.25",
    "j": '{"k": [1, null]}',
    "tags": ["a", "b"],
    "r": {"x": 5, "z": [{"q": 0.5}, {"q": None}]},
}
FULL_VALUE = {
    "i": 1,
    "s": "ä'\"",
    "f": 1.5,
    "b": True,
    "y": b"ab",
    "ts": dt.datetime(2024, 1, 2, 3, 4, 5, 123456, tzinfo=dt.UTC),
    "d": dt.date(2024, 1, 2),
    "t": dt.time(3, 4, 5, 500000),
    "dt": dt.datetime(2024, 1, 2, 3, 4, 5),  # noqa: DTZ001
    "n": decimal.Decimal("1.25"),
    "j": {"k": [1, None]},
    "tags": ["a", "b"],
    "r": {"x": 5, "z": [{"q": 0.5}, {"q": None}]},
}


@pytest.fixture(scope="module")
def client(emulator: EmulatorProcess) -> Iterator[bigquery.Client]:
    """Google's client as any program makes it when BIGQUERY_EMULATOR_HOST is set."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIGQUERY_EMULATOR_HOST", emulator.rest_url)
        found = bigquery.Client(project=PROJECT, credentials=AnonymousCredentials())
    yield found
    found.close()


@pytest.fixture
def dataset(client: bigquery.Client) -> str:
    """A dataset of its own."""
    name = f"rest_{next(_numbers)}"
    client.create_dataset(name)
    return name


def rows(client: bigquery.Client, sql: str, **options: Any) -> list[tuple[Any, ...]]:
    """Run a query and give its rows as tuples."""
    config = bigquery.QueryJobConfig(**options)
    return [tuple(row.values()) for row in client.query_and_wait(sql, job_config=config)]


def test_datasets_live_and_die(client: bigquery.Client) -> None:
    """A dataset is made, found, described, listed, changed and removed; names are taken only once."""
    made = client.create_dataset("life")
    assert made.dataset_id == "life"
    with pytest.raises(api.Conflict):
        client.create_dataset("life")
    with pytest.raises(api.Conflict):
        client.create_dataset("LIFE")
    made.description = "all of it"
    made.labels = {"kind": "test"}
    client.update_dataset(made, ["description", "labels"])
    again = client.get_dataset("life")
    assert (again.description, dict(again.labels)) == ("all of it", {"kind": "test"})
    assert "life" in [d.dataset_id for d in client.list_datasets()]
    client.create_table(bigquery.Table(f"{PROJECT}.life.t", schema=[F("a", "INT64")]))
    with pytest.raises(api.BadRequest, match="still in use"):
        client.delete_dataset("life")
    client.delete_dataset("life", delete_contents=True)
    with pytest.raises(api.NotFound):
        client.get_dataset("life")


def test_tables_keep_what_they_were_made_with(client: bigquery.Client, dataset: str) -> None:
    """Schema, partitioning, clustering and labels come back as they were given; columns may be added."""
    table = bigquery.Table(f"{PROJECT}.{dataset}.t", schema=EVERY_TYPE)
    table.time_partitioning = bigquery.TimePartitioning(field="ts")
    table.require_partition_filter = True
    table.clustering_fields = ["s"]
    table.labels = {"a": "b"}
    client.create_table(table)
    found = client.get_table(f"{dataset}.t")
    assert [f.name for f in found.schema] == [f.name for f in EVERY_TYPE]
    assert found.schema[0].mode == "REQUIRED"
    assert found.schema[-1].fields[1].fields[0].field_type in {"FLOAT", "FLOAT64"}
    assert found.time_partitioning.field == "ts"
    assert found.require_partition_filter is True
    assert found.clustering_fields == ["s"]
    found.schema = [*found.schema, F("later", "STRING", description="came later")]
    assert client.update_table(found, ["schema"]).schema[-1].description == "came later"
    with pytest.raises(api.PreconditionFailed):
        client.update_table(found, ["schema"])
    fresh = client.get_table(f"{dataset}.t")
    fresh.schema = fresh.schema[1:]
    with pytest.raises(api.BadRequest, match="does not match"):
        client.update_table(fresh, ["schema"])
    assert [t.table_id for t in client.list_tables(dataset)] == ["t"]
    client.delete_table(f"{dataset}.t")
    client.delete_table(f"{dataset}.t", not_found_ok=True)
    with pytest.raises(api.NotFound):
        client.get_table(f"{dataset}.t")


def test_every_type_comes_back_as_it_went_in(client: bigquery.Client, dataset: str) -> None:
    """A row of all types, and one of NULLs, survive insertAll, a query, list_rows and a copy."""
    client.create_table(bigquery.Table(f"{PROJECT}.{dataset}.t", schema=EVERY_TYPE))
    assert client.insert_rows_json(f"{dataset}.t", [FULL_ROW, {"i": 2}]) == []
    nothing = dict.fromkeys(FULL_VALUE) | {"i": 2, "tags": []}
    for found in (
        client.query_and_wait(f"SELECT * FROM {dataset}.t ORDER BY i"),
        client.list_rows(f"{dataset}.t"),
        client.query(f"SELECT * FROM `{PROJECT}.{dataset}.t` ORDER BY i").result(),
    ):
        assert [dict(row) for row in found] == [FULL_VALUE, nothing]
    client.copy_table(f"{dataset}.t", f"{dataset}.copy").result()
    assert [dict(row) for row in client.list_rows(f"{dataset}.copy", max_results=1)] == [FULL_VALUE]


def test_insert_all_reports_each_bad_row_and_drops_repeats(client: bigquery.Client, dataset: str) -> None:
    """A bad row stops the request and is named; skip_invalid_rows lets others in; an insertId counts once."""
    client.create_table(
        bigquery.Table(f"{PROJECT}.{dataset}.t", schema=[F("i", "INT64", "REQUIRED"), F("s", "STRING")])
    )
    bad = [{"i": 1}, {"i": "x"}, {"s": "no i"}, {"i": 2, "zz": 1}]
    errors = client.insert_rows_json(f"{dataset}.t", bad)
    assert [(e["index"], e["errors"][0]["reason"]) for e in errors] == [
        (0, "stopped"),
        (1, "invalid"),
        (2, "invalid"),
        (3, "invalid"),
    ]
    assert rows(client, f"SELECT COUNT(*) FROM {dataset}.t") == [(0,)]
    client.insert_rows_json(f"{dataset}.t", bad, skip_invalid_rows=True, row_ids=["a", "b", "c", "d"])
    client.insert_rows_json(f"{dataset}.t", bad[:1], row_ids=["a"])
    assert rows(client, f"SELECT i FROM {dataset}.t") == [(1,)]
    with pytest.raises(api.NotFound):
        client.insert_rows_json(f"{dataset}.missing", [{"i": 1}])


def test_parameters_of_every_kind(client: bigquery.Client) -> None:
    """Scalars, arrays, structs, empty arrays, NULLs and positional parameters arrive with their types."""
    moment = dt.datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
    scalars = [
        ("i", "INT64", 5),
        ("f", "FLOAT64", 0.1),
        ("s", "STRING", "it's"),
        ("b", "BOOL", False),
        ("y", "BYTES", b"\x00\xff"),
        ("ts", "TIMESTAMP", moment),
        ("d", "DATE", dt.date(2024, 1, 2)),
        ("t", "TIME", dt.time(1, 2, 3)),
        ("n", "NUMERIC", decimal.Decimal("1.5")),
        ("nothing", "INT64", None),
    ]
    params: list[Any] = [bigquery.ScalarQueryParameter(*p) for p in scalars]
    params += [
        bigquery.ArrayQueryParameter("a", "INT64", [3, 1]),
        bigquery.ArrayQueryParameter("e", "STRING", []),
        bigquery.StructQueryParameter(
            "st",
            bigquery.ScalarQueryParameter("x", "INT64", 7),
            bigquery.ArrayQueryParameter("l", "STRING", ["q"]),
        ),
    ]
    sql = (
        "SELECT @i, @f, @s, @b, @y, @ts, @d, @t, @n, @nothing, @a, @e, @st.x, @st.l, "
        "ARRAY_LENGTH(@e), 3 IN UNNEST(@a), @I + 1"
    )
    found = rows(client, sql, query_parameters=params)
    assert found == [
        (
            5,
            0.1,
            "it's",
            False,
            b"\x00\xff",
            moment,
            dt.date(2024, 1, 2),
            dt.time(1, 2, 3),
            decimal.Decimal("1.5"),
            None,
            [3, 1],
            [],
            7,
            ["q"],
            0,
            True,
            6,
        )
    ]
    positional = [
        bigquery.ScalarQueryParameter(None, "INT64", 1),
        bigquery.ScalarQueryParameter(None, "STRING", "z"),
    ]
    assert rows(client, "SELECT ?, ?", query_parameters=positional) == [(1, "z")]
    with pytest.raises(api.BadRequest, match="not found"):
        rows(client, "SELECT @x")


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_results_come_in_pages(client: bigquery.Client) -> None:
    """A long result is paged by the client's size, keeps its order, and may be limited."""
    sql = "SELECT x, CAST(x AS STRING) AS s FROM UNNEST(GENERATE_ARRAY(1, 25000)) AS x ORDER BY x"
    found = client.query_and_wait(sql, page_size=6000)
    pages = [page.num_items for page in found.pages]
    assert pages == [6000, 6000, 6000, 6000, 1000]
    assert [row.x for row in client.query(sql).result(page_size=9999)][::5000] == [
        1,
        5001,
        10001,
        15001,
        20001,
    ]
    assert len(list(client.query_and_wait(sql, max_results=7))) == 7
    job = client.query(sql)
    assert job.result(max_results=3).total_rows == 25000
    assert len(client.query(sql).result().to_dataframe(create_bqstorage_client=False)) == 25000
    assert [row.x for row in client.list_rows(job.destination, start_index=24_999)] == [25000]


def test_arrow_results_are_the_same_rows(client: bigquery.Client) -> None:
    """query_results_format=ARROW gives the same table, also without rows."""
    sql = (
        "SELECT x, STRUCT(x AS a, [x] AS l) AS st, TIMESTAMP_SECONDS(x) AS ts FROM "
        "UNNEST(GENERATE_ARRAY(1, 3)) AS x"
    )
    table = client.query_and_wait(sql, query_results_format="ARROW").to_arrow()
    assert table.column("st").to_pylist() == [{"a": n, "l": [n]} for n in (1, 2, 3)]
    empty = client.query_and_wait(sql + " WHERE x > 5", query_results_format="ARROW").to_arrow()
    assert (empty.num_rows, empty.column_names) == (0, ["x", "st", "ts"])


def test_dml_counts_its_rows(client: bigquery.Client, dataset: str) -> None:
    """INSERT, UPDATE, DELETE, MERGE and TRUNCATE change what they say and count it."""
    client.query_and_wait(f"CREATE TABLE {dataset}.t (k INT64, v STRING)")

    def affected(sql: str) -> int:
        return int(client.query_and_wait(sql).num_dml_affected_rows or 0)

    assert affected(f"INSERT INTO {dataset}.t (k, v) VALUES (1, 'a'), (2, 'b'), (3, 'c')") == 3
    assert affected(f"INSERT {dataset}.t SELECT k + 10, v FROM {dataset}.t WHERE k = 3") == 1
    assert affected(f"UPDATE {dataset}.t SET v = CONCAT(v, '!') WHERE k <= 2") == 2
    assert affected(f"DELETE FROM {dataset}.t WHERE k = 3") == 1
    merge = f"""
        MERGE {dataset}.t AS t USING (SELECT 1 AS k, 'x' AS v UNION ALL SELECT 50, 'y') AS s ON t.k = s.k
        WHEN MATCHED THEN UPDATE SET v = s.v
        WHEN NOT MATCHED THEN INSERT (k, v) VALUES (s.k, s.v)
        WHEN NOT MATCHED BY SOURCE AND t.k = 13 THEN DELETE"""
    job = client.query(merge)
    job.result()
    assert (
        job.num_dml_affected_rows,
        job.dml_stats.inserted_row_count,
        job.dml_stats.updated_row_count,
        job.dml_stats.deleted_row_count,
    ) == (3, 1, 1, 1)
    assert job.statement_type == "MERGE"
    assert rows(client, f"SELECT * FROM {dataset}.t ORDER BY k") == [(1, "x"), (2, "b!"), (50, "y")]
    twice = "(SELECT 1 AS k, 'p' AS v UNION ALL SELECT 1, 'q')"
    with pytest.raises(api.BadRequest):
        affected(
            f"MERGE {dataset}.t AS t USING {twice} AS s ON t.k = s.k WHEN MATCHED THEN UPDATE SET v = s.v"
        )
    with pytest.raises(api.BadRequest, match="at most one source row"):
        affected(f"UPDATE {dataset}.t AS t SET v = s.v FROM {twice} AS s WHERE t.k = s.k")
    assert (
        affected(
            f"UPDATE {dataset}.t AS t SET v = s.v FROM (SELECT 2 AS k, 'once' AS v) AS s WHERE t.k = s.k"
        )
        == 1
    )
    assert affected(f"TRUNCATE TABLE {dataset}.t") == 3


def test_ddl_makes_what_it_says(client: bigquery.Client, dataset: str) -> None:
    """CREATE with partitions and options, IF NOT EXISTS, OR REPLACE, AS SELECT, ALTER and DROP."""
    create = f"""CREATE TABLE {dataset}.p
        (moment TIMESTAMP NOT NULL OPTIONS(description='when'), tags ARRAY<STRUCT<a INT64, b STRING>>)
        PARTITION BY DATE(moment) CLUSTER BY moment
        OPTIONS(require_partition_filter=TRUE, description='parted', labels=[('x', 'y')])"""
    job = client.query(create)
    job.result()
    assert (job.statement_type, job.ddl_operation_performed) == ("CREATE_TABLE", "CREATE")
    table = client.get_table(f"{dataset}.p")
    assert (table.description, dict(table.labels), table.time_partitioning.field) == (
        "parted",
        {"x": "y"},
        "moment",
    )
    assert (table.schema[0].mode, table.schema[0].description, table.schema[1].mode) == (
        "REQUIRED",
        "when",
        "REPEATED",
    )
    with pytest.raises(api.Conflict):
        client.query_and_wait(create)
    skip = client.query(create.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))
    skip.result()
    assert skip.ddl_operation_performed == "SKIP"
    client.query_and_wait(
        f"CREATE OR REPLACE TABLE {dataset}.c AS SELECT 1 AS a, SUM(x) AS s, [x] AS l FROM "
        "UNNEST([4]) AS x GROUP BY x"
    )
    assert rows(client, f"SELECT * FROM {dataset}.c") == [(1, 4, [4])]
    client.query_and_wait(
        f"ALTER TABLE {dataset}.c ADD COLUMN extra STRING, ADD COLUMN IF NOT EXISTS a INT64"
    )
    assert rows(client, f"SELECT extra FROM {dataset}.c") == [(None,)]
    client.query_and_wait(f"DROP TABLE {dataset}.c")
    client.query_and_wait(f"DROP TABLE IF EXISTS {dataset}.c")
    with pytest.raises(api.NotFound):
        client.query_and_wait(f"DROP TABLE {dataset}.c")


def test_partition_filters_are_demanded_also_through_views(client: bigquery.Client, dataset: str) -> None:
    """A table that requires a filter is not read without one: directly, in a subquery, a CTE or a view."""
    client.query_and_wait(
        f"CREATE TABLE {dataset}.p (moment TIMESTAMP, k STRING) PARTITION BY DATE(moment) "
        "OPTIONS(require_partition_filter=TRUE)"
    )
    view = (
        f"CREATE VIEW {dataset}.v AS SELECT * FROM {dataset}.p WHERE TRUE QUALIFY ROW_NUMBER() "
        "OVER (PARTITION BY moment, k ORDER BY k) = 1"
    )
    client.query_and_wait(view)
    client.query_and_wait(
        f"CREATE VIEW {dataset}.hidden AS SELECT k, COUNT(*) AS n FROM {dataset}.p GROUP BY k"
    )
    good = "moment >= TIMESTAMP '2024-01-01'"
    for sql in (
        f"SELECT * FROM {dataset}.p WHERE {good}",
        f"SELECT * FROM {dataset}.p AS x WHERE k = 'a' AND DATE(x.moment) = DATE '2024-01-01'",
        f"SELECT * FROM {dataset}.v WHERE {good}",
        f"WITH q AS (SELECT * FROM {dataset}.p) SELECT * FROM q WHERE {good}",
        (
            f"SELECT * FROM (SELECT moment AS t, k FROM {dataset}.p) WHERE t BETWEEN TIMESTAMP "
            "'2024-01-01' AND TIMESTAMP '2024-01-02'"
        ),
        f"DELETE FROM {dataset}.p WHERE {good}",
    ):
        list(client.query_and_wait(sql))
    for sql in (
        f"SELECT * FROM {dataset}.p",
        f"SELECT * FROM {dataset}.p WHERE k = 'a'",
        f"SELECT * FROM {dataset}.p WHERE {good} OR k = 'a'",
        f"SELECT COUNT(*) FROM {dataset}.v",
        f"SELECT * FROM {dataset}.hidden",
        f"SELECT * FROM (SELECT * FROM {dataset}.p LIMIT 5) WHERE {good}",
        f"WITH q AS (SELECT * FROM {dataset}.p) SELECT * FROM q WHERE {good} UNION ALL SELECT * FROM q",
        f"SELECT * FROM {dataset}.p AS a JOIN {dataset}.p AS b ON a.k = b.k WHERE a.{good}",
        f"DELETE FROM {dataset}.p WHERE k = 'a'",
    ):
        with pytest.raises(api.BadRequest, match="without a filter over column"):
            list(client.query_and_wait(sql))


def test_views_show_their_query(client: bigquery.Client, dataset: str) -> None:
    """A view made over the API or by DDL answers, follows its table, and cannot be written."""
    client.query_and_wait(f"CREATE TABLE {dataset}.t AS SELECT 1 AS a")
    view = bigquery.Table(f"{PROJECT}.{dataset}.v")
    view.view_query = f"SELECT a, a * 2 AS twice FROM `{PROJECT}.{dataset}.t`"
    made = client.create_table(view)
    assert (made.table_type, [f.name for f in made.schema]) == ("VIEW", ["a", "twice"])
    client.query_and_wait(f"CREATE OR REPLACE VIEW {dataset}.w AS SELECT twice FROM {dataset}.v")
    client.query_and_wait(f"INSERT {dataset}.t VALUES (21)")
    assert rows(client, f"SELECT MAX(twice) FROM {dataset}.w") == [(42,)]
    with pytest.raises(api.BadRequest):
        client.query_and_wait(f"INSERT {dataset}.v VALUES (1, 2)")
    with pytest.raises(api.BadRequest, match="Unrecognized name"):
        client.query_and_wait(f"CREATE VIEW {dataset}.x AS SELECT nope FROM {dataset}.t")


def test_information_schema_follows_the_tables(client: bigquery.Client, dataset: str) -> None:
    """INFORMATION_SCHEMA tells tables and columns of one dataset, and of no other."""
    client.query_and_wait(f"CREATE TABLE {dataset}.t (moment DATE, l ARRAY<INT64>) PARTITION BY moment")
    found = rows(
        client,
        "SELECT column_name, data_type, is_partitioning_column FROM "
        f"{dataset}.INFORMATION_SCHEMA.COLUMNS ORDER BY ordinal_position",
    )
    assert found == [("moment", "DATE", "YES"), ("l", "ARRAY<INT64>", "NO")]
    client.query_and_wait(f"DROP TABLE {dataset}.t")
    assert rows(client, f"SELECT * FROM `{PROJECT}.{dataset}.INFORMATION_SCHEMA.TABLES`") == []


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning", "ignore::FutureWarning")
def test_load_jobs_take_json_csv_parquet_and_frames(client: bigquery.Client, dataset: str) -> None:
    """The ways the client uploads rows end in the table, with the types of the schema."""
    schema = [F("i", "INT64"), F("s", "STRING"), F("at", "TIMESTAMP")]
    config = bigquery.LoadJobConfig(schema=schema)
    client.load_table_from_json(
        [{"i": 1, "s": "a", "at": "2024-01-01T00:00:00Z"}, {"i": 2}], f"{dataset}.t", job_config=config
    ).result()
    lines = b'i,s,at\n3,"b, c",2024-01-01 00:00:00\n4,"",\n5,,\n'
    csv_config = bigquery.LoadJobConfig(schema=schema, skip_leading_rows=1, source_format="CSV")
    assert (
        client.load_table_from_file(io.BytesIO(lines), f"{dataset}.t", job_config=csv_config)
        .result()
        .output_rows
        == 3
    )
    frame = pd.DataFrame(
        {"i": [6], "s": ["d"], "at": pd.to_datetime(["2024-05-01T00:00:00Z"]), "more": [1.5]}
    )
    with pytest.raises(api.BadRequest, match="Cannot add fields"):
        client.load_table_from_dataframe(frame, f"{dataset}.t").result()
    add = bigquery.LoadJobConfig(schema_update_options=["ALLOW_FIELD_ADDITION"])
    client.load_table_from_dataframe(frame, f"{dataset}.t", job_config=add).result()
    found = rows(client, f"SELECT i, s, more FROM {dataset}.t ORDER BY i")
    assert found == [
        (1, "a", None),
        (2, None, None),
        (3, "b, c", None),
        (4, "", None),
        (5, None, None),
        (6, "d", 1.5),
    ]
    replace = bigquery.LoadJobConfig(write_disposition="WRITE_TRUNCATE", autodetect=True)
    client.load_table_from_json([{"z": [1, 2], "y": {"k": 1.5}}], f"{dataset}.t", job_config=replace).result()
    assert rows(client, f"SELECT * FROM {dataset}.t") == [([1, 2], {"k": 1.5})]
    with pytest.raises(api.BadRequest, match="row 2"):
        client.load_table_from_json([{"i": 1}, {"i": "x"}], f"{dataset}.bad", job_config=config).result()
    assert "bad" not in [t.table_id for t in client.list_tables(dataset)] or rows(
        client, f"SELECT COUNT(*) FROM {dataset}.bad"
    ) == [(0,)]


def test_a_large_upload_arrives_in_chunks(client: bigquery.Client, dataset: str) -> None:
    """A resumable upload larger than one chunk is put together in order."""
    count = 60_000
    data = b"".join(json.dumps({"i": n, "s": "x" * 20}).encode() + b"\n" for n in range(count))
    config = bigquery.LoadJobConfig(
        schema=[F("i", "INT64"), F("s", "STRING")], source_format="NEWLINE_DELIMITED_JSON"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("google.cloud.bigquery.client._DEFAULT_CHUNKSIZE", 1024 * 1024)
        job = client.load_table_from_file(io.BytesIO(data), f"{dataset}.big", job_config=config)
    assert job.result().output_rows == count
    assert rows(client, f"SELECT COUNT(DISTINCT i), MIN(i), MAX(i) FROM {dataset}.big") == [
        (count, 0, count - 1)
    ]


def test_destination_tables_obey_their_disposition(client: bigquery.Client, dataset: str) -> None:
    """A query's result goes to a table: into an empty one only, appended, or in its place."""
    target = f"{PROJECT}.{dataset}.out"
    for disposition, count in (("WRITE_EMPTY", 1), ("WRITE_APPEND", 2), ("WRITE_TRUNCATE", 1)):
        config = bigquery.QueryJobConfig(destination=target, write_disposition=disposition)
        client.query("SELECT 1 AS a", job_config=config).result()
        assert rows(client, f"SELECT COUNT(*) FROM {dataset}.out") == [(count,)]
    with pytest.raises(api.Conflict):
        client.query(
            "SELECT 1 AS a",
            job_config=bigquery.QueryJobConfig(destination=target, write_disposition="WRITE_EMPTY"),
        ).result()


def test_costs_are_estimated_and_limited(client: bigquery.Client, dataset: str) -> None:
    """A dry run tells bytes without running; filters and columns shrink them; the limit is enforced."""
    client.query_and_wait(
        f"CREATE TABLE {dataset}.t (moment TIMESTAMP, a INT64, s STRING) PARTITION BY DATE(moment)"
    )
    client.query_and_wait(
        f"INSERT {dataset}.t SELECT TIMESTAMP_ADD(TIMESTAMP '2024-01-01', INTERVAL x HOUR), x, "
        "REPEAT('y', 100) FROM UNNEST(GENERATE_ARRAY(0, 239)) AS x"
    )

    def estimate(sql: str, **options: Any) -> int:
        return int(
            client.query(
                sql, job_config=bigquery.QueryJobConfig(dry_run=True, **options)
            ).total_bytes_processed
        )

    everything = estimate(f"SELECT * FROM {dataset}.t")
    assert everything == 240 * (8 + 8 + 102)
    assert estimate(f"SELECT a FROM {dataset}.t") == 240 * 8
    day = [bigquery.ScalarQueryParameter("day", "TIMESTAMP", dt.datetime(2024, 1, 10, tzinfo=dt.UTC))]
    assert estimate(f"SELECT a FROM {dataset}.t WHERE moment >= @day", query_parameters=day) == 24 * 16
    dry = client.query(
        f"DELETE FROM {dataset}.t WHERE TRUE", job_config=bigquery.QueryJobConfig(dry_run=True)
    )
    assert dry.state == "DONE"
    assert rows(client, f"SELECT COUNT(*) FROM {dataset}.t") == [(240,)]
    with pytest.raises(api.GoogleAPICallError, match="bytes billed"):
        client.query(
            f"SELECT * FROM {dataset}.t", job_config=bigquery.QueryJobConfig(maximum_bytes_billed=1000)
        ).result(retry=None)
    assert len(rows(client, f"SELECT * FROM {dataset}.t", maximum_bytes_billed=10 * 1024 * 1024)) == 240


def test_jobs_can_be_found_listed_and_stopped(client: bigquery.Client) -> None:
    """A job keeps its id and labels, its name is taken once, and a long one can be cancelled or times out."""
    config = bigquery.QueryJobConfig(labels={"team": "a"})
    job = client.query("SELECT 1 AS x", job_id="my_job", job_config=config, job_retry=None)
    assert [r.x for r in job.result()] == [1]
    found = client.get_job("my_job")
    assert (found.state, found.labels, found.errors) == ("DONE", {"team": "a"}, None)
    assert "my_job" in [j.job_id for j in client.list_jobs(max_results=20)]
    with pytest.raises(api.NotFound):
        client.get_job("never_was")
    endless = (
        "SELECT COUNT(*) FROM UNNEST(GENERATE_ARRAY(1, 1000000)) AS a, "
        "UNNEST(GENERATE_ARRAY(1, 1000000)) AS b WHERE MOD(a * b, 7) = 9"
    )
    running = client.query(endless, job_retry=None)
    running.cancel()
    with pytest.raises(api.GoogleAPICallError, match="cancelled"):
        running.result(retry=None, job_retry=None)
    with pytest.raises(api.GoogleAPICallError, match="cancelled"):
        client.query(endless, job_config=bigquery.QueryJobConfig(job_timeout_ms=300), job_retry=None).result(
            retry=None, job_retry=None
        )
    bad = client.query("SELECT 1 / 0", job_retry=None)
    with pytest.raises(api.BadRequest, match="division by zero"):
        bad.result(job_retry=None)
    assert client.get_job(bad.job_id).error_result["reason"] == "invalidQuery"


def test_the_default_dataset_qualifies_names(client: bigquery.Client, dataset: str) -> None:
    """Names without a dataset need a default one, and only then."""
    client.query_and_wait(f"CREATE TABLE {dataset}.t AS SELECT 5 AS a")
    assert rows(client, "SELECT a FROM t", default_dataset=f"{PROJECT}.{dataset}") == [(5,)]
    with pytest.raises(api.BadRequest, match="must be qualified with a dataset"):
        rows(client, "SELECT a FROM t")


def call(
    emulator: EmulatorProcess, path: str, body: bytes | None = None, method: str = "POST"
) -> tuple[int, Any]:
    """Send a raw request."""
    request = urllib.request.Request(  # noqa: S310
        f"{emulator.rest_url}{path}", data=body, method=method, headers={"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        (f"/bigquery/v2/projects/{PROJECT}/queries", b"{", 400, "parseError"),
        (f"/bigquery/v2/projects/{PROJECT}/queries", b"[]", 400, "parseError"),
        (f"/bigquery/v2/projects/{PROJECT}/queries", b'{"query": "SELECT 1"}', 501, "notImplemented"),
        (f"/bigquery/v2/projects/{PROJECT}/queries", b'{"useLegacySql": false}', 400, "required"),
        (
            "/bigquery/v2/projects/other/queries",
            b'{"query": "SELECT 1", "useLegacySql": false}',
            404,
            "notFound",
        ),
        (f"/bigquery/v2/projects/{PROJECT}/datasets/d/routines", b"{}", 501, "notImplemented"),
        (
            f"/bigquery/v2/projects/{PROJECT}/jobs",
            b'{"configuration": {"extract": {}}}',
            501,
            "notImplemented",
        ),
        ("/nowhere", b"{}", 404, "notFound"),
    ],
)
def test_refusals_have_googles_shape(
    emulator: EmulatorProcess, path: str, body: bytes, status: int, reason: str
) -> None:
    """Whatever is wrong, the answer is an error object that Google's clients can read."""
    code, answer = call(emulator, path, body)
    assert (code, answer["error"]["code"], answer["error"]["errors"][0]["reason"]) == (status, status, reason)
    assert answer["error"]["message"]


def test_timestamps_are_seconds_unless_asked_otherwise(emulator: EmulatorProcess) -> None:
    """A caller that does not ask for INT64 timestamps gets seconds with a fraction, as from BigQuery."""
    body = json.dumps(
        {"query": "SELECT TIMESTAMP '1970-01-01 00:00:01.5+00'", "useLegacySql": False}
    ).encode()
    _, answer = call(emulator, f"/bigquery/v2/projects/{PROJECT}/queries", body)
    assert answer["rows"] == [{"f": [{"v": "1.5"}]}]


def test_a_repeated_request_runs_once(
    emulator: EmulatorProcess, client: bigquery.Client, dataset: str
) -> None:
    """The same requestId, sent twice after a lost answer, changes the table once."""
    client.query_and_wait(f"CREATE TABLE {dataset}.t (a INT64)")
    body = json.dumps(
        {"query": f"INSERT {dataset}.t VALUES (1)", "useLegacySql": False, "requestId": f"once-{dataset}"}
    ).encode()
    for _ in range(2):
        code, answer = call(emulator, f"/bigquery/v2/projects/{PROJECT}/queries", body)
        assert (code, answer["numDmlAffectedRows"]) == (200, "1")
    assert rows(client, f"SELECT COUNT(*) FROM {dataset}.t") == [(1,)]
