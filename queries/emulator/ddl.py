"""CREATE, DROP, ALTER and TRUNCATE."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp
from sqlglot.tokens import TokenType

from queries.dialect.columns import Placed
from queries.dialect.errors import StatementError, UnsupportedError
from queries.dialect.fields import Field, check_names
from queries.dialect.parsing import parse_statement
from queries.emulator import outcome as st
from queries.emulator.catalog import Entry
from queries.emulator.errors import DuplicateError, InvalidError, NotFoundError
from queries.emulator.options import apply_options, property_parts
from queries.emulator.outcome import Outcome, Request

if TYPE_CHECKING:
    from queries.emulator.statements import Statements

START_OF_QUERY = {TokenType.SELECT, TokenType.WITH, TokenType.L_PAREN, TokenType.FROM}


def run(runner: Statements, request: Request, tree: exp.Expression) -> Outcome:
    """Run one DDL statement.

    Raises:
        ApiError: or DialectError, when it is refused.
    """
    kind = str(tree.args.get("kind") or "").upper()
    if isinstance(tree, exp.Create) and kind == "TABLE":
        return _create_table(runner, request, tree)
    if isinstance(tree, exp.Create) and kind == "VIEW":
        return _create_view(runner, request, tree)
    if isinstance(tree, exp.Create) and kind == "SCHEMA":
        return _create_schema(runner, request, tree)
    if isinstance(tree, exp.Drop) and kind in {"TABLE", "VIEW", "SCHEMA"}:
        return _drop(runner, request, tree, kind)
    if isinstance(tree, exp.Alter) and kind == "TABLE":
        return _alter(runner, request, tree)
    raise UnsupportedError(f"The statement {type(tree).__name__.upper()} {kind}".strip())


def names_of(runner: Statements, request: Request, node: exp.Expression) -> tuple[str, str]:
    """Give dataset and table of a written name."""
    table = node.this if isinstance(node, exp.Schema) else node
    if not isinstance(table, exp.Table):
        raise StatementError("A table name is expected")
    parts = [p for part in (table.catalog, table.db, table.name) if part for p in part.split(".")]
    runner.check_project(parts[-3] if len(parts) == 3 else None)
    dataset = parts[-2] if len(parts) > 1 else request.default_dataset
    if dataset is None or len(parts) > 3:
        raise InvalidError(
            f'Table "{".".join(parts)}" must be qualified with a dataset (e.g. dataset.table).'
        )
    return dataset, parts[-1]


def _create_table(runner: Statements, request: Request, tree: exp.Create) -> Outcome:
    if tree.args.get("clone"):
        raise UnsupportedError("CREATE TABLE CLONE and COPY")
    dataset, name = names_of(runner, request, tree.this)
    options, partition, cluster = property_parts(tree)
    fields = tuple(_field(d) for d in tree.this.expressions) if isinstance(tree.this, exp.Schema) else ()
    translation = None
    kind = "CREATE_TABLE"
    if tree.expression is not None and tree.args.get("expression") is not None:
        kind = "CREATE_TABLE_AS_SELECT"
        translation = runner.translator(request).translate(tree.expression.copy())
        found = runner.fields(translation)
        fields = fields or found
    check_names(fields)
    body: dict[str, Any] = {"schema": {"fields": [f.to_api() for f in fields]}, **apply_options(options)}
    if partition is not None:
        body["timePartitioning"] = partition | body.pop("_expiration", {})
    if cluster:
        body["clustering"] = {"fields": cluster}
    if body.get("requirePartitionFilter") and partition is None:
        raise InvalidError("require_partition_filter needs a partitioned table")
    total = runner.estimate(request, translation) if translation else 0
    if request.dry_run:
        return st.Outcome(kind, fields, None, total, operation="CREATE", target=(dataset, name))
    exists = runner.catalog.has(dataset, name)
    if exists and tree.args.get("exists"):
        return st.Outcome(kind, operation="SKIP", target=(dataset, name))
    return _make(runner, request, tree, (dataset, name), body, translation, total, kind)


def _make(  # noqa: PLR0917  # the parts of one CREATE TABLE
    runner: Statements,
    request: Request,
    tree: exp.Create,
    target: tuple[str, str],
    body: dict[str, Any],
    translation: Any,
    total: int,
    kind: str,
) -> Outcome:
    rows = (
        runner.database.query(translation.sql, runner.values(request, translation))[0]
        if translation
        else None
    )
    replace = bool(tree.args.get("replace"))
    exists = runner.catalog.has(*target)
    with runner.database.write_lock:
        try:
            entry = runner.catalog.create_table(*target, body, replace=replace)
        except DuplicateError:
            if not tree.args.get("exists"):
                raise
            return st.Outcome(kind, operation="SKIP", target=target)
        if rows is not None:
            runner.append(entry, rows.rename_columns([f.name for f in entry.fields]))
    operation = "REPLACE" if replace and exists else "CREATE"
    return st.Outcome(kind, entry.fields, None, total, operation=operation, target=target)


def _field(node: exp.Expression) -> Field:
    if not isinstance(node, exp.ColumnDef):
        raise UnsupportedError(f"A table constraint ({type(node).__name__})")
    required, description = False, ""
    for constraint in node.args.get("constraints") or ():
        kind = constraint.args.get("kind")
        if isinstance(kind, exp.NotNullColumnConstraint) and not kind.args.get("allow_null"):
            required = True
        elif isinstance(kind, exp.Properties):
            description = str(apply_options(kind.expressions).get("description", ""))
        else:
            raise UnsupportedError(f"A column constraint ({type(kind).__name__})")
    if node.args.get("kind") is None:
        raise StatementError(f"Column {node.name} has no type")
    field = Placed.read(node.name, node.args["kind"], "NULLABLE", description)
    if required and field.mode == "REPEATED":
        raise StatementError(f"NOT NULL cannot be specified for the ARRAY column {node.name}")
    mode = "REQUIRED" if required else field.mode
    return Field(field.name, field.type, mode, field.fields, description)


def _create_view(runner: Statements, request: Request, tree: exp.Create) -> Outcome:
    options, partition, cluster = property_parts(tree)
    if partition is not None or cluster:
        raise UnsupportedError("A materialized view")
    if isinstance(tree.this, exp.Schema):
        raise UnsupportedError("A column list of a view")
    dataset, name = names_of(runner, request, tree.this)
    text = _query_text(request.text)
    inner = st.Request(
        text, {}, default_dataset=dataset if runner.catalog.has(dataset) else None, dry_run=True
    )
    fields = view_fields(runner, inner)
    body = {
        "schema": {"fields": [f.to_api() for f in fields]},
        "view": {"query": text, "useLegacySql": False},
        **apply_options(options),
    }
    exists = runner.catalog.has(dataset, name)
    if exists and tree.args.get("exists"):
        return st.Outcome("CREATE_VIEW", operation="SKIP", target=(dataset, name))
    if not request.dry_run:
        runner.catalog.create_table(dataset, name, body, replace=bool(tree.args.get("replace")))
    return st.Outcome(
        "CREATE_VIEW", fields, operation="REPLACE" if exists else "CREATE", target=(dataset, name)
    )


def view_fields(runner: Statements, request: Request) -> tuple[Field, ...]:
    """Tell the columns of a view's query; a partition filter is asked for when it is used, not here."""
    translator = runner.translator(request)
    translator.demand_filters = False
    return runner.fields(translator.translate(parse_statement(request.text)))


