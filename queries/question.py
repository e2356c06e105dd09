"""A question to the warehouse: the text of one SQL file and values for its named parameters.

A question is a frozen dataclass: its fields are the parameters, its class says which file holds the
SQL, which columns come back and how many bytes it may bill. SQL is never put together from strings.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib import resources
from typing import Any, ClassVar

from queries.errors import ConfigurationError

MIB = 1024 * 1024
# What a question on rollups may bill. BigQuery bills at least 10 MiB per table; 90 days of hourly
# rollups of 500 stores stay below it. Lower, and large fleets are refused; higher, and a mistake costs.
DEFAULT_MAXIMUM_BYTES = 2048 * MIB
# What nobody on a page waits for.
DEFAULT_TIMEOUT_S = 30.0

_SCALARS: dict[type, str] = {
    str: "STRING",
    int: "INT64",
    float: "FLOAT64",
    bool: "BOOL",
    datetime: "TIMESTAMP",
    date: "DATE",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an answer.

    Attributes:
        name: As in the frame.
        type: BigQuery's name of the type.
        meaning: What it is, with its unit.
    """

    name: str
    type: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value for a named parameter.

    Attributes:
        name: Without the @.
        type: BigQuery's name of the type; of the elements, for an array.
        value: The value, None for NULL; a tuple for an array.
        is_array: True for ARRAY<type>.
    """

    name: str
    type: str
    value: Any
    is_array: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A text with its values, ready to be sent.

    Attributes:
        name: For logs and errors.
        sql: BigQuery's dialect.
        parameters: Values of its named parameters.
        maximum_bytes_billed: Refused by BigQuery above this; None for no limit.
        timeout_s: Seconds after which nobody waits any more.
    """

    name: str
    sql: str
    parameters: tuple[Parameter, ...] = ()
    maximum_bytes_billed: int | None = DEFAULT_MAXIMUM_BYTES
    timeout_s: float = DEFAULT_TIMEOUT_S


@dataclass(frozen=True)
class Question:
    """Base of the catalogue's entries.

    Attributes:
        name: The SQL file, without its ending.
        columns: What comes back, in this order.
        maximum_bytes_billed: What one answer may bill.
        timeout_s: Seconds after which nobody waits any more.
    """

    name: ClassVar[str]
    columns: ClassVar[tuple[Column, ...]]
    maximum_bytes_billed: ClassVar[int] = DEFAULT_MAXIMUM_BYTES
    timeout_s: ClassVar[float] = DEFAULT_TIMEOUT_S

    def query(self) -> Query:
        """Return the text with the values of this question."""
        return Query(
            self.name,
            read_sql("queries.sql", self.name),
            tuple(parameters_of(self)),
            self.maximum_bytes_billed,
            self.timeout_s,
        )


@cache
def read_sql(package: str, name: str) -> str:
    """Return the text of a SQL file of ours.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        return (resources.files(package) / f"{name}.sql").read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigurationError(f"there is no {name}.sql in {package}") from error


def parameters_of(values: Any) -> list[Parameter]:
    """Return the fields of a dataclass as named parameters.

    Raises:
        ConfigurationError: a field has a type that is not a parameter's.
    """
    kind: type = type(values)
    hints = _hints(kind)
    return [_parameter(f.name, hints[f.name], getattr(values, f.name)) for f in dataclasses.fields(values)]


def parameters_from(values: Mapping[str, Any]) -> list[Parameter]:
    """Return plain values as named parameters; the type is that of the value.

    Raises:
        ConfigurationError: a value has no type that is a parameter's, for example None.
    """
    return [_from_value(name, value) for name, value in values.items()]


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _parameter(name: str, hint: Any, value: Any) -> Parameter:
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
    if typing.get_origin(hint) is tuple:
        return Parameter(name, _scalar(name, typing.get_args(hint)[0]), tuple(value), is_array=True)
    return Parameter(name, _scalar(name, hint), value)


def _from_value(name: str, value: Any) -> Parameter:
    if isinstance(value, (list, tuple)):
        kind = _scalar(name, type(value[0])) if value else "STRING"
        return Parameter(name, kind, tuple(value), is_array=True)
    return Parameter(name, _scalar(name, type(value)), value)


def _scalar(name: str, kind: Any) -> str:
    try:
        return _SCALARS[kind]
    except (KeyError, TypeError) as error:
        raise ConfigurationError(f"parameter {name}: {kind!r} is no type of a parameter") from error
