"""Sums, differences and truncation of dates and times, with GoogleSQL's meaning."""

from __future__ import annotations

from sqlglot import exp

from queries.dialect.errors import StatementError, UnsupportedError
from queries.dialect.rewriting import Handler, Rewriter, call, cast, literal

MICROSECONDS = {
    "MICROSECOND": 1,
    "MILLISECOND": 1_000,
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": 86_400_000_000,
}
MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
TRUNCATIONS = {
    "MICROSECOND",
    "MILLISECOND",
    "SECOND",
    "MINUTE",
    "HOUR",
    "DAY",
    "MONTH",
    "QUARTER",
    "YEAR",
}
WEEKDAYS = {"MONDAY": 0, "TUESDAY": 6, "WEDNESDAY": 5, "THURSDAY": 4, "FRIDAY": 3, "SATURDAY": 2, "SUNDAY": 1}


def unit_of(node: exp.Expression | None, default: str = "DAY") -> str:
    """Name the date part a node stands for; weeks as WEEK or WEEK(MONDAY)."""
    if node is None:
        return default
    if isinstance(node, exp.WeekStart):
        return f"WEEK({node.this.name.upper()})"
    return str(node.name or node.sql(dialect="bigquery")).upper()


def interval(amount: exp.Expression, unit: str) -> exp.Expression:
    """Build a DuckDB interval of `amount` units."""
    if unit in MICROSECONDS and unit != "DAY":
        return call(
            "to_microseconds",
            exp.Mul(this=exp.Paren(this=cast(amount, "BIGINT")), expression=literal(MICROSECONDS[unit])),
        )
    days = {"DAY": 1, "WEEK": 7}
    if unit in days:
        return call(
            "to_days",
            cast(
                exp.Mul(this=exp.Paren(this=cast(amount, "INTEGER")), expression=literal(days[unit])),
                "INTEGER",
            ),
        )
    if unit in MONTHS:
        return call(
            "to_months",
            cast(
                exp.Mul(this=exp.Paren(this=cast(amount, "INTEGER")), expression=literal(MONTHS[unit])),
                "INTEGER",
            ),
        )
    raise UnsupportedError(f"An interval in {unit}")


def shift(sign: type[exp.Binary], default: str) -> Handler:
    """DATE_ADD and its family: sums of a time and an interval; `default` is what text is taken for."""

    def handle(rw: Rewriter, node: exp.Expression) -> exp.Expression:
        amount = node.expression
        unit = unit_of(node.args.get("unit"))
        if isinstance(amount, exp.Interval):
            raise UnsupportedError("This form of interval")
        step = interval(amount, unit)
        base = node.this
        kind = rw.kind(base)
        if kind in {"VARCHAR", "NULL"}:
            base, kind = cast(base, default), default
        if kind not in {"DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIME"}:
            raise StatementError(
                f"No matching signature for function {node.sql_name()} for argument types: {kind}"
            )
        if kind == "TIMESTAMPTZ" and unit in MONTHS:
            raise StatementError(f"{node.sql_name()} does not support the {unit} date part")
        moved = sign(this=exp.Paren(this=base), expression=step)
        return cast(moved, "DATE") if kind == "DATE" else exp.Paren(this=moved)

    return handle


def interval_literal(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """INTERVAL n unit as a value of its own, in sums."""
    unit = node.args.get("unit")
    if isinstance(unit, exp.IntervalSpan) or node.this is None:
        raise UnsupportedError("An interval with a range of units")
    if node.find_ancestor(exp.GenerateDateArray, exp.GenerateTimestampArray):
        return node
    return interval(node.this, unit_of(unit))


def timestamp_diff(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """TIMESTAMP_DIFF: whole units elapsed, toward zero."""
    unit = unit_of(node.args.get("unit"))
    if unit not in MICROSECONDS:
        raise StatementError(f"TIMESTAMP_DIFF does not support the {unit} date part")
    return call(
        "bq_elapsed",
        cast(node.this, "TIMESTAMPTZ"),
        cast(node.expression, "TIMESTAMPTZ"),
        literal(MICROSECONDS[unit]),
    )


def boundary_diff(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """DATE_DIFF, DATETIME_DIFF, TIME_DIFF: boundaries crossed."""
    unit = unit_of(node.args.get("unit"))
    left, right = node.this, node.expression
    kinds = {rw.kind(left), rw.kind(right)}
    if "TIMESTAMPTZ" in kinds:
        if unit not in MICROSECONDS:
            raise UnsupportedError(f"A difference of timestamps in {unit}")
        return timestamp_diff(rw, node)
    target = {exp.DateDiff: "DATE", exp.DatetimeDiff: "TIMESTAMP", exp.TimeDiff: "TIME"}[type(node)]
    if kinds - {"VARCHAR", "NULL"} == {"TIMESTAMP"}:
        target = "TIMESTAMP"
    left, right = cast(left, target), cast(right, target)
    if unit == "WEEK" or unit.startswith("WEEK("):
        shift = WEEKDAYS[unit[5:-1]] if unit != "WEEK" else 1
        ahead = call("to_days", literal(shift))
        left, right = exp.Add(this=left, expression=ahead), exp.Add(this=right, expression=ahead.copy())
        unit = "ISOWEEK"
    if unit == "ISOWEEK":
        days = call("date_diff", "day", call("date_trunc", "week", right), call("date_trunc", "week", left))
        return exp.Paren(this=exp.IntDiv(this=days, expression=literal(7)))
    if unit not in TRUNCATIONS:
        raise UnsupportedError(f"A difference in {unit}")
    return call("date_diff", unit.lower(), right, left)


def truncate(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """DATE_TRUNC, DATETIME_TRUNC, TIMESTAMP_TRUNC, TIME_TRUNC."""
    unit, base, zone = unit_of(node.args.get("unit")), node.this, node.args.get("zone")
    kind = rw.kind(base)
    if kind in {"VARCHAR", "NULL"}:
        default = {exp.DateTrunc: "DATE", exp.DatetimeTrunc: "TIMESTAMP"}.get(type(node), "TIMESTAMPTZ")
        base, kind = cast(base, default), default.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")
    if kind not in {"DATE", "TIMESTAMP", "TIMESTAMPTZ"}:
        raise UnsupportedError(f"{node.sql_name()} of {kind}")
    if zone is not None:
        base = exp.AtTimeZone(this=exp.Paren(this=base), zone=zone)
    cut = _truncated(exp.Paren(this=base), unit)
    if zone is not None:
        cut = exp.AtTimeZone(this=exp.Paren(this=cut), zone=zone.copy())
    return cast(cut, "DATE") if kind == "DATE" else exp.Paren(this=cut)


def _truncated(base: exp.Expression, unit: str) -> exp.Expression:
    if unit in TRUNCATIONS:
        return call("date_trunc", unit.lower(), base)
    if unit == "ISOWEEK":
        return call("date_trunc", "week", base)
    if unit == "WEEK" or unit.startswith("WEEK("):
        return call("bq_trunc_week", base, literal(WEEKDAYS[unit[5:-1]] if unit != "WEEK" else 1))
    raise UnsupportedError(f"Truncation to {unit}")
