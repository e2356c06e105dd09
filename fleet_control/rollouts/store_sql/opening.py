"""From an address to an open database, with its tables."""

from collections.abc import Callable

from sqlalchemy import Connection, func, insert, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from fleet_control.errors import StoreError
from fleet_control.rollouts.store_sql import tables
from fleet_control.rollouts.store_sql.engines import make_engine, read_address, shown
from fleet_control.rollouts.store_sql.store import SqlRolloutStore, reason

# Of PostgreSQL's advisory lock under which tables are made.
SCHEMA_LOCK = 0x5C4E3A


def open_store(address: str, now_ms: Callable[[], int]) -> SqlRolloutStore:
    """Open a database, and make its tables if it has none.

    Args:
        address: sqlite:///FILE or postgresql://USER@HOST/NAME; a password may also come from PGPASSWORD.
        now_ms: The time, epoch milliseconds: of leases on SQLite; PostgreSQL has its own clock.

    Raises:
        StoreError: it cannot be opened, or its tables are of another version or another program.
    """
    url = read_address(address)
    engine = make_engine(url)
    try:
        with engine.begin() as connection:
            _prepare(connection, now_ms())
    except SQLAlchemyError as error:
        engine.dispose()
        raise StoreError(f"{shown(url)}: {reason(error)}") from error
    except StoreError as error:
        engine.dispose()
        raise StoreError(f"{shown(url)}: {error}") from error
    return SqlRolloutStore(engine, now_ms)


def _prepare(connection: Connection, now_ms: int) -> None:
    if connection.dialect.name == "postgresql":
        # Of two controllers that start at once on an empty database, one makes the tables.
        connection.execute(select(func.pg_advisory_xact_lock(SCHEMA_LOCK)))
    names = set(inspect(connection).get_table_names())
    if tables.schema.name not in names:
        if strange := sorted(names & set(tables.metadata.tables)):
            raise StoreError(f"tables of another program are in the way: {', '.join(strange)}")
        tables.metadata.create_all(connection)
        connection.execute(insert(tables.schema).values(version=tables.SCHEMA_VERSION))
        _number_from(connection, max(1, now_ms))
        return
    found = connection.execute(select(tables.schema.c.version)).scalar()
    if found != tables.SCHEMA_VERSION:
        raise StoreError(
            f"the database of rollouts is of version {found}, and this program knows "
            f"{tables.SCHEMA_VERSION}: update the program"
        )


def _number_from(connection: Connection, first: int) -> None:
    """Let the outbox count from the time at which the database is made.

    Carts ignore generations below the highest that they have seen: orders of a new database in place of one
    that was lost would else be ignored in silence, for as long as the lost one had told them.
    """
    name = tables.outbox.name
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.setval(func.pg_get_serial_sequence(name, "id"), first)))
    else:
        connection.execute(
            text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :seq)"), {"name": name, "seq": first}
        )
