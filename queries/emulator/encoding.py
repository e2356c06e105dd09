"""Rows as the REST API writes them: every value a string, arrays [{"v": ..}], records {"f": [..]}."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import math
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from queries.dialect.fields import Field
from queries.emulator.errors import InvalidError

NANO = decimal.Decimal("0.000000001")
WIDE = decimal.Context(prec=60)


@dataclasses.dataclass(frozen=True, slots=True)
class Format:
    """How times are written.

    Attributes:
        int64_timestamps: Whole microseconds; else seconds as a float, as the API does by default.
    """

    int64_timestamps: bool = True


def encode_rows(table: pa.Table, fields: Sequence[Field], form: Format) -> list[dict[str, Any]]:
    """Write rows.

    Args:
        table: Rows from DuckDB.
        fields: Their BigQuery columns.
        form: How times are written.

    Raises:
        InvalidError: A value has no place in the type (an INT64 overflow, NULL within an array).
    """
    columns = [_cells(table.column(i), field, form) for i, field in enumerate(fields)]
    return [{"f": [{"v": v} for v in row]} for row in zip(*columns, strict=True)]


def _cells(column: pa.ChunkedArray, field: Field, form: Format) -> list[Any]:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], column.type)
    return _repeated(array, field, form) if field.mode == "REPEATED" else _values(array, field, form)


def _repeated(array: pa.Array, field: Field, form: Format) -> list[Any]:
    if pa.types.is_null(array.type):
        return [[] for _ in range(len(array))]
    child = array.flatten()
    if child.null_count:
        raise InvalidError(
            f"Array cannot have a null element; error in writing field {field.name}", reason="invalidQuery"
        )
    flat = _values(child, dataclasses.replace(field, mode="NULLABLE"), form)
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_pylist()
    out, start = [], 0
    for length in lengths:
        out.append([{"v": v} for v in flat[start : start + length]])
        start += length
    return out


def _values(array: pa.Array, field: Field, form: Format) -> list[Any]:
    if field.type == "RECORD":
        return _records(array, field, form)
    if pa.types.is_null(array.type):
        return [None] * len(array)
    if field.type == "INTEGER":
        try:
            return list(pc.cast(pc.cast(array, pa.int64()), pa.string()).to_pylist())
        except pa.ArrowInvalid as error:
            raise InvalidError("int64 overflow", reason="invalidQuery", location="query") from error
    if field.type == "TIMESTAMP":
        micros = pc.cast(pc.cast(array, pa.timestamp("us", "UTC")), pa.int64()).to_pylist()
        return [
            None if v is None else (str(v) if form.int64_timestamps else repr(v / 1_000_000)) for v in micros
        ]
    write = WRITERS[field.type]
    return [None if v is None else write(v) for v in array.to_pylist()]


def _records(array: pa.Array, field: Field, form: Format) -> list[Any]:
    if pa.types.is_null(array.type):
        return [None] * len(array)
    parts = array.flatten()
    columns = [
        _cells(pa.chunked_array([p], p.type), f, form) for p, f in zip(parts, field.fields, strict=True)
    ]
    rows = zip(*columns, strict=True)
    return [
        {"f": [{"v": v} for v in row]} if ok else None
        for row, ok in zip(rows, array.is_valid().to_pylist(), strict=True)
    ]


def _float(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(float(value))


def numeric_text(value: decimal.Decimal) -> str:
    """Write a NUMERIC: at most nine decimals, half away from zero, no exponent, no trailing zeros."""
    rounded = value.quantize(NANO, rounding=decimal.ROUND_HALF_UP, context=WIDE)
    text = f"{rounded:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in {"-0", ""} else text


def _time(value: dt.time) -> str:
    return value.isoformat("microseconds" if value.microsecond else "seconds")


def _datetime(value: dt.datetime) -> str:
    return value.isoformat("T", "microseconds" if value.microsecond else "seconds")


def _interval(value: Any) -> str:
    months, days, nanos = value.months, value.days, value.nanoseconds
    sign = "-" if months < 0 else ""
    micros = abs(nanos) // 1000
    clock = (
        ""
        f"{'-' if nanos < 0 else ''}{micros // 3_600_000_000}:"
        f"{micros // 60_000_000 % 60}:{micros // 1_000_000 % 60}"
    )
    fraction = f".{micros % 1_000_000:06d}" if micros % 1_000_000 else ""
    return f"{sign}{abs(months) // 12}-{abs(months) % 12} {days} {clock}{fraction}"


WRITERS: dict[str, Callable[[Any], Any]] = {
    "FLOAT": _float,
    "BOOLEAN": lambda v: "true" if v else "false",
    "STRING": str,
    "JSON": str,
    "BYTES": lambda v: base64.standard_b64encode(v).decode(),
    "DATE": lambda v: v.isoformat(),
    "TIME": _time,
    "DATETIME": _datetime,
    "NUMERIC": numeric_text,
    "INTERVAL": _interval,
}
