"""JSON functions."""

from __future__ import annotations

import re

from sqlglot import exp

from queries.dialect.errors import UnsupportedError
from queries.dialect.rewriting import (
    Rewriter,
    call,
    cast,
)

JSON_PATH = re.compile(r"\$(\.[A-Za-z_][A-Za-z0-9_]*|\[\d+\]|\.\"[^\"\\]+\")*")


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
    return _if_json(
        rw, node.this, call("json_extract_string", call("json_value", node.this.copy(), path), "$")
    )


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
