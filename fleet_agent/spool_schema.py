"""The spool's tables, and opening the file: damaged ones are moved aside, never deleted."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from fleet_agent.errors import SpoolError

# A file of another version is moved aside like a damaged one: an agent never guesses a layout.
SCHEMA_VERSION = 1

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value NOT NULL);
CREATE TABLE IF NOT EXISTS boots (ix INTEGER PRIMARY KEY AUTOINCREMENT, boot TEXT NOT NULL UNIQUE);
-- What each boot ever enqueued: the other side of "nothing lost, nothing twice". item_events counts rows.
CREATE TABLE IF NOT EXISTS totals (
    boot TEXT NOT NULL, channel TEXT NOT NULL,
    next_seq INTEGER NOT NULL, messages INTEGER NOT NULL, item_events INTEGER NOT NULL,
    evicted INTEGER NOT NULL, merged INTEGER NOT NULL,
    PRIMARY KEY (boot, channel)
);
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    boot_ix INTEGER NOT NULL, channel TEXT NOT NULL, seq INTEGER NOT NULL,
    -- label: model of a window, reason of a gap. windows: how many are merged into this one.
    kind TEXT NOT NULL, label TEXT, windows INTEGER NOT NULL, sent INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL, payload BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS messages_by_seq ON messages (channel, boot_ix, seq);
-- What is next to be sent of a class, without reading past a month of telemetry.
CREATE INDEX IF NOT EXISTS messages_in_turn ON messages (channel, (kind = 'gap'), id);
"""

# How long one thread of the agent may wait for the file while another process, such as a backup,
# reads it. Shorter fails on a slow SD card; longer hides a stuck writer.
BUSY_TIMEOUT_S = 10.0
# Totals of boots long drained are kept this many boots back, for people and tests.
KEPT_BOOTS = 1_000


def open_database(path: Path, owner: str) -> tuple[sqlite3.Connection, Path | None]:
    """Open or create the file.

    Returns:
        The connection, and where a damaged file was moved to (None when it was sound).

    Raises:
        SpoolError: the folder cannot be written, or another process holds the file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _connect(path, owner), None
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
        aside = _move_aside(path)
        return _connect(path, owner), aside
    except (OSError, sqlite3.Error) as error:
        raise SpoolError(f"{path}: {error}") from error


def _connect(path: Path, owner: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=64
    )
    try:
        # FULL: a commit is on the disk, not in a cache, when it returns.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=OFF"):
            connection.execute(f"PRAGMA {pragma}")
        _check(connection)
        connection.executescript(SCHEMA)
        _claim(connection, owner)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if version not in ((0, SCHEMA_VERSION) if not tables else (SCHEMA_VERSION,)):
        raise sqlite3.DatabaseError(f"spool layout {version} is not {SCHEMA_VERSION}")
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"malformed: {verdict}")
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _claim(connection: sqlite3.Connection, owner: str) -> None:
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('owner', ?)", (owner,))
    found = connection.execute("SELECT value FROM meta WHERE name = 'owner'").fetchone()[0]
    if found != owner:
        # Another cart's messages sent under this one's name would all be refused by the cloud.
        raise sqlite3.DatabaseError(f"spool of {found}, not of {owner}")


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    # OperationalError is a state of the world (locked, no permission, disk full), not of the file.
    return not isinstance(error, sqlite3.OperationalError)


def _move_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        companion = path.with_name(path.name + suffix)
        if companion.exists():
            companion.rename(aside.with_name(aside.name + suffix))
    return aside


def probe(path: Path) -> str:
    """Tell what is in a spool without changing it, for `check`.

    Raises:
        SpoolError: its folder cannot be written, or the file cannot be read.
    """
    folder = next((parent for parent in path.parents if parent.exists()), path.parent)
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise SpoolError(f"{folder} is not a folder that can be written")
    if not path.exists():
        return f"{path} will be made"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            held = connection.execute("SELECT count(*) FROM messages").fetchone()[0]
    except sqlite3.Error as error:
        raise SpoolError(f"{path}: {error}") from error
    return f"{path} holds {held} messages"
