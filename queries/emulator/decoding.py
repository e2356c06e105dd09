"""Values as clients send them: query parameters, rows of insertAll, lines of load jobs."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import decimal
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from queries.dialect.fields import Field, field_from_api, type_name
from queries.emulator.errors import InvalidError

UTC = dt.UTC
EPOCH = dt.datetime(1970, 1, 1, tzinfo=UTC)
ARROW = {
    "INTEGER": pa.int64(),
    "FLOAT": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "STRING": pa.string(),
    "JSON": pa.string(),
    "BYTES": pa.binary(),
    "TIMESTAMP": pa.timestamp("us", "UTC"),
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "DATETIME": pa.timestamp("us"),
    "NUMERIC": pa.decimal128(38, 9),
    "INTERVAL": pa.string(),
}
WIDE = decimal.Context(prec=60)
INT64 = range(-(2**63), 2**63)


def arrow_type(field: Field) -> pa.DataType:
    """Give the Arrow type of a column."""
    one: Any = ARROW.get(field.type)
    if field.type == "RECORD":
        one = pa.struct([pa.field(f.name, arrow_type(f)) for f in field.fields])
    return pa.list_(one) if field.mode == "REPEATED" else one


def arrow_schema(fields: Sequence[Field]) -> pa.Schema:
    """Give the Arrow schema of a table."""
    return pa.schema([pa.field(f.name, arrow_type(f)) for f in fields])


class ValueRefusedError(ValueError):
    """A value does not fit its column.

    Attributes:
        path: Name of the column, dotted for nested ones.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


def decode_row(
    row: Any, fields: Sequence[Field], *, ignore_unknown: bool = False, path: str = ""
) -> dict[str, Any]:
    """Read one JSON row.

    Raises:
        ValueRefusedError: A value, or the row itself, does not fit.
    """
    if not isinstance(row, Mapping):
        raise ValueRefusedError(path, "This field is not a record.")
    lowered = {str(k).lower(): v for k, v in row.items()}
    known = {f.name.lower() for f in fields}
    if not ignore_unknown:
        for name in row:
            if str(name).lower() not in known:
                raise ValueRefusedError(f"{path}{name}", f"no such field: {path}{name}.")
    return {
        f.name: decode_value(lowered.get(f.name.lower()), f, path, ignore_unknown=ignore_unknown)
        for f in fields
    }


def decode_value(value: Any, field: Field, path: str = "", *, ignore_unknown: bool = False) -> Any:
    """Read one JSON value of a column.

    Raises:
        ValueRefusedError: It does not fit.
    """
    where = f"{path}{field.name}"
    if field.mode == "REPEATED":
        if value is None:
            return []
        if not isinstance(value, list):
            raise ValueRefusedError(where, "Array specified for non-repeated field or the reverse")
        one = Field(field.name, field.type, "REQUIRED", field.fields)
        return [decode_value(v, one, path, ignore_unknown=ignore_unknown) for v in value]
    if value is None:
        if field.mode == "REQUIRED":
            raise ValueRefusedError(where, f"Missing required field: {where}.")
        return None
    if isinstance(value, list) and field.type != "JSON":
        raise ValueRefusedError(where, "Array specified for non-repeated field.")
    if field.type == "RECORD":
        return decode_row(value, field.fields, ignore_unknown=ignore_unknown, path=f"{where}.")
    try:
        return READERS[field.type](value)
    except (ValueError, TypeError, ArithmeticError, binascii.Error) as error:
        raise ValueRefusedError(
            where, f"Cannot convert value to {field.type.lower()} (bad value): {str(value)[:100]}"
        ) from error


