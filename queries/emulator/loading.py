"""Load jobs: NDJSON, CSV and Parquet that the client uploaded; and the rows of insertAll."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from queries.dialect.fields import Field, check_names, schema_from_api
from queries.emulator.catalog import Entry
from queries.emulator.decoding import ValueRefusedError, arrow_schema, decode_row
from queries.emulator.errors import InvalidError, NotImplementedApiError
from queries.emulator.outcome import Outcome, Request
from queries.emulator.statements import Statements

CHUNK_ROWS = 20_000  # rows turned into Arrow at once
SAMPLE_ROWS = 500  # rows looked at when the schema is to be detected; BigQuery's own number


def load(runner: Statements, config: Mapping[str, Any], source: IO[bytes]) -> Outcome:
    """Run one load job.

    Args:
        runner: Where rows go.
        config: `configuration.load`.
        source: The uploaded bytes.

    Raises:
        ApiError: It is refused or a row is bad.
    """
    target = config.get("destinationTable") or {}
    dataset, name = str(target.get("datasetId")), str(target.get("tableId"))
    form = str(config.get("sourceFormat") or "CSV")
    if form not in READERS:
        raise NotImplementedApiError(f"Loading {form} is not supported by the embedded BigQuery endpoint")
    runner.check_project(target.get("projectId"))
    fields = schema_from_api(config.get("schema"))
    if (
        not fields
        and runner.catalog.has(dataset, name)
        and config.get("writeDisposition") != "WRITE_TRUNCATE"
    ):
        fields = runner.catalog.table(dataset, name).fields
    rows, fields = READERS[form](source, config, fields)
    options = {k: config[k] for k in ("timePartitioning", "clustering") if config.get(k)}
    request = Request(
        "",
        write_disposition=str(config.get("writeDisposition") or "WRITE_APPEND"),
        create_disposition=str(config.get("createDisposition") or "CREATE_IF_NEEDED"),
        table_options=options,
    )
    with runner.database.write_lock:
        entry = runner.destination(dataset, name, fields, request)
        entry = _widen(runner, entry, fields, config)
        with runner.database.transaction() as session:
            runner.append(entry, rows, session)
    return Outcome("LOAD", entry.fields, None, rows.nbytes, rows.num_rows, target=(dataset, name))


def _widen(runner: Statements, entry: Entry, fields: Sequence[Field], config: Mapping[str, Any]) -> Entry:
    """Add the columns the load brings, where its options allow it."""
    known = {f.name.lower() for f in entry.fields}
    fresh = [f for f in fields if f.name.lower() not in known]
    if not fresh:
        return entry
    if "ALLOW_FIELD_ADDITION" not in (config.get("schemaUpdateOptions") or []):
        raise InvalidError(
            f"Provided Schema does not match Table {runner.catalog.project}:{entry.dataset}.{entry.name}. "
            f"Cannot add fields (field: {fresh[0].name})"
        )
    body = dict(entry.body)
    body["schema"] = {"fields": [f.to_api() for f in (*entry.fields, *fresh)]}
    return runner.catalog.update(entry, body)


def rows_to_arrow(rows: Sequence[Mapping[str, Any]], fields: Sequence[Field]) -> pa.Table:
    """Build an Arrow table of decoded rows."""
    return pa.Table.from_pylist(list(rows), schema=arrow_schema(fields))


def _decoded(
    lines: Iterator[tuple[int, Any]], config: Mapping[str, Any], fields: Sequence[Field]
) -> pa.Table:
    tables, chunk, bad = [], [], 0
    allowed = int(config.get("maxBadRecords") or 0)
    ignore = bool(config.get("ignoreUnknownValues"))
    for number, value in lines:
        try:
            chunk.append(decode_row(value, fields, ignore_unknown=ignore))
        except ValueRefusedError as error:
            bad += 1
            if bad > allowed:
                raise InvalidError(
                    f"Error while reading data, error message: row {number}: {error} Field: {error.path}"
                ) from error
        if len(chunk) >= CHUNK_ROWS:
            tables.append(rows_to_arrow(chunk, fields))
            chunk = []
    tables.append(rows_to_arrow(chunk, fields))
    return pa.concat_tables(tables)


def _bytes(source: IO[bytes]) -> IO[bytes]:
    """Unpack gzip where it is one."""
    start = source.read(2)
    source.seek(0)
    return gzip.GzipFile(fileobj=source) if start == b"\x1f\x8b" else source  # type: ignore[return-value]


def _text(source: IO[bytes], config: Mapping[str, Any]) -> IO[str]:
    encoding = str(config.get("encoding") or "UTF-8")
    return io.TextIOWrapper(
        _bytes(source), encoding="utf-8-sig" if encoding == "UTF-8" else encoding, newline=""
    )


def _read_json(
    source: IO[bytes], config: Mapping[str, Any], fields: tuple[Field, ...]
) -> tuple[pa.Table, tuple[Field, ...]]:
    lines: list[tuple[int, Any]] = []
    for number, line in enumerate(_text(source, config), 1):
        if not line.strip():
            continue
        try:
            lines.append((number, json.loads(line)))
        except ValueError as error:
            raise InvalidError(
                f"Error while reading data, error message: JSON parsing error in row {number}: {error}"
            ) from error
    if not fields:
        if not config.get("autodetect"):
            raise InvalidError("No schema specified on job or table.")
        fields = detect([v for _, v in lines[:SAMPLE_ROWS]])
    return _decoded(iter(lines), config, fields), fields


def detect(rows: Sequence[Any]) -> tuple[Field, ...]:
    """Detect the schema of JSON rows.

    Raises:
        InvalidError: Values of one column do not agree.
    """
    found: dict[str, Field] = {}
    for row in rows:
        if not isinstance(row, Mapping):
            raise InvalidError("Each line must be a JSON object")
        for name, value in row.items():
            if value is not None and value != []:
                found[name] = _merged(name, found.get(name), _detect_one(name, value))
    return tuple(found.values())


def _detect_one(name: str, value: Any) -> Field:
    if isinstance(value, list):
        merged: Field | None = None
        for v in value:
            merged = _merged(name, merged, _detect_one(name, v))
        return dataclasses.replace(merged or Field(name, "STRING"), mode="REPEATED")
    if isinstance(value, Mapping):
        return Field(name, "RECORD", "NULLABLE", detect([value]))
    if isinstance(value, bool):
        return Field(name, "BOOLEAN")
    if isinstance(value, int | float):
        return Field(name, "INTEGER" if isinstance(value, int) else "FLOAT")
    return Field(name, "STRING")


def _merged(name: str, old: Field | None, new: Field) -> Field:
    if old is None or old == new:
        return new
    if {old.type, new.type} == {"INTEGER", "FLOAT"} and old.mode == new.mode:
        return dataclasses.replace(new, type="FLOAT")
    if old.type == new.type == "RECORD" and old.mode == new.mode:
        parts = {f.name: f for f in old.fields}
        for field in new.fields:
            parts[field.name] = _merged(field.name, parts.get(field.name), field)
        return dataclasses.replace(new, fields=tuple(parts.values()))
    raise InvalidError(f"Cannot detect the type of {name}: {old.standard()} and {new.standard()}")


def _read_csv(
    source: IO[bytes], config: Mapping[str, Any], fields: tuple[Field, ...]
) -> tuple[pa.Table, tuple[Field, ...]]:
    if not fields:
        raise NotImplementedApiError(
            "Detecting the schema of CSV is not supported by the embedded BigQuery endpoint: give the schema"
        )
    skip = int(config.get("skipLeadingRows") or 0)
    marker = config.get("nullMarker")
    delimiter = str(config.get("fieldDelimiter") or ",").replace("\\t", "\t")
    quote = config.get("quote", '"')
    options = pacsv.ParseOptions(
        delimiter={"tab": "\t"}.get(delimiter.lower(), delimiter),
        quote_char=str(quote) if quote else False,
        newlines_in_values=True,
        invalid_row_handler=(lambda _: "skip") if config.get("ignoreUnknownValues") else None,
    )
    names = [f.name for f in fields]
    convert = pacsv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        null_values=[str(marker) if marker is not None else ""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    read = pacsv.ReadOptions(column_names=names, skip_rows=skip)
    try:
        table = pacsv.read_csv(
            _bytes(source), read_options=read, parse_options=options, convert_options=convert
        )
    except pa.ArrowInvalid as error:
        raise InvalidError(f"Error while reading data, error message: {error}") from error
    return _decoded(iter(enumerate(table.to_pylist(), skip + 1)), config, fields), fields


def _read_parquet(
    source: IO[bytes], _: Mapping[str, Any], fields: tuple[Field, ...]
) -> tuple[pa.Table, tuple[Field, ...]]:
    try:
        table = pq.read_table(source)
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidError(
            f"Error while reading data, error message: not a readable Parquet file: {error}"
        ) from error
    own = tuple(field_from_arrow(f.name, f.type) for f in table.schema)
    check_names(own)
    known = {f.name.lower(): f for f in fields}
    merged = tuple(known.get(f.name.lower(), f) for f in own) if fields else own
    return fit(table, merged), merged if fields and len(merged) >= len(fields) else tuple(fields) or merged


def fit(table: pa.Table, fields: Sequence[Field]) -> pa.Table:
    """Cast the columns of an Arrow table to BigQuery's types, refusing what would lose something.

    Raises:
        InvalidError: A column does not fit.
    """
    columns = []
    for name, field in zip(table.column_names, fields, strict=True):
        column, wanted = table.column(name), arrow_schema([field]).field(0).type
        try:
            columns.append(column if column.type == wanted else column.cast(wanted))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise InvalidError(
                f"Field {name} has type {column.type}, which does not fit {field.standard()}: {error}"
            ) from error
    return pa.Table.from_arrays(columns, names=[f.name for f in fields])


def field_from_arrow(name: str, kind: pa.DataType, mode: str = "NULLABLE") -> Field:
    """Give the BigQuery column of an Arrow type.

    Raises:
        InvalidError: There is none.
    """
    t = pa.types
    if t.is_list(kind) or t.is_large_list(kind):
        if mode == "REPEATED":
            raise InvalidError(f"Field {name} is an array of arrays")
        return field_from_arrow(name, kind.value_type, "REPEATED")
    if t.is_struct(kind):
        inner = list(kind)
        if (
            len(inner) == 1
            and inner[0].name == "list"
            and (t.is_list(inner[0].type) or t.is_struct(inner[0].type))
        ):
            raise InvalidError(
                f"Field {name} uses the old list layout of Parquet; set enable_list_inference",
                reason="notImplemented",
                status=501,
            )
        return Field(name, "RECORD", mode, tuple(field_from_arrow(f.name, f.type) for f in inner))
    if t.is_dictionary(kind):
        return field_from_arrow(name, kind.value_type, mode)
    for test, found in ARROW_KINDS:
        if test(kind):
            return Field(name, found(kind) if callable(found) else found, mode)
    raise InvalidError(f"Field {name} has the Arrow type {kind}, which has no BigQuery type here")


ARROW_KINDS: tuple[tuple[Any, Any], ...] = (
    (pa.types.is_integer, "INTEGER"),
    (pa.types.is_floating, "FLOAT"),
    (pa.types.is_boolean, "BOOLEAN"),
    (pa.types.is_string, "STRING"),
    (pa.types.is_large_string, "STRING"),
    (pa.types.is_binary, "BYTES"),
    (pa.types.is_large_binary, "BYTES"),
    (pa.types.is_date32, "DATE"),
    (pa.types.is_time, "TIME"),
    (pa.types.is_timestamp, lambda k: "TIMESTAMP" if k.tz else "DATETIME"),
    (pa.types.is_decimal, "NUMERIC"),
    (pa.types.is_null, "STRING"),
)
READERS = {"NEWLINE_DELIMITED_JSON": _read_json, "CSV": _read_csv, "PARQUET": _read_parquet}
