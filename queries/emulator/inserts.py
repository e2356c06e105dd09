"""tabledata.insertAll."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from queries.emulator.decoding import ValueRefusedError, decode_row
from queries.emulator.errors import InvalidError
from queries.emulator.loading import rows_to_arrow
from queries.emulator.statements import Statements

MAX_ROWS = 50_000  # BigQuery's own limit of rows per request
REMEMBERED = 100_000  # insertIds remembered over all tables; BigQuery remembers about a minute


class RecentInserts:
    """The insertIds seen lately: a repeated one is dropped, best effort, as BigQuery does."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self.lock = threading.Lock()

    def is_new(self, key: tuple[str, str, str]) -> bool:
        """Tell whether an id was not seen."""
        return key not in self._seen

    def remember(self, keys: list[tuple[str, str, str]]) -> None:
        """Remember ids."""
        for key in keys:
            self._seen[key] = None
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)


def insert_all(
    runner: Statements, recent: RecentInserts, dataset: str, table: str, body: Mapping[str, Any]
) -> dict[str, Any]:
    """Insert rows; rows that do not fit are reported one by one.

    Raises:
        ApiError: The request as a whole is refused.
    """
    entry = runner.catalog.table(dataset, table)
    if entry.is_view:
        raise InvalidError("Cannot insert rows into a view")
    rows = body.get("rows")
    if not isinstance(rows, list) or not rows:
        raise InvalidError("No rows present in the request.")
    if len(rows) > MAX_ROWS:
        raise InvalidError(f"Too many rows present in the request, limit is {MAX_ROWS}")
    if body.get("templateSuffix"):
        raise InvalidError(
            "templateSuffix is not supported by the embedded BigQuery endpoint",
            reason="notImplemented",
            status=501,
        )
    good: list[tuple[str, dict[str, Any]]] = []
    errors: list[dict[str, Any]] = []
    for index, row in enumerate(rows):
        try:
            value = decode_row(
                row.get("json"), entry.fields, ignore_unknown=bool(body.get("ignoreUnknownValues"))
            )
            good.append((str(row.get("insertId") or ""), value))
        except ValueRefusedError as error:
            problem = {"reason": "invalid", "location": error.path, "debugInfo": "", "message": str(error)}
            errors.append({"index": index, "errors": [problem]})
    if errors and not body.get("skipInvalidRows"):
        bad = {e["index"] for e in errors}
        stopped = [{"reason": "stopped", "location": "", "debugInfo": "", "message": ""}]
        errors += [{"index": i, "errors": stopped} for i in range(len(rows)) if i not in bad]
        good = []
    _store(runner, recent, (dataset, table), good)
    answer: dict[str, Any] = {"kind": "bigquery#tableDataInsertAllResponse"}
    return answer | {"insertErrors": sorted(errors, key=lambda e: e["index"])} if errors else answer


def _store(
    runner: Statements, recent: RecentInserts, name: tuple[str, str], good: list[tuple[str, dict[str, Any]]]
) -> None:
    with recent.lock:
        fresh: dict[object, dict[str, Any]] = {}
        for number, (insert_id, value) in enumerate(good):
            if not insert_id:
                fresh[number] = value
            elif recent.is_new((*name, insert_id)):
                fresh.setdefault(insert_id, value)
        if not fresh:
            return
        entry = runner.catalog.table(*name)
        runner.append(entry, rows_to_arrow(list(fresh.values()), entry.fields))
        recent.remember([(*name, k) for k in fresh if isinstance(k, str)])