def _query_text(text: str) -> str:
    """Give the text of the query of a CREATE VIEW."""
    depth = 0
    tokens = sqlglot.tokenize(text, read="bigquery")
    for token, following in pairwise(tokens):
        depth += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
        if depth == 0 and token.token_type == TokenType.ALIAS and following.token_type in START_OF_QUERY:
            return text[following.start :].rstrip().rstrip(";")
    raise StatementError("CREATE VIEW has no query")


def _create_schema(runner: Statements, request: Request, tree: exp.Create) -> Outcome:
    name = tree.this.db or tree.this.name
    runner.check_project(tree.this.catalog or None)
    if runner.catalog.has(name):
        if not tree.args.get("exists"):
            raise DuplicateError(f"Already Exists: Dataset {runner.catalog.project}:{name}")
        return st.Outcome("CREATE_SCHEMA", operation="SKIP")
    options, _, _ = property_parts(tree)
    if not request.dry_run:
        runner.catalog.create_dataset(name, apply_options(options))
    return st.Outcome("CREATE_SCHEMA", operation="CREATE")


def _drop(runner: Statements, request: Request, tree: exp.Drop, kind: str) -> Outcome:
    node = (tree.args.get("tables") or [tree.this])[0]
    if kind == "SCHEMA":
        name = node.db or node.name
        if not (tree.args.get("exists") and not runner.catalog.has(name)) and not request.dry_run:
            runner.catalog.delete_dataset(name, contents=bool(tree.args.get("cascade")))
        return st.Outcome("DROP_SCHEMA", operation="DROP")
    dataset, name = names_of(runner, request, node)
    statement = f"DROP_{kind}"
    try:
        entry = runner.catalog.table(dataset, name)
    except NotFoundError:
        if not tree.args.get("exists"):
            raise
        return st.Outcome(statement, operation="SKIP", target=(dataset, name))
    if entry.is_view != (kind == "VIEW"):
        raise InvalidError(f"{dataset}.{name} is not a {kind.lower()}", reason="invalidQuery")
    if not request.dry_run:
        runner.catalog.delete_table(dataset, name)
    return st.Outcome(statement, operation="DROP", target=(dataset, name))


