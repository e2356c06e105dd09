"""GoogleSQL's written types (INT64, ARRAY<STRUCT<a STRING>>) as fields."""

from __future__ import annotations

from sqlglot import exp

from queries.dialect.errors import StatementError, UnsupportedError
from queries.dialect.fields import Field, check_names, type_name


class Placed(Field):
    """A field read from the text of a statement."""

    __slots__ = ()

    @classmethod
    def read(cls, name: str, kind: exp.DataType, mode: str = "NULLABLE", description: str = "") -> Placed:
        """Read a `DataType` of sqlglot's tree.

        Raises:
            UnsupportedError: The type, or a parameter of it, is not supported.
            StatementError: It is malformed.
        """
        known = kind.this
        if known == exp.DataType.Type.ARRAY:
            if mode == "REPEATED":
                raise StatementError(
                    "Cannot construct array with element type ARRAY because nested arrays are not supported"
                )
            return cls.read(name, kind.expressions[0], "REPEATED", description)
        if known == exp.DataType.Type.STRUCT:
            fields = tuple(_member(i, part) for i, part in enumerate(kind.expressions, 1))
            check_names(fields)
            return cls(name, "RECORD", mode, fields, description)
        if kind.expressions:
            raise UnsupportedError(f"The parameterized type {kind.sql(dialect='bigquery')}")
        return cls(name, type_name(kind.sql(dialect="bigquery")), mode, (), description)


def _member(position: int, part: exp.Expression) -> Field:
    if isinstance(part, exp.ColumnDef):
        return Placed.read(part.name, part.args["kind"])
    if isinstance(part, exp.DataType):
        return Placed.read(f"_field_{position}", part)
    raise StatementError(f"Malformed STRUCT member {part.sql(dialect='bigquery')}")
