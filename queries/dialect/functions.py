"""Functions and operators other than times: what passes as it is, what is rewritten, what is refused."""

from __future__ import annotations

import re

from sqlglot import exp

from queries.dialect import times
from queries.dialect.columns import Placed
from queries.dialect.errors import StatementError, UnsupportedError
from queries.dialect.rewriting import (
    Handler,
    Rewriter,
    call,
    cast,
    function_name,
    literal,
    number_of,
    text_of,
)

# Checked one by one against GoogleSQL's definition: sqlglot's DuckDB text already means the same.
PASSING = frozenset(
    [
        "Abs",
        "Acos",
        "And",
        "AnyValue",
        "ArrayAgg",
        "ArraySize",
        "Array",
        "ArrayConcatAgg",
        "ArrayReverse",
        "Asin",
        "Ascii",
        "Atan",
        "Atan2",
        "BitwiseAndAgg",
        "BitwiseOrAgg",
        "BitwiseXorAgg",
        "BitwiseCount",
        "Case",
        "Cast",
        "Cbrt",
        "Chr",
        "Coalesce",
        "Concat",
        "Corr",
        "Cos",
        "Count",
        "CovarPop",
        "CovarSamp",
        "CumeDist",
        "DateFromParts",
        "DenseRank",
        "EndsWith",
        "Exists",
        "Exp",
        "FirstValue",
        "FromBase64",
        "GenerateDateArray",
        "GenerateSeries",
        "GenerateTimestampArray",
        "Greatest",
        "Grouping",
        "HexString",
        "If",
        "IsInf",
        "IsNan",
        "JSON",
        "Lag",
        "LastValue",
        "Lead",
        "Least",
        "Ln",
        "Log",
        "LogicalAnd",
        "LogicalOr",
        "Lower",
        "LowerHex",
        "MD5",
        "MD5Digest",
        "Max",
        "Min",
        "NthValue",
        "Ntile",
        "Nullif",
        "Or",
        "ParseJSON",
        "PercentRank",
        "PercentileCont",
        "PercentileDisc",
        "Pow",
        "Rand",
        "Rank",
        "RegexpLike",
        "RegexpReplace",
        "Repeat",
        "Replace",
        "Reverse",
        "RowNumber",
        "SHA",
        "SHA1Digest",
        "SHA2",
        "Sin",
        "Sinh",
        "Cosh",
        "Tanh",
        "Split",
        "Sqrt",
        "StartsWith",
        "Stddev",
        "StddevPop",
        "StddevSamp",
        "Struct",
        "Sum",
        "Tan",
        "TimeFromParts",
        "TimestampFromParts",
        "ToBase64",
        "Translate",
        "TryCast",
        "Unhex",
        "Unnest",
        "UnixDate",
        "Upper",
        "Uuid",
        "Variance",
        "VariancePop",
        "WeekStart",
        "Xor",
        "CurrentTimestamp",
    ]
)
MAX_INT64 = 2**63 - 1
JSON_PATH = re.compile(r"\$(\.[A-Za-z_][A-Za-z0-9_]*|\[\d+\]|\.\"[^\"\\]+\")*")


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


def logarithm(node: exp.Expression) -> exp.Expression:
    """LOG(x, base) and LOG10(x); sqlglot keeps the base first."""
    base, value = node.this, node.expression
    if isinstance(base, exp.Literal) and base.name == "10":
        return call("log10", value)
    return exp.Paren(this=exp.Div(this=call("ln", value), expression=call("ln", base)))


