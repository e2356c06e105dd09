"""Names of tables and columns: resolves tables, puts views in place, gives results BigQuery's names."""

from __future__ import annotations

from sqlglot import exp

from queries.dialect.errors import StatementError, UnsupportedError
from queries.dialect.parsing import parse_query
from queries.dialect.rewriting import Rewriter, literal
from queries.dialect.tables import Lookup, TableInfo

MAX_VIEW_DEPTH = 16  # BigQuery's own limit of views on views
INFO = "table_info"


def resolve(tree: exp.Expression, lookup: Lookup, depth: int = 0) -> list[TableInfo]:
    """Replace every table name by where its rows are stored, and every view by its query.

    Returns:
        The stored tables that the statement reads or writes.
    """
    if depth > MAX_VIEW_DEPTH:
        raise StatementError(f"Views are nested deeper than {MAX_VIEW_DEPTH} levels")
    used: list[TableInfo] = []
    for node in list(tree.find_all(exp.Table)):
        if node.meta.get(INFO) is not None or _is_cte(node):
            continue
        if isinstance(node.this, exp.Func):
            raise UnsupportedError(f"The table function {node.this.sql(dialect='bigquery')}")
        for key in ("sample", "version", "when", "changes", "rows_from", "ordinality"):
            if node.args.get(key):
                raise UnsupportedError(f"{key.upper()} of a table")
        used += _resolve_one(node, lookup, depth)
    return used


