"""The walk that turns a GoogleSQL tree into one that DuckDB answers the same way.

Children first: when a handler sees a node, what is below it is already DuckDB's. Functions whose meaning
depends on the type of an argument ask `Rewriter.kind`, which lets DuckDB itself bind the argument in the
scope it stands in; nothing is guessed. A function that nobody has checked is refused by name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from sqlglot import exp

from queries.dialect.errors import DialectError, StatementError, UnsupportedError

Describe = Callable[[str], list[tuple[str, str]]]  # text -> (column, DuckDB type) of its result
Handler = Callable[["Rewriter", exp.Expression], exp.Expression]

FIRST = (
    "with_",
    "with",
    "from_",
    "from",
    "using",
    "joins",
    "laterals",
    "where",
    "expressions",
    "this",
    "group",
    "having",
    "qualify",
)
INT_TYPES = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UBIGINT", "UINTEGER"}
KINDS = {
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ",
    "DOUBLE": "DOUBLE",
    "FLOAT": "DOUBLE",
    "VARCHAR": "VARCHAR",
    "BOOLEAN": "BOOLEAN",
    "DATE": "DATE",
    "TIME": "TIME",
    "TIMESTAMP": "TIMESTAMP",
    "BLOB": "BLOB",
    "JSON": "JSON",
    "INTERVAL": "INTERVAL",
    '"NULL"': "NULL",
    "NULL": "NULL",
}


def call(name: str, *args: exp.Expression | str | int) -> exp.Anonymous:
    """Build a DuckDB function call; plain strings and ints become literals."""
    return exp.Anonymous(this=name, expressions=[literal(a) for a in args])


def literal(value: exp.Expression | str | int) -> exp.Expression:
    """Build a literal, or pass an expression through."""
    if isinstance(value, exp.Expression):
        return value
    if isinstance(value, int):
        return exp.Literal.number(value)
    return exp.Literal.string(value)


def cast(node: exp.Expression, kind: str) -> exp.Expression:
    """Build CAST(node AS kind), kind written as DuckDB writes it."""
    return exp.Cast(this=node, to=exp.DataType.build(kind, dialect="duckdb"))


def kind_of(name: str) -> str:
    """Shorten the name of a DuckDB type to the families the handlers know."""
    upper = name.upper()
    if upper in INT_TYPES:
        return "INT"
    if name.endswith("]"):
        return "LIST"
    if upper.startswith("STRUCT"):
        return "STRUCT"
    if upper.startswith("DECIMAL"):
        return "DECIMAL"
    return KINDS.get(upper, upper)


class Rewriter:
    """Rewrites one statement.

    Attributes:
        has_decimals: Some column, parameter or cast of the statement is NUMERIC.
        has_dates: Some column, parameter or function of the statement is a DATE.
    """

    def __init__(
        self,
        handlers: Mapping[type[exp.Expression], Handler],
        passing: frozenset[str],
        describe: Describe,
        *,
        has_decimals: bool,
        has_dates: bool,
    ) -> None:
        self._handlers = handlers
        self._passing = passing
        self._describe = describe
        self.has_decimals = has_decimals
        self.has_dates = has_dates

    def rewrite(self, node: exp.Expression) -> exp.Expression:
        """Rewrite a node and everything below it, in place; give what stands there now."""
        for child in list(_children(node)):
            self.rewrite(child)
        handler = self._handlers.get(type(node))
        if handler is not None:
            new = handler(self, node)
            if new is not node:
                _put(node, new)
            return new
        if isinstance(node, exp.Func) and type(node).__name__ not in self._passing:
            raise UnsupportedError(f"The function {function_name(node)}")
        return node

    def kind(self, node: exp.Expression) -> str:
        """Tell the family of types of an already rewritten expression."""
        return kind_of(self.type_of(node))

    def type_of(self, node: exp.Expression) -> str:
        """Tell the DuckDB type of an already rewritten expression, by binding it where it stands."""
        if isinstance(node, exp.Paren):
            return self.type_of(node.this)
        if isinstance(node, exp.Cast) and not node.meta.get("raw"):
            return (
                str(node.to.sql(dialect="duckdb"))
                .replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE")
                .replace("TEXT", "VARCHAR")
            )
        if isinstance(node, exp.Literal):
            return "VARCHAR" if node.is_string else "BIGINT"
        first: DialectError | None = None
        for probe in _probes(node):
            try:
                return self._describe(probe)[0][1]
            except DialectError as error:
                first = first or error
        raise first or UnsupportedError("An expression whose type cannot be told")

    def struct_fields(self, array: exp.Expression) -> list[str]:
        """Name the fields of the elements of an array of STRUCTs."""
        for probe in _probes(call("unnest", exp.Bracket(this=array.copy(), expressions=[literal(1)])), array):
            with contextlib.suppress(DialectError):
                return [name for name, _ in self._describe(probe)]
        return []

    def binds_elsewhere(self, column: exp.Expression, place: exp.Expression) -> bool:
        """Tell whether a column can be read from the relations before `place`."""
        for probe in _probes(column.copy(), place):
            with contextlib.suppress(DialectError):
                self._describe(probe)
                return True
        return False


def function_name(node: exp.Expression) -> str:
    """Name a function as the user knows it."""
    if isinstance(node, exp.Anonymous):
        return str(node.this).upper()
    return str(node.sql_name()) if isinstance(node, exp.Func) else type(node).__name__.upper()


def _put(node: exp.Expression, new: exp.Expression) -> None:
    """Put `new` where `node` stands; `new` may contain `node`."""
    parent, key, index = node.parent, node.arg_key, node.index
    if parent is None or key is None:
        return
    if index is None:
        parent.set(key, new)
    else:
        parent.args[key][index] = new
        new.parent, new.arg_key, new.index = parent, key, index


def _children(node: exp.Expression) -> Iterator[exp.Expression]:
    keys = [k for k in FIRST if k in node.args] + [k for k in node.args if k not in FIRST]
    for key in keys:
        value = node.args[key]
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, exp.Expression):
                yield item


def _probes(shown: exp.Expression, node: exp.Expression | None = None) -> Iterator[str]:
    """Give statements that select `shown` where `node` stands: in its own scope, then with the outer ones."""
    node = node or shown
    scopes: list[exp.Expression] = []
    ctes: list[str] = []
    current: exp.Expression | None = node
    while (parent := current.parent if current is not None else None) is not None:
        if isinstance(parent, exp.Select | exp.Merge | exp.Update | exp.Delete):
            scopes.append(parent)
        with_ = parent.args.get("with_") or parent.args.get("with")
        if with_ is not None and current is not with_:
            ctes = [c.sql(dialect="duckdb") for c in with_.expressions] + ctes
        if isinstance(parent, exp.With):
            before = parent.expressions[: next(i for i, c in enumerate(parent.expressions) if c is current)]
            ctes = [c.sql(dialect="duckdb") for c in before] + ctes
        current = parent
    prefix = f"WITH {', '.join(ctes)} " if ctes else ""
    inner = _replace_aliases(shown, node, scopes[0] if scopes else None)
    grouped = _grouping(inner, scopes[0]) if scopes else ""
    text = inner.sql(dialect="duckdb")
    for depth in range(1, max(len(scopes), 1) + 1):
        sources = [s for scope in reversed(scopes[:depth]) for s in _sources(scope, node)]
        yield (
            f"{prefix}SELECT {text}"  # noqa: S608
            + (f" FROM {' '.join(sources)[1:].strip()}" if sources else "")
            + grouped
        )


def _grouping(inner: exp.Expression, scope: exp.Expression) -> str:
    group = scope.args.get("group")
    if not isinstance(scope, exp.Select) or group is None or inner.find(exp.AggFunc) is None:
        return ""
    keys = []
    for key in group.expressions:
        if isinstance(key, exp.Literal) and not key.is_string:
            key = scope.expressions[int(key.name) - 1].unalias()  # noqa: PLW2901
        keys.append(key.sql(dialect="duckdb"))
    return f" GROUP BY {', '.join(keys)}" if keys else " " + group.sql(dialect="duckdb").strip()


def _sources(scope: exp.Expression, node: exp.Expression) -> Iterator[str]:
    """Give the FROM items of a scope as DuckDB text, each beginning with a comma or a JOIN."""
    from_ = scope.args.get("from_") or scope.args.get("from")
    if from_ is not None and isinstance(scope, exp.Select | exp.Update):
        if _inside(node, from_):
            return
        yield ", " + from_.this.sql(dialect="duckdb")
    if isinstance(scope, exp.Merge | exp.Update | exp.Delete):
        yield ", " + scope.this.sql(dialect="duckdb")
    if isinstance(scope, exp.Merge) and not _inside(node, scope.args["using"]):
        yield ", " + scope.args["using"].sql(dialect="duckdb")
    for join in scope.args.get("joins") or ():
        if _inside(node, join.this):
            return
        if join.args.get("using"):
            yield " " + join.sql(dialect="duckdb").strip()
        else:
            yield ", " + join.this.sql(dialect="duckdb")
        if _inside(node, join):
            return


def _inside(node: exp.Expression, holder: exp.Expression) -> bool:
    current: exp.Expression | None = node
    while current is not None:
        if current is holder:
            return True
        current = current.parent
    return False


def _replace_aliases(
    shown: exp.Expression, node: exp.Expression, scope: exp.Expression | None
) -> exp.Expression:
    """Copy an expression, with the aliases of its SELECT list spelled out."""
    copy = shown.copy()
    if not isinstance(scope, exp.Select) or any(_inside(node, e) for e in scope.expressions):
        return copy
    holder = exp.Paren(this=copy)
    aliases = {e.alias.lower(): e.this for e in scope.expressions if isinstance(e, exp.Alias)}
    for column in list(holder.find_all(exp.Column)):
        if not column.table and column.name.lower() in aliases:
            column.replace(exp.Paren(this=aliases[column.name.lower()].copy()))
    return holder.this


def text_of(node: exp.Expression | None, what: str) -> str:
    """Give the text of a string literal.

    Raises:
        UnsupportedError: It is not a literal.
    """
    if not isinstance(node, exp.RawString) and not (isinstance(node, exp.Literal) and node.is_string):
        raise UnsupportedError(f"{what} that is not a literal")
    return str(node.this)


def number_of(node: exp.Expression | None, what: str) -> int:
    """Give the value of an integer literal.

    Raises:
        StatementError: It is not one.
    """
    if not isinstance(node, exp.Literal) or node.is_string:
        raise StatementError(f"{what} must be an integer literal")
    return int(node.this)
