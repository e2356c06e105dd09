"""Python values as BigQuery query parameters; the type follows from the value."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Mapping, Sequence
from typing import Any

from google.cloud import bigquery

from queries.errors import ConfigurationError

Parameter = bigquery.ScalarQueryParameter | bigquery.ArrayQueryParameter


def kind_of(value: Any) -> str:
    """Name the BigQuery type of a scalar.

    Raises:
        ConfigurationError: It has none.
    """
    if isinstance(value, bool):
        return "BOOL"
    if isinstance(value, dt.datetime):
        return "TIMESTAMP" if value.tzinfo is not None else "DATETIME"
    for type_, name in ((int, "INT64"), (float, "FLOAT64"), (str, "STRING"), (bytes, "BYTES"), (dt.date, "DATE"), (dt.time, "TIME"), (decimal.Decimal, "NUMERIC")):
        if isinstance(value, type_):
            return name
    raise ConfigurationError(f"A query parameter cannot be a {type(value).__name__}")


def to_parameters(values: Mapping[str, Any]) -> list[Parameter]:
    """Build the parameters of a query; an empty sequence counts as an array of strings."""
    out: list[Parameter] = []
    for name, value in values.items():
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            items = list(value)
            out.append(bigquery.ArrayQueryParameter(name, kind_of(items[0]) if items else "STRING", items))
        else:
            out.append(bigquery.ScalarQueryParameter(name, "STRING" if value is None else kind_of(value), value))
    return out
