"""From an address to an open database, with its tables."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, insert, inspect, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from fleet_control.errors import StoreError
from fleet_control.rollouts.store_sql import tables
from fleet_control.rollouts.store_sql.store import SqlRolloutStore, reason

# How long a write waits for another one. Lower, and a pause fails while a stage is written; higher, and a
# database that hangs is noticed later.
BUSY_S = 10.0
# Of PostgreSQL's advisory lock under which tables are made.
SCHEMA_LOCK = 0x5C4E3A
_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "sqlite": "sqlite"}


def open_store(address: str, now_ms: Callable[[], int]) -> SqlRolloutStore:
    """Open a database, and make its tables if it has none.

    Args:
        address: sqlite:///FILE or postgresql://USER@HOST/NAME; a password may also come from PGPASSWORD.
        now_ms: The time, epoch milliseconds: of leases on SQLite; PostgreSQL has its own clock.

    Raises:
        StoreError: it cannot be opened, or its tables are of another version.
    """
    url = _url(address)
    engine = _engine(url)
    try:
        with engine.begin() as connection:
            _prepare(connection)
    except SQLAlchemyError as error:
        engine.dispose()
        raise StoreError(f"{url.render_as_string(hide_password=True)}: {reason(error)}") from error
    except StoreError:
        engine.dispose()
        raise
    return SqlRolloutStore(engine, now_ms)


def _url(address: str) -> URL:
    try:
        url = make_url(address)
        url = url.set(drivername=_DRIVERS[url.drivername])
    except (ArgumentError, KeyError, ValueError) as error:
        msg = "expected sqlite:///FILE or postgresql://USER@HOST/NAME"
        raise StoreError(f"the address of the database cannot be read: {msg}") from error
    if url.drivername == "sqlite" and url.database not in (None, "", ":memory:"):
        try:
            Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{url.database}: {error.strerror or error}") from error
    return url


def _engine(url: URL) -> Engine:
    if url.drivername != "sqlite":
        options = {"connect_timeout": 10, "options": "-c statement_timeout=60000"}
        return create_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args=options)
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_S})
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: Any, _record: Any) -> None:
    # Python's driver would begin transactions by itself, and late: a write could then fail half-way.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    reads = connection.get_execution_options().get("reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _prepare(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        # Of two controllers that start at once on an empty database, one makes the tables.
        connection.execute(select(func.pg_advisory_xact_lock(SCHEMA_LOCK)))
    if not inspect(connection).has_table(tables.schema.name):
        tables.metadata.create_all(connection)
        connection.execute(insert(tables.schema).values(version=tables.SCHEMA_VERSION))
        return
    found = connection.execute(select(tables.schema.c.version)).scalar()
    if found != tables.SCHEMA_VERSION:
        raise StoreError(
            f"the database of rollouts is of version {found}, and this program knows "
            f"{tables.SCHEMA_VERSION}: update the program"
        )