def _alter(runner: Statements, request: Request, tree: exp.Alter) -> Outcome:
    dataset, name = names_of(runner, request, tree.this)
    try:
        entry = runner.catalog.table(dataset, name)
    except NotFoundError:
        if not tree.args.get("exists"):
            raise
        return st.Outcome("ALTER_TABLE", operation="SKIP", target=(dataset, name))
    body = dict(entry.body)
    fields = list(entry.fields)
    for action in tree.args.get("actions") or ():
        if isinstance(action, exp.ColumnDef):
            _add_column(action, fields, entry)
        elif isinstance(action, exp.AlterSet):
            body |= apply_options([p for part in action.expressions for p in (part.expressions or [part])])
        else:
            raise UnsupportedError(f"ALTER TABLE {action.sql(dialect='bigquery')}")
    body["schema"] = {"fields": [f.to_api() for f in fields]}
    if not request.dry_run:
        runner.catalog.update(entry, body)
    return st.Outcome("ALTER_TABLE", operation="ALTER", target=(dataset, name))


def _add_column(action: exp.ColumnDef, fields: list[Field], entry: Entry) -> None:
    if any(f.name.lower() == action.name.lower() for f in fields):
        if action.args.get("exists"):
            return
        raise InvalidError(
            f"Column already exists: {action.name} in table {entry.dataset}.{entry.name}",
            reason="invalidQuery",
        )
    fields.append(_field(action))


def check_dml(tree: exp.Expression) -> None:
    """Refuse what BigQuery refuses in DML.

    Raises:
        StatementError: UPDATE or DELETE lack WHERE.
        UnsupportedError: A clause that BigQuery does not have.
    """
    if isinstance(tree, exp.Update | exp.Delete) and tree.args.get("where") is None:
        raise StatementError(f"{type(tree).__name__.upper()} must have a WHERE clause")
    if tree.args.get("returning") or tree.args.get("conflict") or tree.args.get("overwrite"):
        raise UnsupportedError("This clause of DML")


def truncate(runner: Statements, request: Request, tree: exp.Expression) -> Outcome:
    """TRUNCATE TABLE."""
    dataset, name = names_of(runner, request, tree.expressions[0])
    entry = runner.catalog.table(dataset, name)
    if entry.is_view:
        raise InvalidError(f"{dataset}.{name} is a view and cannot be written")
    if request.dry_run:
        return st.Outcome("TRUNCATE_TABLE", affected=0, target=(dataset, name))
    with runner.database.write_lock, runner.database.transaction() as session:
        rows = session.execute(f"DELETE FROM {entry.relation}")  # noqa: S608
    n = int(rows[0][0]) if rows else 0
    return st.Outcome("TRUNCATE_TABLE", affected=n, deleted=n, target=(dataset, name))
