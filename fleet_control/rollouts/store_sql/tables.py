"""The tables, and what keeps them true: unique indexes, and triggers that make logs append-only."""

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
)

# Of the layout below. A database of another version is refused, not guessed at.
SCHEMA_VERSION = 1

metadata = MetaData()
# SQLite counts rows in INTEGER columns only; AUTOINCREMENT never gives a number twice.
_Number = BigInteger().with_variant(Integer(), "sqlite")


def _of_rollout() -> ForeignKey:
    """Return what keeps rows without a rollout out."""
    return ForeignKey("rollouts.rollout_id")


schema = Table("rollout_schema", metadata, Column("version", Integer, primary_key=True))

rollouts = Table(
    "rollouts",
    metadata,
    Column("rollout_id", String(64), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("status", String(32), nullable=False),
    Column("final", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("head", Text, nullable=False),
    Index("rollouts_open", "final", "created_ms"),
)

log = Table(
    "rollout_log",
    metadata,
    Column("position", _Number, primary_key=True, autoincrement=True),
    Column("rollout_id", String(64), _of_rollout(), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("entry", Text, nullable=False),
    UniqueConstraint("rollout_id", "number"),
    sqlite_autoincrement=True,
)

carts = Table(
    "rollout_carts",
    metadata,
    Column("rollout_id", String(64), _of_rollout(), primary_key=True),
    Column("cart", String(32), primary_key=True),
    Column("store", String(32), nullable=False),
    Column("status", String(32), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("record", Text, nullable=False),
)
# One rollout per cart: whatever the code above it believes.
Index(
    "rollout_carts_active",
    carts.c.cart,
    unique=True,
    sqlite_where=carts.c.active.is_(True),
    postgresql_where=carts.c.active.is_(True),
)

gates = Table(
    "rollout_gates",
    metadata,
    Column("rollout_id", String(64), _of_rollout(), primary_key=True),
    Column("gate", String(64), primary_key=True),
    Column("state", Text, nullable=False),
)

commands = Table(
    "rollout_commands",
    metadata,
    Column("position", _Number, primary_key=True, autoincrement=True),
    Column("key", String(200), nullable=False, unique=True),
    Column("rollout_id", String(64), nullable=False, index=True),
    Column("fingerprint", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("role", String(32), nullable=False),
    Column("action", String(32), nullable=False),
    Column("reason", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    sqlite_autoincrement=True,
)

outbox = Table(
    "rollout_outbox",
    metadata,
    # The generation of a cart's orders: never given twice, also after rows are deleted.
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("rollout_id", String(64), _of_rollout(), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("effect", Text, nullable=False),
    Column("manifest", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("rollout_outbox_order", "rank", "id"),
    sqlite_autoincrement=True,
)

# The newest order of each cart that was told: what a broker may have lost.
orders = Table(
    "rollout_orders",
    metadata,
    Column("cart", String(65), primary_key=True),
    Column("id", BigInteger, nullable=False),
    Column("rollout_id", String(64), _of_rollout(), nullable=False),
    Column("effect", Text, nullable=False),
    Column("manifest", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

leases = Table(
    "rollout_leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
)

# History is append-only, whatever the code above it does. Who owns the tables can still drop triggers: where
# that matters, let them belong to another role of PostgreSQL than the controller's.
_NEVER = "BEGIN SELECT RAISE(ABORT, 'append-only'); END"
_FUNCTION = (
    "CREATE OR REPLACE FUNCTION rollout_append_only() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'append-only'; END $$"
)
# SQLite's INSERT OR REPLACE deletes without a DELETE trigger. An entry of the log that is there already is an
# error; a command that is there is left alone, as its writer asks for.
_AGAIN = {
    log: (
        "position = NEW.position OR (rollout_id = NEW.rollout_id AND number = NEW.number)",
        _NEVER,
    ),
    commands: ("position = NEW.position OR key = NEW.key", "BEGIN SELECT RAISE(IGNORE); END"),
}


def _protect(table: Table, dialect: str, kind: str, condition: str, action: str) -> None:
    name = f"{table.name}_no_{kind.lower().replace(' ', '_')}"
    statement = f"CREATE TRIGGER {name} BEFORE {kind} ON {table.name} {condition} {action}"
    ddl = DDL(statement).execute_if(dialect=dialect)  # type: ignore[no-untyped-call]
    event.listen(table, "after_create", ddl)


event.listen(
    metadata,
    "before_create",
    DDL(_FUNCTION).execute_if(dialect="postgresql"),  # type: ignore[no-untyped-call]
)
for _table, (_same, _then) in _AGAIN.items():
    for _kind in ("UPDATE", "DELETE"):
        _protect(_table, "sqlite", _kind, "", _NEVER)
    _there = f"WHEN EXISTS (SELECT 1 FROM {_table.name} WHERE {_same})"  # noqa: S608  # our own names
    _protect(_table, "sqlite", "INSERT", _there, _then)
    _call = "EXECUTE FUNCTION rollout_append_only()"
    _protect(_table, "postgresql", "UPDATE OR DELETE", "FOR EACH ROW", _call)
    _protect(_table, "postgresql", "TRUNCATE", "FOR EACH STATEMENT", _call)