def negative(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """The smallest INT64 has no positive counterpart."""
    if isinstance(node.this, exp.Literal) and node.this.name == str(MAX_INT64 + 1):
        return cast(literal(f"-{node.this.name}"), "BIGINT")
    return node


def to_type(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """CAST and SAFE_CAST."""
    if node.meta.get("bound"):
        return node
    if node.args.get("format") or node.args.get("default"):
        raise UnsupportedError("CAST with FORMAT")
    safe = isinstance(node, exp.TryCast)
    field = Placed.read("x", node.args["to"])
    done = _converted(rw, node.this, field)
    return call("TRY", done) if safe else done


def _converted(rw: Rewriter, value: exp.Expression, field: Placed) -> exp.Expression:
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
    """Dates: a whole number counts days, and the difference of two is an INTERVAL in BigQuery, a number in DuckDB."""
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


def byte_length(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """BYTE_LENGTH: bytes of the UTF-8 text, or of BYTES."""
    return call("octet_length" if rw.kind(node.this) == "BLOB" else "strlen", node.this)


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


def counted_if(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """COUNTIF is 0 where nothing is true; DuckDB's count_if is NULL for no rows and for NULLs alone."""
    if isinstance(node.this, exp.Distinct):
        raise UnsupportedError("COUNTIF(DISTINCT ...)")
    return exp.Count(this=exp.Case(ifs=[exp.If(this=node.this, true=exp.Literal.number(1))]))


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


def length(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """LENGTH: characters of a STRING, bytes of BYTES."""
    return call("octet_length" if rw.kind(node.this) == "BLOB" else "length", node.this)


def trim(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """TRIM, LTRIM, RTRIM; without characters, all Unicode white space goes."""
    side = str(node.args.get("position") or "")
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(side.upper(), "trim")
    if rw.kind(node.this) == "BLOB":
        raise UnsupportedError("TRIM of BYTES")
    chars = node.expression
    return call(name, node.this, chars) if chars is not None else call(f"bq_{name}", node.this)


def substring(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """SUBSTR."""
    if rw.kind(node.this) == "BLOB":
        raise UnsupportedError("SUBSTR of BYTES")
    start, count = node.args["start"], node.args.get("length")
    return (
        call("bq_substr_n", node.this, start, count)
        if count is not None
        else call("bq_substr", node.this, start)
    )


def edge(name: str) -> Handler:
    """LEFT and RIGHT; a negative length is an error."""

    def handle(_: Rewriter, node: exp.Expression) -> exp.Expression:
        return call(f"bq_{name}", node.this, node.expression)

    return handle


def pad(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """LPAD and RPAD."""
    fill = node.args.get("fill_pattern") or literal(" ")
    return call(
        "lpad" if node.args.get("is_left") else "rpad", node.this, cast(node.expression, "INTEGER"), fill
    )


def position(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """STRPOS and INSTR of two arguments."""
    if node.args.get("position") or node.args.get("occurrence"):
        raise UnsupportedError("INSTR with a position")
    return node


def regexp_extract(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """REGEXP_EXTRACT and REGEXP_EXTRACT_ALL with a literal pattern of at most one group."""
    pattern = text_of(node.expression, "A regular expression of REGEXP_EXTRACT")
    if node.args.get("position") or node.args.get("occurrence"):
        raise UnsupportedError("REGEXP_EXTRACT with a position")
    try:
        groups = re.compile(re.sub(r"\(\?P?<", "(?P<", pattern)).groups
    except re.error as error:
        raise UnsupportedError(f"The regular expression {pattern!r}") from error
    if groups > 1:
        raise StatementError(
            "Regular expression passed to REGEXP_EXTRACT must not have more than 1 capturing group"
        )
    if isinstance(node, exp.RegexpExtractAll):
        return call("regexp_extract_all", node.this, node.expression, groups)
    return call("bq_regexp_extract", node.this, node.expression, groups)


def printf(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """FORMAT(literal, ...): %d %i %s %f %e %g %x %o %t with flags, width and precision."""
    pieces = re.split(r"(%%|%[-+ 0#]*\d*(?:\.\d+)?[a-zA-Z])", text_of(node.this, "A format of FORMAT"))
    values = list(node.expressions)
    out: list[exp.Expression] = []
    for piece in pieces:
        if not piece.startswith("%") or piece == "%%":
            if "%" in piece.replace("%%", ""):
                raise UnsupportedError(f"The format {piece!r}")
            out.append(literal(piece.replace("%%", "%")))
            continue
        if not values:
            raise StatementError("Too few arguments to FORMAT")
        out.append(_formatted(rw, piece, values.pop(0)))
    if values:
        raise StatementError("Too many arguments to FORMAT")
    whole: exp.Expression = literal("")
    for part in out:
        whole = exp.DPipe(this=whole, expression=part)
    return exp.Paren(this=whole)


def _formatted(rw: Rewriter, piece: str, value: exp.Expression) -> exp.Expression:
    kind, letter = rw.kind(value), piece[-1]
    wanted = {
        "d": {"INT"},
        "i": {"INT"},
        "x": {"INT"},
        "o": {"INT"},
        "s": {"VARCHAR"},
        "f": {"DOUBLE"},
        "e": {"DOUBLE"},
        "g": {"DOUBLE"},
    }
    if letter == "t":
        shown = call("bq_display__DOUBLE", value) if kind == "DOUBLE" else _converted(rw, value, Placed("x", "STRING"))
        return call("printf", piece[:-1] + "s", exp.Coalesce(this=shown, expressions=[literal("NULL")]))
    if letter not in wanted or (letter in "xo" and len(piece) > 2):
        raise UnsupportedError(f"The format element {piece}")
    if kind not in wanted[letter] | {"NULL"}:
        raise StatementError(f"Invalid type for argument of FORMAT; expected {piece}, got {kind}")
    if letter in "xo":
        magnitude = call("printf", piece, call("abs", value))
        return exp.DPipe(this=exp.Paren(this=exp.If(this=exp.LT(this=value.copy(), expression=literal(0)), true=literal("-"), false=literal(""))), expression=magnitude)
    return call("printf", piece.replace("%i", "%d").replace("i", "d") if letter == "i" else piece, value)


def json_path(node: exp.Expression) -> str:
    """Give the JSON path of a JSON function, as text that both sides read the same way."""
    path = node.args.get("expression")
    text = (
        path.sql(dialect="bigquery").strip("'\"")
        if isinstance(path, exp.JSONPath)
        else str(path.name if path else "$")
    )
    if not JSON_PATH.fullmatch(text):
        raise UnsupportedError(f"The JSON path {text}")
    return text


def _if_json(rw: Rewriter, text: exp.Expression, found: exp.Expression) -> exp.Expression:
    """Text that is not JSON gives NULL, not an error."""
    if rw.kind(text) == "JSON":
        return found
    return exp.Case(ifs=[exp.If(this=call("json_valid", text), true=found)])


def json_scalar(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """JSON_VALUE and JSON_EXTRACT_SCALAR."""
    path = json_path(node)
    return _if_json(rw, node.this, call("json_extract_string", call("json_value", node.this.copy(), path), "$"))


def json_part(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """JSON_QUERY and JSON_EXTRACT: the type of the input is kept."""
    part = call("json_extract", node.this.copy(), json_path(node))
    return part if rw.kind(node.this) == "JSON" else _if_json(rw, node.this, cast(part, "VARCHAR"))


def json_array(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """JSON_VALUE_ARRAY, JSON_QUERY_ARRAY and their older names."""
    part = cast(call("json_extract", node.this.copy(), json_path(node)), "JSON[]")
    if isinstance(node, exp.JSONExtractArray) and rw.kind(node.this) == "JSON":
        return part
    if isinstance(node, exp.JSONValueArray):
        part = call("json_extract", node.this.copy(), json_path(node))
    return _if_json(rw, node.this, cast(part, "VARCHAR[]"))


def json_text(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """TO_JSON_STRING of scalars."""
    if node.args.get("to_json") or node.args.get("options"):
        raise UnsupportedError("TO_JSON")
    kind = rw.kind(node.this)
    forms = {
        "VARCHAR": "VARCHAR",
        "INT": "BIGINT",
        "DOUBLE": "DOUBLE",
        "BOOLEAN": "PLAIN",
        "JSON": "PLAIN",
        "NULL": "PLAIN",
    }
    if kind not in forms:
        raise UnsupportedError(f"TO_JSON_STRING of {kind}")
    return call(f"bq_json_string__{forms[kind]}", node.this)


def like(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """LIKE: BigQuery's escape character is the backslash."""
    pattern = node.expression
    if isinstance(pattern, exp.Tuple | exp.Paren | exp.Unnest | exp.Any | exp.All):
        raise UnsupportedError("LIKE ANY, LIKE SOME and LIKE ALL")
    if isinstance(pattern, exp.Literal) and "\\" not in pattern.name:
        return node
    return exp.Escape(this=node.copy(), expression=literal("\\"))


def bytes_literal(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """b'...'."""
    return call("unhex", node.name.encode("latin-1", "strict").hex())


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


def anonymous(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """Functions that sqlglot does not know."""
    name, args = str(node.this), node.expressions
    known = {
        "IEEE_DIVIDE": ("bq_ieee_divide", 2),
        "ERROR": ("error", 1),
        "TIMESTAMP_BUCKET": ("time_bucket", 2),
    }
    if name.upper() not in known or len(args) != known[name.upper()][1]:
        raise UnsupportedError(f"The function {name.upper()}")
    if name.upper() == "TIMESTAMP_BUCKET":
        return call("time_bucket", args[1], args[0], cast(literal("1950-01-01"), "TIMESTAMPTZ"))
    return call(known[name.upper()][0], *args)


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


def refuse(what: str) -> Handler:
    """Refuse a thing by name."""

    def handle(_: Rewriter, __: exp.Expression) -> exp.Expression:
        raise UnsupportedError(what)

    return handle


HANDLERS: dict[type[exp.Expression], Handler] = {
    **times.HANDLERS,
    exp.Literal: number,
    exp.Cast: to_type,
    exp.TryCast: to_type,
    exp.Round: rounding("round"),
    exp.Trunc: rounding("trunc"),
    exp.Ceil: rounding("ceil"),
    exp.Floor: rounding("floor"),
    exp.Sign: rounding("sign"),
    exp.Sub: plus_minus,
    exp.Add: plus_minus,
    exp.Neg: negative,
    exp.Pow: lambda _, n: call("bq_pow", n.this, n.expression),
    exp.Exp: lambda _, n: call("bq_exp", n.this),
    exp.Log: lambda _, n: logarithm(n),
    exp.BitwiseRightShift: lambda _, n: call("bq_shift_right", n.this, n.expression),
    exp.Split: lambda _, n: exp.Case(
        ifs=[exp.If(this=exp.Not(this=exp.Is(this=n.expression.copy(), expression=exp.Null())), true=n.copy())]
    ),
    exp.ByteLength: byte_length,
    exp.Div: decimal_guard,
    exp.Avg: decimal_guard,
    exp.ArrayAgg: aggregated,
    exp.CountIf: counted_if,
    exp.IgnoreNulls: aggregated,
    exp.GroupConcat: string_agg,
    exp.ApproxQuantiles: quantiles,
    exp.ApproxDistinct: distinct_count,
    exp.Bracket: element,
    exp.Length: length,
    exp.Trim: trim,
    exp.Substring: substring,
    exp.Left: edge("left"),
    exp.Right: edge("right"),
    exp.Pad: pad,
    exp.StrPosition: position,
    exp.RegexpExtract: regexp_extract,
    exp.RegexpExtractAll: regexp_extract,
    exp.Format: printf,
    exp.JSONExtractScalar: json_scalar,
    exp.JSONExtract: json_part,
    exp.JSONValueArray: json_array,
    exp.JSONExtractArray: json_array,
    exp.JSONFormat: json_text,
    exp.Like: like,
    exp.ByteString: bytes_literal,
    exp.Struct: structure,
    exp.SafeAdd: tried(exp.Add),
    exp.SafeSubtract: tried(exp.Sub),
    exp.SafeMultiply: tried(exp.Mul),
    exp.SafeFunc: safe_call,
    exp.SafeDivide: safe_divide,
    exp.Anonymous: anonymous,
    exp.ArrayConcat: concat_arrays,
    exp.ArrayToString: join_array,
    exp.RangeBucket: lambda _, n: call("bq_range_bucket", n.this, n.expression),
    exp.SHA2Digest: lambda _, n: (
        call("unhex", call("sha256", n.this))
        if str(n.args.get("length")) == "256"
        else refuse("SHA512")(_, n)
    ),
    exp.TableSample: refuse("TABLESAMPLE"),
    exp.Version: refuse("FOR SYSTEM_TIME AS OF"),
    exp.Collate: refuse("COLLATE"),
    exp.Hint: refuse("A hint"),
    exp.Lateral: refuse("LATERAL"),
    exp.MatchRecognize: refuse("MATCH_RECOGNIZE"),
    exp.Command: refuse("This statement"),
    exp.RespectNulls: refuse("RESPECT NULLS"),
}
