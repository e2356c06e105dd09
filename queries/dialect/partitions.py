"""The rule that a query must filter on the partition column, and what it therefore scans."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from sqlglot import exp

from queries.dialect.errors import StatementError
from queries.dialect.relations import INFO
from queries.dialect.tables import TableInfo

COMPARISONS = (exp.EQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between, exp.In, exp.Is, exp.NEQ)


@dataclasses.dataclass(frozen=True, slots=True)
class Scan:
    """One table that a statement reads.

    Attributes:
        info: The table.
        filters: Conditions on its partition column alone, as GoogleSQL trees with bare column names.
    """

    info: TableInfo
    filters: tuple[exp.Expression, ...]


def scans(tree: exp.Expression, *, demand: bool = True) -> list[Scan]:
    """List what a resolved statement reads, refusing what lacks its partition filter.

    Raises:
        StatementError: A table demands a filter on its partition column and there is none.
    """
    found = []
    for node in tree.find_all(exp.Table):
        info = node.meta.get(INFO)
        if info is None or (
            node.arg_key == "this" and isinstance(node.parent, exp.Insert | exp.Create | exp.Schema)
        ):
            continue
        filters: tuple[exp.Expression, ...] = ()
        if info.partition_column is not None:
            filters = tuple(_filters(node, info.partition_column, node.alias or node.name, tree, 0))
            if info.needs_filter and not filters and demand:
                raise StatementError(
                    f"Cannot query over table '{info.dataset}.{info.table}' without a filter over column(s) "
                    f"'{info.partition_column}' that can be used for partition elimination"
                )
        found.append(Scan(info, filters))
    return found


def _filters(
    node: exp.Expression, column: str, alias: str, tree: exp.Expression, depth: int
) -> Iterator[exp.Expression]:
    """Give the conditions on `alias.column` that hold for every row read from a relation."""
    if depth > 50:
        return
    scope = node.find_ancestor(exp.Select, exp.Merge, exp.Update, exp.Delete)
    if scope is None:
        return
    mine = [c for c in _conditions(scope, node) if _limits(c, column, alias)]
    for condition in mine:
        bare = condition.copy()
        for found in bare.find_all(exp.Column):
            found.set("table", None)
            found.set("this", exp.to_identifier(column, quoted=True))
        yield bare
    if mine or not isinstance(scope, exp.Select):
        return
    out = _passes_through(scope, column, alias)
    if out is not None:
        yield from _outer(scope, column, out, tree, depth)


def _outer(
    scope: exp.Select, column: str, out: str, tree: exp.Expression, depth: int
) -> Iterator[exp.Expression]:
    holder: exp.Expression | None = scope.parent
    while isinstance(holder, exp.SetOperation | exp.Subquery) and not _named(holder):
        holder = holder.parent
    if isinstance(holder, exp.Subquery):
        yield from _renamed(_filters(holder, out, holder.alias, tree, depth + 1), column)
    elif isinstance(holder, exp.CTE):
        every = []
        for use in tree.find_all(exp.Table):
            if use.name.lower() == holder.alias.lower() and not use.db and use.meta.get(INFO) is None:
                found = list(_filters(use, out, use.alias or use.name, tree, depth + 1))
                if not found:
                    return
                every.append(found)
        if len(every) == 1:
            yield from _renamed(iter(every[0]), column)
        elif every:
            whole = [exp.and_(*[f.copy() for f in found]) for found in every]
            yield from _renamed(iter([exp.or_(*whole)]), column)


def _named(holder: exp.Expression) -> bool:
    return isinstance(holder, exp.Subquery) and isinstance(holder.parent, exp.From | exp.Join | exp.Merge)


def _renamed(conditions: Iterator[exp.Expression], column: str) -> Iterator[exp.Expression]:
    for condition in conditions:
        for found in condition.find_all(exp.Column):
            found.set("this", exp.to_identifier(column, quoted=True))
        yield condition


def _conditions(scope: exp.Expression, node: exp.Expression) -> Iterator[exp.Expression]:
    """Give the AND-ed conditions under which a row of `node` counts in its scope."""
    where = scope.args.get("where")
    if where is not None:
        yield from _conjuncts(where.this)
    if isinstance(scope, exp.Merge):
        yield from _conjuncts(scope.args["on"])
        return
    for join in scope.args.get("joins") or ():
        on, side = join.args.get("on"), str(join.args.get("side") or "").upper()
        mine = _contains(join.this, node)
        if on is not None and (side == "" or (side == "LEFT" and mine) or (side == "RIGHT" and not mine)):
            yield from _conjuncts(on)


def _contains(holder: exp.Expression, node: exp.Expression) -> bool:
    current: exp.Expression | None = node
    while current is not None and current is not holder:
        current = current.parent
    return current is holder


def _conjuncts(node: exp.Expression) -> Iterator[exp.Expression]:
    if isinstance(node, exp.And):
        yield from _conjuncts(node.left)
        yield from _conjuncts(node.right)
    elif isinstance(node, exp.Paren):
        yield from _conjuncts(node.this)
    else:
        yield node


def _limits(condition: exp.Expression, column: str, alias: str) -> bool:
    """Tell whether a condition speaks of the column and constants only."""
    if isinstance(condition, exp.Paren):
        return _limits(condition.this, column, alias)
    if isinstance(condition, exp.Or | exp.And):
        return _limits(condition.left, column, alias) and _limits(condition.right, column, alias)
    if isinstance(condition, exp.Not):
        return _limits(condition.this, column, alias)
    if not isinstance(condition, COMPARISONS) or condition.find(exp.Query) is not None:
        return False
    found = list(condition.find_all(exp.Column))
    return bool(found) and all(
        c.name.lower() == column.lower() and c.table.lower() in {"", alias.lower()} for c in found
    )


def _passes_through(select: exp.Select, column: str, alias: str) -> str | None:
    """Name the result column that is the partition column, if a filter on it may be applied first."""
    if select.args.get("limit") or select.args.get("offset"):
        return None
    name = None
    for item in select.expressions:
        inner = item.unalias()
        if (
            isinstance(inner, exp.Column)
            and inner.name.lower() == column.lower()
            and inner.table.lower() in {"", alias.lower()}
        ):
            name = item.alias_or_name
        if isinstance(inner, exp.Star) or (
            isinstance(inner, exp.Column) and isinstance(inner.this, exp.Star)
        ):
            name = name or column
    if name is None:
        return None
    for window in select.find_all(exp.Window):
        if window.find_ancestor(exp.Select) is select and not _among(
            window.args.get("partition_by") or [], column
        ):
            return None
    group = select.args.get("group")
    if group is not None and not _among(group.expressions, column, select):
        return None
    return str(name)


def _among(keys: list[exp.Expression], column: str, select: exp.Select | None = None) -> bool:
    for key in keys:
        item = key
        if select is not None and isinstance(key, exp.Literal) and not key.is_string:
            item = select.expressions[int(key.name) - 1].unalias()
        if isinstance(item, exp.Column) and item.name.lower() == column.lower():
            return True
    return False