def _integer(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    number = int(value) if isinstance(value, int | str) else int(float(value))
    if isinstance(value, float) and number != value:
        raise ValueError
    if number not in INT64:
        raise ValueError
    return number


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    known = {
        "true": True,
        "false": False,
        "1": True,
        "0": False,
        "t": True,
        "f": False,
        "yes": True,
        "no": False,
        "y": True,
        "n": False,
    }
    return known[str(value).strip().lower()] if str(value).strip().lower() in known else _raise()


def _raise() -> Any:
    raise ValueError


def _float(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def _string(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise TypeError
    return str(value)


def _timestamp(value: Any) -> dt.datetime:
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, int | float):
        return EPOCH + dt.timedelta(microseconds=round(value * 1_000_000))
    text = str(value).strip()
    if text.upper().endswith(" UTC"):
        text = text[:-4].strip()
    try:
        parsed = dt.datetime.fromisoformat(text)
    except ValueError:
        return EPOCH + dt.timedelta(microseconds=int((decimal.Decimal(text) * 1_000_000).to_integral_value()))
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def _datetime(value: Any) -> dt.datetime:
    parsed = dt.datetime.fromisoformat(str(value).strip())
    if parsed.tzinfo is not None:
        raise ValueError
    return parsed


def _numeric(value: Any) -> decimal.Decimal:
    if isinstance(value, bool):
        raise TypeError
    number = decimal.Decimal(str(value)).quantize(
        decimal.Decimal("1e-9"), rounding=decimal.ROUND_HALF_UP, context=WIDE
    )
    if not number.is_finite() or abs(number) >= decimal.Decimal(10) ** 29:
        raise ValueError
    return number


def _json(value: Any) -> str:
    if isinstance(value, str):
        json.loads(value)
        return value
    return json.dumps(value, separators=(",", ":"))


READERS: dict[str, Callable[[Any], Any]] = {
    "INTEGER": _integer,
    "FLOAT": _float,
    "BOOLEAN": _boolean,
    "STRING": _string,
    "JSON": _json,
    "BYTES": lambda v: base64.b64decode(v.replace("-", "+").replace("_", "/"), validate=True),
    "TIMESTAMP": _timestamp,
    "DATE": lambda v: dt.date.fromisoformat(str(v)),
    "TIME": lambda v: dt.time.fromisoformat(str(v)),
    "DATETIME": _datetime,
    "NUMERIC": _numeric,
    "INTERVAL": lambda _: _raise(),
}


def parameter_field(name: str, kind: Any) -> Field:
    """Read the type of a query parameter.

    Raises:
        InvalidError: It is malformed.
        DialectError: The type is unknown or not supported.
    """
    if not isinstance(kind, Mapping) or "type" not in kind:
        raise InvalidError(f"Query parameter '{name}' has no type")
    upper = str(kind["type"]).upper()
    if upper == "ARRAY":
        inner = parameter_field(name, kind.get("arrayType"))
        return Field(name, inner.type, "REPEATED", inner.fields)
    if upper == "STRUCT":
        members = kind.get("structTypes") or []
        return Field(
            name,
            "RECORD",
            "NULLABLE",
            tuple(parameter_field(str(m.get("name", "")), m.get("type")) for m in members),
        )
    if upper == "RANGE":
        return field_from_api({"name": name, "type": "RANGE"})
    return Field(name, type_name(upper))


def parameter_value(field: Field, value: Any) -> Any:
    """Read the value of a query parameter.

    Raises:
        InvalidError: It does not fit its type.
    """
    resource = value if isinstance(value, Mapping) else {}
    if field.mode == "REPEATED":
        one = Field(field.name, field.type, "NULLABLE", field.fields)
        return [parameter_value(one, v) for v in resource.get("arrayValues") or []]
    if field.type == "RECORD":
        given = resource.get("structValues")
        return (
            None if given is None else {f.name: parameter_value(f, given.get(f.name)) for f in field.fields}
        )
    raw = resource.get("value")
    try:
        return decode_value(raw, field)
    except ValueRefusedError as error:
        raise InvalidError(
            f"Invalid value for query parameter '{field.name}': {raw!r} is not a valid {field.standard()}",
            reason="invalidQuery",
            location="query",
        ) from error