def _resolve_one(node: exp.Table, lookup: Lookup, depth: int) -> list[TableInfo]:
    parts = [p for part in (node.catalog, node.db, node.name) if part for p in part.split(".")]
    if parts[-1].endswith("*"):
        raise UnsupportedError("A wildcard table")
    if "INFORMATION_SCHEMA" in [p.upper() for p in parts[:-1]]:
        at = [p.upper() for p in parts].index("INFORMATION_SCHEMA")
        parts = [*parts[:at], "INFORMATION_SCHEMA." + ".".join(parts[at + 1 :])]
    if len(parts) > 3:
        raise StatementError(f"Invalid table name: {'.'.join(parts)}")
    padded = [None] * (3 - len(parts)) + parts
    info = lookup(padded[0], padded[1], str(padded[2]))
    if node.alias and node.alias.upper() != ".".join(parts).upper():
        alias = node.alias
    else:
        alias = info.table.rsplit(".", 1)[-1]
    if info.view is not None:
        return _inline(node, info, alias, lookup, depth)
    node.set("this", exp.to_identifier(info.relation, quoted=True))
    node.set("db", exp.to_identifier(info.schema, quoted=True))
    node.set("catalog", None)
    node.meta[INFO] = info
    if info.where_dataset is not None:
        test = exp.EQ(this=exp.column("table_schema"), expression=literal(info.where_dataset))
        inner = exp.Select(expressions=[exp.Star()]).from_(node.copy()).where(test)
        node.replace(
            exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
        )
    else:
        node.set("alias", exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
    return [info]


def _inline(node: exp.Table, info: TableInfo, alias: str, lookup: Lookup, depth: int) -> list[TableInfo]:
    if isinstance(node.parent, exp.Insert | exp.Update | exp.Delete | exp.Merge) and node.arg_key == "this":
        raise StatementError(f"{info.dataset}.{info.table} is a view and cannot be written")
    body = parse_query(info.view or "")

    def inside(project: str | None, dataset: str | None, table: str) -> TableInfo:
        return lookup(project, dataset or info.dataset, table)

    used = resolve(body, inside, depth + 1)
    name_results(body)
    for select in body.find_all(exp.Select):
        expand_group_aliases(select)
    subquery = exp.Subquery(this=body, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
    for key in ("joins", "pivots"):
        if node.args.get(key):
            subquery.set(key, node.args[key])
    node.replace(subquery)
    return used


def _is_cte(node: exp.Table) -> bool:
    if node.db or node.catalog:
        return False
    current: exp.Expression | None = node
    while current is not None:
        with_ = current.args.get("with_") or current.args.get("with")
        if with_ is not None:
            names = [c.alias.lower() for c in with_.expressions]
            if not with_.args.get("recursive"):
                mine = next((i for i, c in enumerate(with_.expressions) if _under(node, c)), len(names))
                names = names[:mine]
            if node.name.lower() in names:
                return True
        current = current.parent
    return False


def _under(node: exp.Expression, holder: exp.Expression) -> bool:
    current: exp.Expression | None = node
    while current is not None and current is not holder:
        current = current.parent
    return current is holder


def name_results(tree: exp.Expression) -> None:
    """Name the columns without a name f0_, f1_, ... as BigQuery does."""
    while isinstance(tree, exp.SetOperation | exp.Subquery):
        tree = tree.this
    if not isinstance(tree, exp.Select):
        return
    unnamed = 0
    for position, item in enumerate(list(tree.expressions)):
        if isinstance(item, exp.Alias | exp.Star | exp.Column):
            continue
        name = (
            item.name
            if isinstance(item, exp.Dot) and isinstance(item.expression, exp.Identifier)
            else f"f{unnamed}_"
        )
        alias = exp.Alias(this=item.copy(), alias=exp.to_identifier(name, quoted=True))
        unnamed += name == f"f{unnamed}_"
        tree.expressions[position] = alias
        alias.parent, alias.arg_key, alias.index = tree, "expressions", position


def expand_group_aliases(select: exp.Select) -> None:
    """In GROUP BY a name means the result column of that name first; DuckDB means the table's."""
    group = select.args.get("group")
    if group is None:
        return
    names = {
        item.alias.lower(): position
        for position, item in enumerate(select.expressions, 1)
        if isinstance(item, exp.Alias)
        and not (isinstance(item.this, exp.Column) and item.this.name.lower() == item.alias.lower())
    }
    if any(item.is_star for item in select.expressions):
        return
    for item in list(group.expressions):
        if isinstance(item, exp.Column) and not item.table and item.name.lower() in names:
            item.replace(literal(names[item.name.lower()]))


def unnest(rw: Rewriter, node: exp.Expression) -> exp.Expression:
    """UNNEST in FROM: offsets count from 0, elements that are STRUCTs show their fields."""
    if not isinstance(node.parent, exp.From | exp.Join):
        return node
    if len(node.expressions) != 1:
        raise UnsupportedError("UNNEST of several arrays")
    select = node.find_ancestor(exp.Select)
    if select is None:
        raise UnsupportedError("UNNEST outside a SELECT")
    array, offset = node.expressions[0], node.args.get("offset")
    kind = rw.type_of(array)
    if not kind.endswith("]"):
        raise StatementError(
            f"Values referenced in UNNEST must be arrays. UNNEST contains expression of type {kind}"
        )
    alias_node = node.args.get("alias")
    columns = alias_node.columns if alias_node is not None else []
    alias = columns[0].name if columns else (alias_node.name if alias_node is not None else "")
    offset_name = (offset.name if isinstance(offset, exp.Identifier) else "offset") if offset else ""
    struct = kind.upper().startswith("STRUCT")
    if any(item.is_star and isinstance(item, exp.Star) for item in select.expressions) and (
        struct or offset_name
    ):
        return _spread(array, alias, offset_name, struct=struct)
    name = alias or f"_u{abs(hash(array.sql())) % 10**8}"
    if struct:
        _qualify_fields(rw, select, array, name)
    if offset_name:
        _count_from_zero(select, offset_name)
        node.set("offset", exp.to_identifier(offset_name))
    node.set("alias", exp.TableAlias(columns=[exp.to_identifier(name)]))
    return node


def _spread(array: exp.Expression, alias: str, offset: str, *, struct: bool) -> exp.Expression:
    """Build the form whose * gives the fields (and the offset)."""
    items: list[exp.Expression] = []
    value = exp.column("e", table="u")
    items.append(
        exp.Anonymous(this="unnest", expressions=[value])
        if struct
        else exp.alias_(value, alias or "f0_", quoted=True)
    )
    inner = exp.Unnest(
        expressions=[array.copy()],
        alias=exp.TableAlias(this=exp.to_identifier("u"), columns=[exp.to_identifier("e")]),
    )
    if offset:
        inner.set("offset", exp.to_identifier("o"))
        inner.set("alias", exp.TableAlias(columns=[exp.to_identifier("e")]))
        items = [
            exp.Anonymous(this="unnest", expressions=[exp.column("e")])
            if struct
            else exp.alias_(exp.column("e"), alias or "f0_", quoted=True)
        ]
        items.append(exp.alias_(exp.Sub(this=exp.column("o"), expression=literal(1)), offset, quoted=True))
    body = exp.Select(expressions=items)
    body.set("from_", exp.From(this=inner))
    return exp.Subquery(
        this=body, alias=exp.TableAlias(this=exp.to_identifier(alias or "_spread", quoted=True))
    )


def _qualify_fields(rw: Rewriter, select: exp.Select, array: exp.Expression, name: str) -> None:
    """Let a bare field name of the elements mean alias.field."""
    fields = {f.lower() for f in rw.struct_fields(array)}
    for column in list(select.find_all(exp.Column)):
        if column.table or column.name.lower() not in fields or _under(column, array):
            continue
        if column.find_ancestor(exp.Select) is not select or rw.binds_elsewhere(column, select):
            continue
        column.set("table", exp.to_identifier(name))


def _count_from_zero(select: exp.Select, offset: str) -> None:
    for column in list(select.find_all(exp.Column)):
        if column.table or column.name.lower() != offset.lower():
            continue
        lowered: exp.Expression = exp.Paren(this=exp.Sub(this=column.copy(), expression=literal(1)))
        if column.parent is select and column.arg_key == "expressions":
            lowered = exp.alias_(lowered, column.name)
        column.replace(lowered)
