"""A real PostgreSQL for the stories, and a store of every kind."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet_control.rollouts.ports import RolloutStore
from fleet_control.rollouts.store_memory import MemoryRolloutStore
from fleet_control.rollouts.store_sql import open_store
from tests.conftest import find_tool

Opener = Callable[[], RolloutStore]


def now_ms() -> int:
    """Return a time that stands still."""
    return 1_000_000


def _unprivileged() -> dict[str, int]:
    """Return whom PostgreSQL runs as: it refuses root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid}


@pytest.fixture(scope="session")
def postgresql_address() -> Iterator[str]:
    """Return the address of a PostgreSQL server that belongs to this test run."""
    tool = find_tool("pg_ctl")
    if tool is None:
        pytest.skip("pg_ctl is missing")
    # Sockets have short names, and an unprivileged user must reach them.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    who = _unprivileged()
    if who:
        os.chown(folder, who["user"], who["group"])
    data, programs = folder / "data", Path(tool).parent
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def call(*argv: str) -> None:
        # pg_ctl's children keep its output open, so nobody may wait for that to end.
        subprocess.run(
            argv,
            check=True,
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            **who,  # type: ignore[call-overload]
        )

    call(str(programs / "initdb"), "-D", str(data), "-U", "cart", "--auth=trust", "--no-sync")
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    call(str(programs / "pg_ctl"), "-D", str(data), "-w", "-o", options, "start")
    try:
        yield f"postgresql://cart@/postgres?host={folder}"
    finally:
        call(str(programs / "pg_ctl"), "-D", str(data), "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgresql_database(postgresql_address: str, tmp_path: Path) -> str:
    """Return the address of an empty database."""
    import psycopg

    name = f"d{abs(hash(str(tmp_path))):x}"
    with psycopg.connect(postgresql_address, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
    return postgresql_address.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def sql_address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of an empty database of each kind that keeps anything."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/rollouts.db"
    address: str = request.getfixturevalue("postgresql_database")
    return address


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Return how a controller opens the database; each kind must behave the same."""
    if request.param == "memory":
        store = MemoryRolloutStore(now_ms)
        yield lambda: store
        return
    address = f"sqlite:///{tmp_path}/rollouts.db"
    if request.param == "postgresql":
        address = request.getfixturevalue("postgresql_database")
    opened = []

    def opener() -> RolloutStore:
        store = open_store(address, now_ms)
        opened.append(store)
        return store

    yield opener
    for one in opened:
        one.close()


@pytest.fixture
def store(database: Opener) -> RolloutStore:
    """Return a store of each kind."""
    return database()
