"""Numbers: literals, casts, rounding, sums, and what must raise instead of giving a number."""

from __future__ import annotations

import re

from sqlglot import exp

from queries.dialect.columns import Placed
from queries.dialect.errors import StatementError, UnsupportedError
from queries.dialect.rewriting import (
    Handler,
    Rewriter,
    call,
    cast,
    function_name,
    literal,
)

MAX_INT64 = 2**63 - 1


def number(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """A literal with a point is FLOAT64 in BigQuery, a decimal in DuckDB; integers are INT64."""
    if node.args.get("is_string"):
        return node
    if re.search(r"[.eE]", node.name):
        exact = isinstance(node.parent, exp.Cast) and node.parent.args["to"].this == exp.DataType.Type.DECIMAL
        return node if exact else cast(node.copy(), "DOUBLE")
    if int(node.name) > MAX_INT64:
        if int(node.name) == MAX_INT64 + 1 and isinstance(node.parent, exp.Neg):
            return node
        raise StatementError(f"Invalid integer literal: {node.name}")
    if isinstance(node.parent, exp.Add | exp.Sub | exp.Mul | exp.Neg | exp.Array):
        return cast(node.copy(), "BIGINT")
    return node


def negative(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """The smallest INT64 has no positive counterpart."""
    if isinstance(node.this, exp.Literal) and node.this.name == str(MAX_INT64 + 1):
        return cast(literal(f"-{node.this.name}"), "BIGINT")
    return node


def logarithm(node: exp.Expression) -> exp.Expression:
    """LOG(x, base) and LOG10(x); sqlglot keeps the base first."""
    base, value = node.this, node.expression
    if isinstance(base, exp.Literal) and base.name == "10":
        return call("log10", value)
    return exp.Paren(this=exp.Div(this=call("ln", value), expression=call("ln", base)))


def to_type(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """CAST and SAFE_CAST."""
    if node.meta.get("bound"):
        return node
    if node.args.get("format") or node.args.get("default"):
        raise UnsupportedError("CAST with FORMAT")
    safe = isinstance(node, exp.TryCast)
    field = Placed.read("x", node.args["to"])
    done = converted(rw, node.this, field)
    return call("TRY", done) if safe else done


def converted(rw: Rewriter, value: exp.Expression, field: Placed) -> exp.Expression:
    """Convert an expression to the type of a field, as CAST does."""
    if field.mode == "REPEATED" or field.type not in {"STRING", "INTEGER", "BOOLEAN", "BYTES", "TIMESTAMP"}:
        return cast(value, field.sql())
    kind = rw.kind(value)
    if field.type == "STRING":
        if kind in {"STRUCT", "LIST", "JSON"}:
            raise StatementError(f"Invalid cast from {kind} to STRING")
        known = {"DOUBLE", "DECIMAL", "TIMESTAMP", "TIMESTAMPTZ", "TIME", "BLOB"}
        return call(f"bq_string__{kind if kind in known else 'PLAIN'}", value)
    if field.type == "INTEGER":
        return call(f"bq_int64__{kind if kind in {'DOUBLE', 'DECIMAL', 'VARCHAR'} else 'PLAIN'}", value)
    if field.type == "BOOLEAN":
        return call("bq_bool__VARCHAR", value) if kind == "VARCHAR" else cast(value, "BOOLEAN")
    if field.type == "BYTES":
        return call("encode", value) if kind == "VARCHAR" else cast(value, "BLOB")
    return cast(value, field.sql())


def rounding(name: str) -> Handler:
    """ROUND, TRUNC, CEIL, FLOOR, SIGN: FLOAT64 for INT64, the type kept otherwise."""

    def handle(rw: Rewriter, node: exp.Expression) -> exp.Expression:
        kind = rw.kind(node.this)
        if kind not in {"INT", "DOUBLE", "DECIMAL", "NULL"}:
            raise StatementError(
                f"No matching signature for function {name.upper()} for argument types: {kind}"
            )
        if node.args.get("to") or node.args.get("truncate"):
            raise UnsupportedError(f"{name.upper()} with a rounding mode")
        if name == "sign":
            return node if kind == "INT" else call("bq_sign__DOUBLE", cast(node.this, "DOUBLE"))
        value = cast(node.this, "DOUBLE") if kind == "INT" else node.this
        places = node.args.get("decimals")
        return call(name, value, *([cast(places, "INTEGER")] if places is not None else []))

    return handle


def plus_minus(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """Dates: a number counts days; the difference of two is an INTERVAL in BigQuery, a number in DuckDB."""
    if not rw.has_dates or isinstance(node.expression, exp.Interval):
        return node
    left, right = rw.kind(node.this), rw.kind(node.expression)
    if left == right == "DATE" and isinstance(node, exp.Sub):
        raise UnsupportedError("The difference of two DATE values (write DATE_DIFF)")
    if "DATE" not in {left, right} or "INT" not in {left, right}:
        return node
    if left == "DATE":
        node.set("expression", call("to_days", cast(node.expression, "INTEGER")))
    else:
        node.set("this", call("to_days", cast(node.this, "INTEGER")))
    return cast(node.copy(), "DATE")


def decimal_guard(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """Division and averages of NUMERIC would lose digits: refused."""
    if rw.has_decimals:
        for part in (node.this, node.args.get("expression")):
            if (
                isinstance(part, exp.Expression)
                and not isinstance(part, exp.Distinct)
                and rw.kind(part) == "DECIMAL"
            ):
                raise UnsupportedError(
                    f"{'Division' if isinstance(node, exp.Div) else function_name(node)} of NUMERIC"
                )
    return node


def whole_division(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """DIV(a - b, c): an operator in DuckDB, so what it is made of and what it is part of stay apart."""
    parts = (exp.Paren(this=node.this.copy()), exp.Paren(this=node.expression.copy()))
    return exp.Paren(this=exp.IntDiv(this=parts[0], expression=parts[1]))


def tried(build: type[exp.Binary]) -> Handler:
    """SAFE_ADD and its family: NULL instead of an overflow."""

    def handle(_: Rewriter, node: exp.Expression) -> exp.Expression:
        return call("TRY", build(this=exp.Paren(this=node.this), expression=exp.Paren(this=node.expression)))

    return handle


def safe_call(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """SAFE.function(...)."""
    return call("TRY", node.this)


def safe_divide(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """SAFE_DIVIDE: NULL for a zero divisor."""
    decimal_guard(rw, node)
    return call("TRY", exp.Div(this=exp.Paren(this=node.this), expression=exp.Paren(this=node.expression)))
