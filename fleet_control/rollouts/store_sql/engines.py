"""From an address to SQLAlchemy's engine: what each kind of database is told at every connection."""

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from fleet_control.errors import StoreError

# How long a write waits for another one. Lower, and a pause fails while a stage is written; higher, and a
# database that hangs is noticed later.
BUSY_S = 10.0
# Between two tries to get SQLite's only write lock. SQLite itself sleeps up to 100 ms between two, and beside
# somebody who writes without rest a pause then waits for seconds. Lower costs processor time while waiting.
POLL_S = 0.001
# Connections that stay open when nobody needs them. No thread ever waits for one that another holds: a pause
# would wait for readers. So there are as many as threads that ask at once, 39 of the API and the service.
# Fewer kept costs connecting again under load; more are never there.
KEPT_CONNECTIONS = 40
# How long one statement of PostgreSQL may run: the claim of 100,000 carts takes seconds.
STATEMENT_S = 60.0
_POOL: dict[str, Any] = {"pool_size": KEPT_CONNECTIONS, "max_overflow": -1}
_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "sqlite": "sqlite"}
# A controller that stands still in the middle of a transaction must not hold a rollout's head: after BUSY_S
# PostgreSQL ends it. A head is changed by compare-and-set, so each statement has to see what is committed.
_POSTGRESQL_OPTIONS = (
    f"-c statement_timeout={STATEMENT_S * 1000:.0f} -c lock_timeout={BUSY_S * 1000:.0f} "
    f"-c idle_in_transaction_session_timeout={BUSY_S * 1000:.0f} "
    "-c default_transaction_isolation=read\\ committed"
)
# A server that vanished from the network is noticed after about 25 s.
_POSTGRESQL_NETWORK = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}


def read_address(address: str) -> URL:
    """Return the parts of an address.

    Raises:
        StoreError: it is none, or not one of a database that keeps anything.
    """
    expected = "expected sqlite:///FILE or postgresql://USER@HOST/NAME"
    try:
        url = make_url(address)
        url = url.set(drivername=_DRIVERS[url.drivername])
    except (ArgumentError, KeyError, ValueError):
        # What was wrong in it is not said: it could be a part of the password.
        raise StoreError(f"the address of the database cannot be read: {expected}") from None
    if url.drivername == "sqlite" and url.database in (None, "", ":memory:"):
        raise StoreError(f"a database in memory is another one for every thread: {expected}")
    return url


def shown(url: URL) -> str:
    """Return an address for people: without its password, which may also be one of its options."""
    return url.set(query={}).render_as_string(hide_password=True)


def make_engine(url: URL) -> Engine:
    """Return an engine; nothing is connected yet.

    Raises:
        StoreError: the folder of an SQLite file cannot be made.
    """
    if url.drivername == "sqlite":
        return _sqlite(url)
    options: dict[str, Any] = {**_POSTGRESQL_NETWORK, "options": _POSTGRESQL_OPTIONS}
    return create_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args=options, **_POOL)


def _sqlite(url: URL) -> Engine:
    try:
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{url.database}: {error.strerror or error}") from error
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_S}, **_POOL)
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: Any, _record: Any) -> None:
    # Python's driver would begin transactions by itself, and late: a write could then fail half-way.
    connection.isolation_level = None
    # In an empty file this needs a lock for which SQLite itself does not wait: processes may start together.
    _persist(connection, "PRAGMA journal_mode=WAL")
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _on_begin(connection: Connection) -> None:
    if connection.get_execution_options().get("reads", False):
        connection.exec_driver_sql("BEGIN")
        return
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA busy_timeout=0")
    try:
        _persist(driver, "BEGIN IMMEDIATE")
    finally:
        driver.execute(f"PRAGMA busy_timeout={BUSY_S * 1000:.0f}")


def _persist(driver: Any, statement: str) -> None:
    """Run a statement, trying again while another one writes."""
    until_s = time.monotonic() + BUSY_S
    while True:
        try:
            driver.execute(statement).close()
        except sqlite3.OperationalError as error:
            # The lower byte: the rest says what it waits for.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise StoreError(f"the database of rollouts: {error}") from error
            if time.monotonic() > until_s:
                why = f"another process has been writing for {BUSY_S:g} s"
                raise StoreError(f"the database of rollouts: {why}") from error
            time.sleep(POLL_S)
        else:
            return
