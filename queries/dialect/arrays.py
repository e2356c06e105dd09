"""Arrays, structs, and the aggregates that make them."""

from __future__ import annotations

from sqlglot import exp

from queries.dialect.errors import StatementError, UnsupportedError
from queries.dialect.rewriting import (
    Rewriter,
    call,
    cast,
    literal,
    number_of,
)


def aggregated(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """ARRAY_AGG with IGNORE NULLS, ORDER BY and LIMIT in any combination."""
    ignore = isinstance(node, exp.IgnoreNulls)
    agg = node.this if ignore else node
    if not isinstance(agg, exp.ArrayAgg):
        return node
    if not ignore and isinstance(node.parent, exp.IgnoreNulls):
        return node
    inner, limit = agg.this, None
    if isinstance(inner, exp.Limit):
        limit, inner = inner.expression, inner.this
    value = inner.this if isinstance(inner, exp.Order) else inner
    value = value.expressions[0] if isinstance(value, exp.Distinct) else value
    out: exp.Expression = exp.ArrayAgg(this=inner)
    if ignore:
        test = exp.Not(this=exp.Is(this=exp.Paren(this=value.copy()), expression=exp.Null()))
        out = exp.Filter(this=out, expression=exp.Where(this=test))
    return call("list_slice", out, 1, limit) if limit is not None else out


def string_agg(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """STRING_AGG, LIMIT refused."""
    if isinstance(node.this, exp.Limit):
        raise UnsupportedError("STRING_AGG with LIMIT")
    return node


def quantiles(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """APPROX_QUANTILES(x, n), exact here."""
    if isinstance(node.this, exp.Distinct):
        raise UnsupportedError("APPROX_QUANTILES with DISTINCT")
    n = number_of(
        node.expression.this if isinstance(node.expression, exp.Cast) else node.expression,
        "The number of quantiles",
    )
    if not 1 <= n <= 10_000:
        raise StatementError("The number of quantiles must be between 1 and 10000")
    cuts = exp.Array(expressions=[cast(exp.Literal.number(repr(i / n)), "DOUBLE") for i in range(n + 1)])
    return call("quantile_disc", node.this, cuts)


def distinct_count(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """APPROX_COUNT_DISTINCT, exact here."""
    return exp.Count(this=exp.Distinct(expressions=[node.this]))


def element(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """array[OFFSET(i)] and its family."""
    index = node.expressions[0]
    if len(node.expressions) != 1 or isinstance(index, exp.Slice) or rw.kind(node.this) != "LIST":
        raise UnsupportedError("A subscript of something other than an array")
    if node.args.get("offset"):
        index = exp.Paren(this=exp.Sub(this=exp.Paren(this=index), expression=literal(1)))
    return call("bq_array_safe_at" if node.args.get("safe") else "bq_array_at", node.this, index)


def structure(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """STRUCT(...): fields without a name get BigQuery's names."""
    target = node.parent.args.get("to") if isinstance(node.parent, exp.Cast) else None
    names = (
        [m.name for m in target.expressions]
        if target is not None and target.this == exp.DataType.Type.STRUCT
        else []
    )
    if names and len(names) != len(node.expressions):
        raise StatementError("STRUCT type has another number of fields than the value")
    for position_, part in enumerate(list(node.expressions), 1):
        if isinstance(part, exp.PropertyEQ):
            continue
        name = part.alias_or_name if isinstance(part, exp.Alias | exp.Column | exp.Dot) else ""
        if names:
            name = names[position_ - 1]
        value = part.this if isinstance(part, exp.Alias) else part
        named = exp.PropertyEQ(
            this=exp.to_identifier(name or f"_field_{position_}", quoted=True), expression=value.copy()
        )
        node.expressions[position_ - 1] = named
        named.parent, named.arg_key, named.index = node, "expressions", position_ - 1
    return node


def concat_arrays(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """ARRAY_CONCAT: NULL if any part is."""
    out = node.this
    for part in node.expressions:
        out = call("bq_array_concat", out, part)
    return out


def join_array(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """ARRAY_TO_STRING of strings."""
    if rw.type_of(node.this).upper() != "VARCHAR[]":
        raise UnsupportedError("ARRAY_TO_STRING of something other than strings")
    null = node.args.get("null")
    return (
        call("bq_array_join_null", node.this, node.expression, null)
        if null is not None
        else call("array_to_string", node.this, node.expression)
    )


def counted_if(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """COUNTIF is 0 where nothing is true; DuckDB's count_if is NULL for no rows and for NULLs alone."""
    if isinstance(node.this, exp.Distinct):
        raise UnsupportedError("COUNTIF(DISTINCT ...)")
    return exp.Count(this=exp.Case(ifs=[exp.If(this=node.this, true=exp.Literal.number(1))]))
