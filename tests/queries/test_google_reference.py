"""Google's analyzer reads every statement of the warehouse; Google's evaluator gives the golden answers."""

from __future__ import annotations

import base64
import datetime as dt
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from queries.catalogue import CATALOGUE
from queries.dialect.fields import Field
from queries.emulator.catalog import Catalog
from queries.emulator.database import Database
from queries.emulator.encoding import WRITERS
from queries.emulator.outcome import Request
from queries.emulator.statements import Statements
from queries.schema import statements as schema_statements
from tests.queries.golden import QUERIES, SCALARS
from tests.queries.google_analyzer import GoogleAnalyzer

# Compiling the analyzer takes most of a minute on a quiet machine, and several on a busy one; so one worker
# takes all stories that need it.
pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("google-reference")]
PACKAGE = Path(__file__).parents[2] / "queries"
STATEMENTS = sorted(
    p for folder in ("schema", "sql", "rollups", "dimensions") for p in (PACKAGE / folder).glob("*.sql")
)
# The analyzer wants FROM before QUALIFY's WHERE rule; the evaluator lacks the approximate aggregates.
NOT_EVALUATED = ("APPROX_", "QUALIFY", "EXCEPT DISTINCT")
SCALAR = {
    str: "STRING",
    int: "INTEGER",
    float: "FLOAT",
    bool: "BOOLEAN",
    dt.datetime: "TIMESTAMP",
    dt.date: "DATE",
}
TABLE = """
WITH t AS (SELECT * FROM UNNEST([
  STRUCT('a' AS k, 1 AS n, 1.5 AS f, TIMESTAMP '2024-01-01 00:30:00+00' AS ts, ['p', 'q'] AS tags,
         [STRUCT(1 AS x, 'u' AS y), STRUCT(2, 'v')] AS parts),
  ('a', 3, 2.5, TIMESTAMP '2024-01-01 01:10:00+00', ARRAY<STRING>[], ARRAY<STRUCT<x INT64, y STRING>>[]),
  ('b', NULL, NULL, TIMESTAMP '2024-01-02 00:00:00+00', ['r'], [STRUCT(7, CAST(NULL AS STRING))]),
  ('b', 10, 4.0, TIMESTAMP '2024-01-03 05:00:00+00', ARRAY<STRING>[], ARRAY<STRUCT<x INT64, y STRING>>[])]))
"""


@pytest.fixture(scope="module")
def google(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GoogleAnalyzer]:
    """The analyzer, with the tables and views of the warehouse."""
    database = Database(tmp_path_factory.mktemp("reference"), threads=1)
    catalog = Catalog(database, "p")
    catalog.create_dataset("d", {})
    runner = Statements(catalog)
    for _, ddl in schema_statements():
        runner.run(Request(ddl, default_dataset="d"))
    tables = [(entry.name, entry.fields) for entry in catalog.tables("d")]
    yield GoogleAnalyzer(tables, Path(request.config.cache.mkdir("googlesql")))
    database.close()


@pytest.mark.parametrize("path", STATEMENTS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_google_reads_every_statement(google: GoogleAnalyzer, path: Path) -> None:
    """Every table, view, question and rollup is GoogleSQL in the eyes of Google's own analyzer."""
    google.analyze(path.read_text("utf-8"), parameters_of(path))


def parameters_of(path: Path) -> list[Field]:
    """Tell the types of a statement's parameters where they cannot be guessed."""
    if path.parent.name == "dimensions":
        return [
            Field(name, "STRING", "REPEATED")
            for name in sorted(set(re.findall(r"@(\w+)", path.read_text("utf-8"))))
        ]
    if path.parent.name != "sql":
        return []
    kind = CATALOGUE[path.stem]
    found = []
    for name, hint in typing.get_type_hints(kind).items():
        if typing.get_origin(hint) is typing.ClassVar:
            continue
        inner = next((a for a in typing.get_args(hint) if a not in {Ellipsis, type(None)}), hint)
        repeated = typing.get_origin(hint) is tuple
        found.append(Field(name, SCALAR[inner], "REPEATED" if repeated else "NULLABLE"))
    return found


def plain(value: Any) -> Any:
    """Write a value of the evaluator as the REST API would; Ellipsis for types it encodes in bits."""
    simple: dict[str, Callable[[Any], Any]] = {
        "int64_value": str,
        "bool_value": WRITERS["BOOLEAN"],
        "double_value": WRITERS["FLOAT"],
        "string_value": str,
        "json_value": str,
    }
    for name, write in simple.items():
        if getattr(value, name) is not None:
            return write(getattr(value, name))
    if value.bytes_value is not None:
        return base64.standard_b64encode(value.bytes_value).decode()
    if value.date_value is not None:
        return (dt.date(1970, 1, 1) + dt.timedelta(days=value.date_value)).isoformat()
    if value.array_value is not None:
        return [plain(element) for element in value.array_value.element]
    if value.struct_value is not None:
        return [plain(field) for field in value.struct_value.field]
    coded = ("timestamp_value", "datetime_value", "time_value", "numeric_value", "interval_value")
    return ... if any(getattr(value, name) is not None for name in coded) else None


def same(golden: Any, found: Any) -> bool:
    """Compare, but for what the evaluator encodes in bits and for empty arrays, which it leaves out."""
    if found is ... or (found is None and golden in ([], "0")):
        return True
    if isinstance(golden, dict):
        golden = list(golden.values())
    if isinstance(golden, list) and isinstance(found, list):
        return len(golden) == len(found) and all(map(same, golden, found))
    return bool(golden == found)


def test_golden_expressions_are_googles(google: GoogleAnalyzer) -> None:
    """The answers in golden.py are what Google's reference implementation gives."""
    wrong = []
    for expression, golden in SCALARS:
        found = plain(google.evaluate(f"SELECT {expression}")[0].cell[0])
        if not same(golden, found):
            wrong.append((expression, golden, found))
    assert wrong == []


def test_golden_queries_are_googles(google: GoogleAnalyzer) -> None:
    """The rows in golden.py are what Google's reference implementation gives."""
    wrong = []
    for text, golden in QUERIES:
        if any(word in text for word in NOT_EVALUATED):
            continue
        joined = f"{TABLE}, {text.removeprefix('WITH ')}" if text.startswith("WITH ") else f"{TABLE} {text}"
        found = [[plain(cell) for cell in row.cell] for row in google.evaluate(joined)]
        if not same(golden, found):
            wrong.append((text, golden, found))
    assert wrong == []
