"""Which function is handled how: what passes as it is, what is rewritten, what is refused."""

from __future__ import annotations

from sqlglot import exp

from queries.dialect import arrays, jsons, numbers, texts, times
from queries.dialect.errors import UnsupportedError
from queries.dialect.rewriting import Handler, Rewriter, call, cast, literal

# Checked one by one against GoogleSQL's definition: sqlglot's DuckDB text already means the same.
PASSING = frozenset(
    """Abs Acos And AnyValue Array ArrayAgg ArrayConcatAgg ArrayReverse ArraySize Ascii Asin Atan Atan2
    BitwiseAndAgg BitwiseCount BitwiseOrAgg BitwiseXorAgg Case Cast Cbrt Chr Coalesce Concat Corr Cos
    Cosh Count CovarPop CovarSamp CumeDist CurrentTimestamp DateFromParts DenseRank EndsWith Exists Exp
    FirstValue FromBase64 GenerateDateArray GenerateSeries GenerateTimestampArray Greatest Grouping
    HexString If IsInf IsNan JSON Lag LastValue Lead Least Ln Log LogicalAnd LogicalOr Lower LowerHex
    MD5 MD5Digest Max Min NthValue Ntile Nullif Or ParseJSON PercentRank PercentileCont PercentileDisc
    Pow Rand Rank RegexpLike RegexpReplace Repeat Replace Reverse RowNumber SHA SHA1Digest SHA2 Sin Sinh
    Split Sqrt StartsWith Stddev StddevPop StddevSamp Struct Sum Tan Tanh TimeFromParts
    TimestampFromParts ToBase64 Translate TryCast Unhex UnixDate Unnest Upper Uuid Variance VariancePop
    WeekStart Xor""".split()  # noqa: SIM905
)


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


def refuse(what: str) -> Handler:
    """Refuse a thing by name."""

    def handle(_: Rewriter, __: exp.Expression) -> exp.Expression:
        raise UnsupportedError(what)

    return handle


HANDLERS: dict[type[exp.Expression], Handler] = {
    **times.HANDLERS,
    exp.Literal: numbers.number,
    exp.Cast: numbers.to_type,
    exp.TryCast: numbers.to_type,
    exp.Round: numbers.rounding("round"),
    exp.Trunc: numbers.rounding("trunc"),
    exp.Ceil: numbers.rounding("ceil"),
    exp.Floor: numbers.rounding("floor"),
    exp.Sign: numbers.rounding("sign"),
    exp.Sub: numbers.plus_minus,
    exp.Add: numbers.plus_minus,
    exp.Neg: numbers.negative,
    exp.Pow: lambda _, n: call("bq_pow", n.this, n.expression),
    exp.Exp: lambda _, n: call("bq_exp", n.this),
    exp.Log: lambda _, n: numbers.logarithm(n),
    exp.BitwiseRightShift: lambda _, n: call("bq_shift_right", n.this, n.expression),
    exp.Split: texts.split,
    exp.ByteLength: texts.byte_length,
    exp.Div: numbers.decimal_guard,
    exp.IntDiv: numbers.whole_division,
    exp.Avg: numbers.decimal_guard,
    exp.ArrayAgg: arrays.aggregated,
    exp.CountIf: arrays.counted_if,
    exp.IgnoreNulls: arrays.aggregated,
    exp.GroupConcat: arrays.string_agg,
    exp.ApproxQuantiles: arrays.quantiles,
    exp.ApproxDistinct: arrays.distinct_count,
    exp.Bracket: arrays.element,
    exp.Length: texts.length,
    exp.Trim: texts.trim,
    exp.Substring: texts.substring,
    exp.Left: texts.edge("left"),
    exp.Right: texts.edge("right"),
    exp.Pad: texts.pad,
    exp.StrPosition: texts.position,
    exp.RegexpExtract: texts.regexp_extract,
    exp.RegexpExtractAll: texts.regexp_extract,
    exp.Format: texts.printf,
    exp.JSONExtractScalar: jsons.json_scalar,
    exp.JSONExtract: jsons.json_part,
    exp.JSONValueArray: jsons.json_array,
    exp.JSONExtractArray: jsons.json_array,
    exp.JSONFormat: jsons.json_text,
    exp.Like: texts.like,
    exp.ByteString: texts.bytes_literal,
    exp.Struct: arrays.structure,
    exp.SafeAdd: numbers.tried(exp.Add),
    exp.SafeSubtract: numbers.tried(exp.Sub),
    exp.SafeMultiply: numbers.tried(exp.Mul),
    exp.SafeFunc: numbers.safe_call,
    exp.SafeDivide: numbers.safe_divide,
    exp.Anonymous: anonymous,
    exp.ArrayConcat: arrays.concat_arrays,
    exp.ArrayToString: arrays.join_array,
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
