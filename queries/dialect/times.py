"""Date and time functions, with GoogleSQL's meaning."""

from __future__ import annotations

import re

from sqlglot import exp

from queries.dialect.errors import StatementError, UnsupportedError
from queries.dialect.rewriting import Handler, Rewriter, call, cast, literal, text_of

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
# Directives that DuckDB's strftime writes exactly as BigQuery does.
WRITABLE = set("YmdHMSjaAbBypIuwGVUW%")
READABLE = set("YmdHMSjbByIp%aA")


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


def _shift(sign: type[exp.Binary], default: str) -> Handler:
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


def extract(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """EXTRACT(part FROM x [AT TIME ZONE z])."""
    unit, base = unit_of(node.this), node.expression
    kind = rw.kind(base)
    if kind == "TIMESTAMPTZ":
        base = exp.AtTimeZone(this=exp.Paren(this=base), zone=literal("UTC"))
    elif kind not in {"DATE", "TIMESTAMP", "TIME"}:
        raise UnsupportedError(f"EXTRACT from {kind}")
    base = exp.Paren(this=base)
    if unit in {"DATE", "TIME", "DATETIME"}:
        return cast(base, {"DATETIME": "TIMESTAMP"}.get(unit, unit))
    if unit in {"WEEK", "WEEK(SUNDAY)", "WEEK(MONDAY)"}:
        return cast(call("strftime", base, "%W" if unit.endswith("(MONDAY)") else "%U"), "BIGINT")
    return _part(unit, base)


def _part(unit: str, base: exp.Expression) -> exp.Expression:
    plain = {"YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "QUARTER", "ISOYEAR"}
    if unit in plain:
        return call("date_part", unit.lower(), base)
    if unit in {"DAYOFYEAR", "ISOWEEK"}:
        return call("date_part", {"DAYOFYEAR": "doy", "ISOWEEK": "week"}[unit], base)
    if unit == "DAYOFWEEK":
        return exp.Paren(this=exp.Add(this=call("date_part", "dow", base), expression=literal(1)))
    if unit in {"MILLISECOND", "MICROSECOND"}:
        divisor = 1_000 if unit == "MILLISECOND" else 1_000_000
        return exp.Paren(
            this=exp.Mod(this=call("date_part", unit.lower(), base), expression=literal(divisor))
        )
    raise UnsupportedError(f"EXTRACT({unit})")


def to_date(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """DATE(x [, zone])."""
    base, zone = node.this, node.args.get("zone")
    if node.args.get("expressions"):
        raise UnsupportedError("This form of DATE()")
    if rw.kind(base) == "TIMESTAMPTZ":
        return cast(exp.AtTimeZone(this=exp.Paren(this=base), zone=zone or literal("UTC")), "DATE")
    if zone is not None:
        raise StatementError("DATE with a time zone needs a TIMESTAMP")
    return cast(base, "DATE")


def to_timestamp(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """TIMESTAMP(x [, zone])."""
    base, zone = node.this, node.args.get("zone")
    kind = rw.kind(base)
    if kind == "TIMESTAMPTZ":
        return base
    if kind not in {"VARCHAR", "DATE", "TIMESTAMP", "NULL"}:
        raise StatementError(f"No matching signature for function TIMESTAMP for argument types: {kind}")
    if kind == "VARCHAR" and zone is None:
        return cast(base, "TIMESTAMPTZ")
    return exp.Paren(
        this=exp.AtTimeZone(this=exp.Paren(this=cast(base, "TIMESTAMP")), zone=zone or literal("UTC"))
    )


def to_datetime(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """DATETIME(x [, zone or time])."""
    base, other = node.this, node.args.get("expression") or node.args.get("zone")
    kind = rw.kind(base)
    if kind == "TIMESTAMPTZ":
        return exp.Paren(this=exp.AtTimeZone(this=exp.Paren(this=base), zone=other or literal("UTC")))
    if other is not None:
        if kind == "DATE" and rw.kind(other) == "TIME":
            return exp.Paren(this=exp.Add(this=base, expression=other))
        raise StatementError("No matching signature for function DATETIME")
    return cast(base, "TIMESTAMP")


def to_time(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """TIME(x)."""
    base = node.this
    if rw.kind(base) == "TIMESTAMPTZ":
        base = exp.AtTimeZone(this=exp.Paren(this=base), zone=literal("UTC"))
    return cast(base, "TIME")


def to_string(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """STRING(x [, zone])."""
    base, zone = node.this, node.args.get("zone")
    kind = rw.kind(base)
    if kind == "JSON":
        raise UnsupportedError("STRING() of JSON")
    if zone is not None and kind == "TIMESTAMPTZ":
        if text_of(zone, "A time zone of STRING()").upper() != "UTC":
            raise UnsupportedError("STRING() in a time zone other than UTC")
    return call(
        f"bq_string__{kind}" if kind in {"TIMESTAMPTZ", "TIMESTAMP", "TIME"} else "bq_string__PLAIN", base
    )


def current_datetime(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """CURRENT_DATETIME([zone]), CURRENT_TIME([zone]), CURRENT_DATE([zone])."""
    local = exp.Paren(
        this=exp.AtTimeZone(this=call("get_current_timestamp"), zone=node.this or literal("UTC"))
    )
    if isinstance(node, exp.CurrentDatetime):
        return local
    return cast(local, "DATE" if isinstance(node, exp.CurrentDate) else "TIME")


def unix_to_time(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """TIMESTAMP_SECONDS, TIMESTAMP_MILLIS, TIMESTAMP_MICROS."""
    scale = node.args.get("scale")
    factor = 10 ** (6 - (int(scale.name) if scale is not None else 0))
    return call(
        "make_timestamptz",
        cast(exp.Mul(this=exp.Paren(this=cast(node.this, "BIGINT")), expression=literal(factor)), "BIGINT"),
    )


def _unix(name: str) -> Handler:
    def handle(rw: Rewriter, node: exp.Expression) -> exp.Expression:
        kind = rw.kind(node.this)
        if kind not in {"TIMESTAMPTZ", "NULL", "VARCHAR"}:
            raise StatementError(
                f"No matching signature for function {node.sql_name()} for argument types: {kind}"
            )
        return call(name, cast(node.this, "TIMESTAMPTZ"))

    return handle


def _check_format(text: str, allowed: set[str]) -> str:
    for found in re.findall(r"%(-?.)", text + " "):
        if found.lstrip("-") not in allowed or found.startswith("-"):
            raise UnsupportedError(f"The format element %{found}")
    return text


def format_time(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """FORMAT_DATE, FORMAT_DATETIME, FORMAT_TIMESTAMP, FORMAT_TIME."""
    form = _check_format(text_of(node.args.get("format"), "A time format"), WRITABLE)
    wrapped, zone = node.this, node.args.get("zone")
    base = (
        wrapped.this
        if isinstance(
            wrapped, exp.TsOrDsToDate | exp.TsOrDsToTimestamp | exp.TsOrDsToDatetime | exp.TsOrDsToTime
        )
        else wrapped
    )
    kind = rw.kind(base)
    if kind == "TIMESTAMPTZ":
        base = exp.AtTimeZone(this=exp.Paren(this=base), zone=zone or literal("UTC"))
    elif kind == "TIME":
        base = exp.Add(this=cast(literal("1970-01-01"), "DATE"), expression=base)
    elif kind not in {"DATE", "TIMESTAMP"}:
        raise UnsupportedError(f"Formatting a {kind} as a time")
    return call("strftime", exp.Paren(this=base), form)


def parse_time(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """PARSE_DATE, PARSE_DATETIME, PARSE_TIMESTAMP, PARSE_TIME."""
    form = _check_format(text_of(node.args.get("format"), "A time format"), READABLE)
    parsed = call(
        "strptime", exp.DPipe(this=literal("1970 "), expression=exp.Paren(this=node.this)), "%Y " + form
    )
    if isinstance(node, exp.StrToDate):
        return cast(parsed, "DATE")
    if isinstance(node, exp.ParseTime):
        return cast(parsed, "TIME")
    if isinstance(node, exp.ParseDatetime):
        return parsed
    return exp.Paren(this=exp.AtTimeZone(this=parsed, zone=node.args.get("zone") or literal("UTC")))


def last_day(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """LAST_DAY(x [, MONTH])."""
    if unit_of(node.args.get("unit"), "MONTH") != "MONTH":
        raise UnsupportedError("LAST_DAY of another part than MONTH")
    return call("last_day", cast(node.this, "DATE"))


def from_unix_date(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """DATE_FROM_UNIX_DATE(n)."""
    return cast(
        exp.Add(
            this=cast(literal("1970-01-01"), "DATE"), expression=call("to_days", cast(node.this, "INTEGER"))
        ),
        "DATE",
    )


def keep(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """Leave a node for the handler of its parent."""
    return node


HANDLERS: dict[type[exp.Expression], Handler] = {
    exp.DateAdd: _shift(exp.Add, "DATE"),
    exp.DateSub: _shift(exp.Sub, "DATE"),
    exp.TimestampAdd: _shift(exp.Add, "TIMESTAMPTZ"),
    exp.TimestampSub: _shift(exp.Sub, "TIMESTAMPTZ"),
    exp.DatetimeAdd: _shift(exp.Add, "TIMESTAMP"),
    exp.DatetimeSub: _shift(exp.Sub, "TIMESTAMP"),
    exp.TimeAdd: _shift(exp.Add, "TIME"),
    exp.TimeSub: _shift(exp.Sub, "TIME"),
    exp.Interval: interval_literal,
    exp.TimestampDiff: timestamp_diff,
    exp.DateDiff: boundary_diff,
    exp.DatetimeDiff: boundary_diff,
    exp.TimeDiff: boundary_diff,
    exp.DateTrunc: truncate,
    exp.TimestampTrunc: truncate,
    exp.DatetimeTrunc: truncate,
    exp.Extract: extract,
    exp.Date: to_date,
    exp.Timestamp: to_timestamp,
    exp.Datetime: to_datetime,
    exp.TsOrDsToDatetime: to_datetime,
    exp.TsOrDsToTime: to_time,
    exp.Time: to_time,
    exp.TsOrDsToDate: keep,
    exp.TsOrDsToTimestamp: keep,
    exp.String: to_string,
    exp.CurrentDatetime: current_datetime,
    exp.CurrentDate: current_datetime,
    exp.CurrentTime: current_datetime,
    exp.UnixToTime: unix_to_time,
    exp.UnixSeconds: _unix("bq_unix_seconds"),
    exp.UnixMillis: _unix("bq_unix_millis"),
    exp.UnixMicros: _unix("epoch_us"),
    exp.TimeToStr: format_time,
    exp.StrToDate: parse_time,
    exp.StrToTime: parse_time,
    exp.ParseDatetime: parse_time,
    exp.ParseTime: parse_time,
    exp.LastDay: last_day,
    exp.DateFromUnixDate: from_unix_date,
}
