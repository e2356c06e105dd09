"""Text: length, cutting, padding, patterns, FORMAT."""

from __future__ import annotations

import re

from sqlglot import exp

from queries.dialect.columns import Placed
from queries.dialect.errors import StatementError, UnsupportedError
from queries.dialect.numbers import converted
from queries.dialect.rewriting import (
    Handler,
    Rewriter,
    call,
    cast,
    literal,
    text_of,
)


def length(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """LENGTH: characters of a STRING, bytes of BYTES."""
    return call("octet_length" if rw.kind(node.this) == "BLOB" else "length", node.this)


def byte_length(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """BYTE_LENGTH: bytes of the UTF-8 text, or of BYTES."""
    return call("octet_length" if rw.kind(node.this) == "BLOB" else "strlen", node.this)


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


def split(_: Rewriter, node: exp.Expression) -> exp.Expression:
    """SPLIT: NULL for a NULL delimiter."""
    given = exp.Not(this=exp.Is(this=node.expression.copy(), expression=exp.Null()))
    return exp.Case(ifs=[exp.If(this=given, true=node.copy())])


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
        shown = (
            call("bq_display__DOUBLE", value)
            if kind == "DOUBLE"
            else converted(rw, value, Placed("x", "STRING"))
        )
        return call("printf", piece[:-1] + "s", exp.Coalesce(this=shown, expressions=[literal("NULL")]))
    if letter not in wanted or (letter in "xo" and len(piece) > 2):
        raise UnsupportedError(f"The format element {piece}")
    if kind not in wanted[letter] | {"NULL"}:
        raise StatementError(f"Invalid type for argument of FORMAT; expected {piece}, got {kind}")
    if letter in "xo":
        magnitude = call("printf", piece, call("abs", value))
        return exp.DPipe(
            this=exp.Paren(
                this=exp.If(
                    this=exp.LT(this=value.copy(), expression=literal(0)),
                    true=literal("-"),
                    false=literal(""),
                )
            ),
            expression=magnitude,
        )
    return call("printf", piece.replace("%i", "%d").replace("i", "d") if letter == "i" else piece, value)


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
