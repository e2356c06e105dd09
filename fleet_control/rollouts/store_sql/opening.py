"""From an address to an open database, with its tables."""

from collections.abc import Callable

from sqlalchemy import Column, Connection, func, insert, inspect, select, text
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
    found = connection.execute(select(tables.schema.c.version)).scalar()
    if found != tables.SCHEMA_VERSION:
        raise StoreError(
            f"the database of rollouts is of version {found}, and this program knows "
            f"{tables.SCHEMA_VERSION}: update the program"
        )
    _number_from(connection, tables.outbox.c.id, now_ms)
    _number_from(connection, tables.log.c.position, now_ms)


def _number_from(connection: Connection, column: Column[int], now_ms: int) -> None:
    """Let a table count on from the time at which the database is opened.

    Carts ignore generations below the highest that they have seen, and the warehouse takes entries after its
    newest one: what a database says that was made anew, or restored from a backup, would else be ignored in
    silence for as long as the lost one had counted.
    """
    table, first = column.table.name, max(1, now_ms)
    if connection.dialect.name == "postgresql":
        sequence = func.pg_get_serial_sequence(table, column.name)
        newest = connection.execute(select(func.pg_sequence_last_value(sequence))).scalar() or 0
        if newest < first:
            connection.execute(select(func.setval(sequence, first)))
        return
    counted = "UPDATE sqlite_sequence SET seq = max(seq, :seq) WHERE name = :name"
    if not connection.execute(text(counted), {"name": table, "seq": first}).rowcount:
        begun = "INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :seq)"
        connection.execute(text(begun), {"name": table, "seq": first})
