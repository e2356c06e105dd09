"""Answers of the embedded endpoint against the answers BigQuery gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from queries.dialect.fields import Field
from queries.emulator.catalog import Catalog
from queries.emulator.database import Database
from queries.emulator.encoding import Format, encode_rows
from queries.emulator.errors import ApiError, InvalidError
from queries.emulator.inserts import RecentInserts, insert_all
from queries.emulator.outcome import Request
from queries.emulator.statements import Statements
from tests.queries.golden import ERRORS, QUERIES, ROWS, SCALARS, UNSUPPORTED

COLUMNS = [
    {"name": "k", "type": "STRING"},
    {"name": "n", "type": "INT64"},
    {"name": "f", "type": "FLOAT64"},
    {"name": "ts", "type": "TIMESTAMP"},
    {"name": "tags", "type": "STRING", "mode": "REPEATED"},
    {
        "name": "parts",
        "type": "RECORD",
        "mode": "REPEATED",
        "fields": [{"name": "x", "type": "INT64"}, {"name": "y", "type": "STRING"}],
    },
]


@pytest.fixture(scope="module")
def statements(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Statements]:
    """The engine behind the endpoint, with one small table."""
    database = Database(tmp_path_factory.mktemp("golden"), threads=1)
    catalog = Catalog(database, "p")
    catalog.create_dataset("d", {})
    catalog.create_table("d", "t", {"schema": {"fields": COLUMNS}})
    runner = Statements(catalog)
    assert "insertErrors" not in insert_all(
        runner, RecentInserts(), "d", "t", {"rows": [{"json": row} for row in ROWS]}
    )
    yield runner
    database.close()


def plain(cell: Any, field: Field) -> Any:
    """Write one REST value without its wrapping."""
    if field.mode == "REPEATED":
        return [plain(item["v"], Field(field.name, field.type, "NULLABLE", field.fields)) for item in cell]
    if field.type == "RECORD" and cell is not None:
        return {f.name: plain(part["v"], f) for f, part in zip(field.fields, cell["f"], strict=True)}
    return cell


def ask(statements: Statements, text: str) -> list[list[Any]]:
    """Run a query and write its rows plainly."""
    outcome = statements.run(Request(text, default_dataset="d"))
    assert outcome.rows is not None
    rows = encode_rows(outcome.rows, outcome.fields, Format())
    return [
        [plain(cell["v"], field) for cell, field in zip(row["f"], outcome.fields, strict=True)]
        for row in rows
    ]


@pytest.mark.parametrize(("expression", "answer"), SCALARS, ids=[e for e, _ in SCALARS])
def test_expression_means_what_bigquery_means(statements: Statements, expression: str, answer: Any) -> None:
    """An expression gives BigQuery's answer, and the same when it is read from a row."""
    assert ask(statements, f"SELECT {expression}") == [[answer]]


@pytest.mark.parametrize(("text", "answer"), QUERIES, ids=[q[:60] for q, _ in QUERIES])
def test_query_means_what_bigquery_means(statements: Statements, text: str, answer: list[list[Any]]) -> None:
    """A query over a table gives BigQuery's rows in BigQuery's order."""
    assert ask(statements, text) == answer


@pytest.mark.parametrize(("text", "message"), ERRORS, ids=[q for q, _ in ERRORS])
def test_what_bigquery_refuses_is_refused(statements: Statements, text: str, message: str) -> None:
    """A mistake is a 4xx with BigQuery's kind of sentence, never an answer."""
    with pytest.raises(ApiError) as caught:
        ask(statements, text)
    assert message in caught.value.message
    assert caught.value.status in {400, 404}


@pytest.mark.parametrize("text", UNSUPPORTED)
def test_what_is_not_supported_is_refused_by_name(statements: Statements, text: str) -> None:
    """What the endpoint cannot answer as BigQuery does, it refuses with 501 notImplemented."""
    with pytest.raises(ApiError) as caught:
        ask(statements, text)
    assert (caught.value.status, caught.value.reason) == (501, "notImplemented"), caught.value.message
    assert "not supported" in caught.value.message


def test_results_have_bigquerys_names_and_types(statements: Statements) -> None:
    """Columns without a name are f0_, f1_; whole numbers are INTEGER, ratios FLOAT."""
    outcome = statements.run(
        Request("SELECT 1, 2.5, k, SUM(n), [1] AS a FROM t GROUP BY k", default_dataset="d")
    )
    assert [(f.name, f.type, f.mode) for f in outcome.fields] == [
        ("f0_", "INTEGER", "NULLABLE"),
        ("f1_", "FLOAT", "NULLABLE"),
        ("k", "STRING", "NULLABLE"),
        ("f2_", "INTEGER", "NULLABLE"),
        ("a", "INTEGER", "REPEATED"),
    ]


def test_a_sum_beyond_int64_is_an_error(statements: Statements) -> None:
    """A sum that has no INT64 is refused when it is written, not wrapped around."""
    outcome = statements.run(Request("SELECT SUM(x) FROM UNNEST([9223372036854775807, 1]) AS x"))
    assert outcome.rows is not None
    with pytest.raises(InvalidError):
        encode_rows(outcome.rows, outcome.fields, Format())
