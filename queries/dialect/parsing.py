"""Reading GoogleSQL text with sqlglot."""

from __future__ import annotations

import functools
import logging

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from queries.dialect.errors import StatementError, UnsupportedError

MAX_TEXT = 1_000_000  # BigQuery's own limit of an unresolved query is 1 MB
MAX_DEPTH_NODES = 60_000  # a tree beyond this takes sqlglot seconds, and is no query a person wrote

# Words that GoogleSQL takes as names only in backticks; sqlglot is more lenient.
RESERVED = frozenset(
    """ALL AND ANY ARRAY AS ASC ASSERT_ROWS_MODIFIED AT BETWEEN BY CASE CAST COLLATE CONTAINS CREATE CROSS
    CUBE CURRENT DEFAULT DEFINE DESC DISTINCT ELSE END ENUM ESCAPE EXCEPT EXCLUDE EXISTS EXTRACT FALSE
    FETCH FOLLOWING FOR FROM FULL GROUP GROUPING GROUPS HASH HAVING IF IGNORE IN INNER INTERSECT
    INTERVAL INTO IS JOIN LATERAL LEFT LIKE LIMIT LOOKUP MERGE NATURAL NEW NO NOT NULL NULLS OF ON OR
    ORDER OUTER OVER PARTITION PRECEDING PROTO QUALIFY RANGE RECURSIVE RESPECT RIGHT ROLLUP ROWS SELECT
    SET SOME STRUCT TABLESAMPLE THEN TO TREAT TRUE UNBOUNDED UNION UNNEST USING WHEN WHERE WINDOW WITH
    WITHIN""".split()  # noqa: SIM905
)

logging.getLogger("sqlglot").setLevel(logging.ERROR)


@functools.lru_cache(maxsize=512)
def _parsed(text: str) -> exp.Expression:
    if len(text.encode()) > MAX_TEXT:
        raise StatementError("The query is too large. The maximum query length is 1 MB")
    try:
        trees = [
            t
            for t in sqlglot.parse(text, read="bigquery")
            if t is not None and not isinstance(t, exp.Semicolon)
        ]
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        near = str(first.get("highlight") or "")
        message = f'Syntax error: Unexpected "{near}"' if near else f"Syntax error: {str(error)[:200]}"
        raise StatementError(message, first.get("line"), _column(first)) from error
    except TokenError as error:
        raise StatementError(f"Syntax error: {str(error)[:200]}", 1, 1) from error
    except RecursionError as error:
        raise UnsupportedError("A query nested this deeply") from error
    if not trees:
        raise StatementError("Syntax error: Unexpected end of statement", 1, 1)
    if len(trees) > 1:
        raise UnsupportedError("A script of several statements")
    _check_names(trees[0])
    if not text.isascii() and any(not b.name.isascii() for b in trees[0].find_all(exp.ByteString)):
        raise UnsupportedError("A bytes literal with characters beyond ASCII (write them as \\x..)")
    return trees[0]


def _check_names(tree: exp.Expression) -> None:
    for node in tree.find_all(exp.Identifier):
        if node.args.get("quoted") or node.name.upper() not in RESERVED:
            continue
        named = isinstance(node.parent, exp.Alias | exp.TableAlias | exp.ColumnDef)
        first = isinstance(node.parent, exp.Column) and (node.arg_key == "table" or not node.parent.table)
        if named or first:
            raise StatementError(f"Syntax error: Unexpected keyword {node.name.upper()}", *_place(node))


def _place(node: exp.Expression) -> tuple[int | None, int | None]:
    line, end = node.meta.get("line"), node.meta.get("col")
    return (line, end - len(node.name) + 1) if line is not None and end is not None else (None, None)


def _column(first: dict[str, object]) -> int | None:
    end, near = first.get("col"), str(first.get("highlight") or "")
    return max(int(str(end)) - len(near) + 1, 1) if end is not None else None


def parse_statement(text: str) -> exp.Expression:
    """Parse exactly one statement; the tree is the caller's own.

    Raises:
        StatementError: It does not parse.
        UnsupportedError: It is a script, or sqlglot does not know the statement.
    """
    tree = _parsed(text).copy()
    if isinstance(tree, exp.Command | exp.Block if hasattr(exp, "Block") else exp.Command):
        raise UnsupportedError(f"The statement {str(tree.this).upper()}")
    return tree


def parse_query(text: str) -> exp.Expression:
    """Parse a query (SELECT and what combines them).

    Raises:
        StatementError: It is not one.
    """
    tree = parse_statement(text)
    if not isinstance(tree, exp.Query):
        raise StatementError("A query is expected")
    return tree
