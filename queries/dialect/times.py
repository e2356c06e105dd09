"""Date and time functions, with GoogleSQL's meaning."""

from __future__ import annotations

import re

from sqlglot import exp

from queries.dialect.calendar import boundary_diff, interval_literal, shift, timestamp_diff, truncate, unit_of
from queries.dialect.errors import StatementError, UnsupportedError
from queries.dialect.rewriting import Handler, Rewriter, call, cast, literal, text_of

# Directives that DuckDB's strftime writes exactly as BigQuery does.
WRITABLE = set("YmdHMSjaAbBypIuwGVUW%")
READABLE = set("YmdHMSjbByIp%aA")


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
    if zone is not None and text_of(zone, "A time zone of STRING()").upper() != "UTC":
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
    exp.DateAdd: shift(exp.Add, "DATE"),
    exp.DateSub: shift(exp.Sub, "DATE"),
    exp.TimestampAdd: shift(exp.Add, "TIMESTAMPTZ"),
    exp.TimestampSub: shift(exp.Sub, "TIMESTAMPTZ"),
    exp.DatetimeAdd: shift(exp.Add, "TIMESTAMP"),
    exp.DatetimeSub: shift(exp.Sub, "TIMESTAMP"),
    exp.TimeAdd: shift(exp.Add, "TIME"),
    exp.TimeSub: shift(exp.Sub, "TIME"),
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
