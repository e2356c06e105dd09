"""The cart's durable queue: every message is here until the cloud says that it is stored.

One SQLite file per cart, WAL, `synchronous=FULL`. A message gets its sequence number in the
transaction that inserts it, so a number is never used twice and never skipped by a crash. Rules:

- only a watermark of the cloud deletes a message that was not declared lost;
- a class that is over its limits first merges adjacent telemetry windows that were never sent, then
  evicts its oldest messages; each of that is declared with a `Gap` in the same transaction;
- a window that may have reached the cloud is never merged: its counts would arrive twice.
"""

import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet_agent.config import SpoolConfig
from fleet_agent.errors import SpoolError
from fleet_agent.spool_schema import KEPT_BOOTS, open_database
from fleet_agent.spool_shrink import Limits, Shrinker
from fleet_protocol.messages import Ack, AnyMessage, Events, Gap, HeldFrom, Window, encode
from fleet_protocol.topics import DATA_CHANNELS, PREFIX

# Boots named in a birth message, newest first; the contract allows no more.
MAX_HELD_BOOTS = 64


@dataclass(frozen=True, slots=True)
class Stored:
    """One message of the spool.

    Attributes:
        row_id: Order of insertion.
        boot: Boot that wrote it.
        channel: tel, evt or upd.
        seq: Its number in boot and channel.
        payload: Encoded.
    """

    row_id: int
    boot: str
    channel: str
    seq: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Total:
    """What one boot ever put into one channel.

    Attributes:
        boot: Boot that wrote it.
        channel: tel, evt or upd.
        messages: Messages of any kind, gaps and merged windows included.
        item_events: Rows of type `item` in them.
        evicted: Messages declared lost.
        merged: Windows that were merged into others before they were sent.
    """

    boot: str
    channel: str
    messages: int
    item_events: int
    evicted: int
    merged: int


class Spool:
    """Messages that the cloud has not confirmed. Any thread may call any method.

    Args:
        path: The file; its folder is made.
        limits: What each class may hold.
        owner: `store/cart`; the file of another cart is moved aside.
        boot_id: 16 hex characters; None draws them. Each opening is a new boot.

    Attributes:
        boot_id: Of this opening.
        path: Its file.
        moved_aside: Where a damaged file was moved to, or None.

    Raises:
        SpoolError: the file cannot be opened or written.
    """

    def __init__(self, path: Path, limits: SpoolConfig, *, owner: str, boot_id: str | None = None) -> None:
        self._lock = threading.Lock()
        self.boot_id = boot_id or secrets.token_hex(8)
        self.path = path
        self._db, self.moved_aside = open_database(path, owner)
        self._shrinker = Shrinker(self._db, f"{PREFIX}/{owner}", _limits(limits), self._append)
        self._epoch = 0
        with self._transaction():
            self._begin_boot()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except BaseException as error:
                self._roll_back()
                if isinstance(error, sqlite3.Error):
                    raise SpoolError(f"spool: {error}") from error
                raise

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):  # a closed file has nothing to roll back
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._shrinker.measure()

    def _begin_boot(self) -> None:
        self._db.execute("INSERT INTO boots (boot) VALUES (?)", (self.boot_id,))
        self._db.executemany(
            "INSERT INTO totals VALUES (?, ?, 0, 0, 0, 0, 0)",
            [(self.boot_id, name) for name in DATA_CHANNELS],
        )
        stale = (
            "SELECT boot FROM boots WHERE ix <= (SELECT max(ix) FROM boots) - ?"
            " AND ix NOT IN (SELECT boot_ix FROM messages)"
        )
        self._db.execute(f"DELETE FROM totals WHERE boot IN ({stale})", (KEPT_BOOTS,))  # noqa: S608  # constants
        self._db.execute(f"DELETE FROM boots WHERE boot IN ({stale})", (KEPT_BOOTS,))  # noqa: S608  # constants

    def append(self, channel: str, build: Callable[[int], AnyMessage]) -> int:
        """Make a message durable.

        Args:
            channel: tel, evt or upd.
            build: Given the sequence number, returns the message.

        Returns:
            Its sequence number. The message is on the disk.

        Raises:
            SpoolError: it is not; nothing changed.
            ProtocolError: it does not fit on the wire; nothing changed.
        """
        with self._transaction():
            seq = self._append(self.boot_id, channel, build)
            if self._shrinker.shrink(channel):
                self._epoch += 1
        return seq

    def _append(self, boot: str, channel: str, build: Callable[[int], AnyMessage]) -> int:
        seq: int = self._scalar("SELECT next_seq FROM totals WHERE boot = ? AND channel = ?", boot, channel)
        message = build(seq)
        payload = encode(message)
        self._db.execute(
            "INSERT INTO messages (boot_ix, channel, seq, kind, label, windows, sent, size_bytes, payload)"
            " SELECT ix, ?, ?, ?, ?, ?, 0, ?, ? FROM boots WHERE boot = ?",
            (
                channel,
                seq,
                message.__struct_config__.tag,
                message.why if isinstance(message, Gap) else message.model,
                message.merged if isinstance(message, Window) else 0,
                len(payload),
                payload,
                boot,
            ),
        )
        self._db.execute(
            "UPDATE totals SET next_seq = next_seq + 1, messages = messages + 1,"
            " item_events = item_events + ? WHERE boot = ? AND channel = ?",
            (_item_events(message), boot, channel),
        )
        self._shrinker.grew(channel, len(payload))
        return seq

    def acknowledge(self, ack: Ack) -> int:
        """Delete what the cloud's watermark covers; returns how many messages that were.

        A number this cart has not given out yet is not believed.
        """
        deleted = 0
        with self._transaction():
            for mark in ack.acks:
                for channel in DATA_CHANNELS:
                    through = getattr(mark, channel)
                    if through is not None:
                        deleted += self._delete_through(mark.boot, channel, through)
        return deleted

    def _delete_through(self, boot: str, channel: str, through: int) -> int:
        known = self._scalar("SELECT next_seq FROM totals WHERE boot = ? AND channel = ?", boot, channel)
        if known is None or through >= known:
            return 0
        covered = (
            "FROM messages WHERE channel = ? AND seq <= ? AND boot_ix = (SELECT ix FROM boots WHERE boot = ?)"
        )
        values = (channel, through, boot)
        counted = "SELECT count(*), coalesce(sum(size_bytes), 0) "
        messages, size_bytes = self._db.execute(counted + covered, values).fetchone()
        self._db.execute("DELETE " + covered, values)
        self._shrinker.shrank(channel, messages, size_bytes)
        return int(messages)

    def pending(self, channel: str, *, gaps: bool, after_row: int, limit: int) -> list[Stored]:
        """Return messages in order of insertion.

        Args:
            channel: tel, evt or upd.
            gaps: Only the declarations of loss; else only everything but those.
            after_row: Only rows inserted after this one.
            limit: At most so many.
        """
        rows = self._all(
            "SELECT m.id, b.boot, m.channel, m.seq, m.payload FROM messages m"
            " JOIN boots b ON b.ix = m.boot_ix WHERE m.id > ? AND m.channel = ?"
            " AND (m.kind = 'gap') = ? ORDER BY m.id LIMIT ?",
            after_row,
            channel,
            gaps,
            limit,
        )
        return [Stored(*row) for row in rows]

    def reread(self, row_ids: Sequence[int]) -> list[Stored]:
        """Return those of the rows that are still held."""
        found: list[Stored] = []
        for row_id in row_ids:
            found += [
                Stored(*row)
                for row in self._all(
                    "SELECT m.id, b.boot, m.channel, m.seq, m.payload FROM messages m"
                    " JOIN boots b ON b.ix = m.boot_ix WHERE m.id = ?",
                    row_id,
                )
            ]
        return found

    def held_among(self, row_ids: Sequence[int]) -> set[int]:
        """Return those of the rows that are still held."""
        marks = ",".join("?" * len(row_ids))
        statement = f"SELECT id FROM messages WHERE id IN ({marks})"  # noqa: S608  # only question marks
        return {row[0] for row in self._all(statement, *row_ids)}

    def mark_sent(self, row_ids: Sequence[int]) -> None:
        """Remember, before they leave, that the cloud may have seen these: they are not merged any more."""
        with self._transaction():
            self._db.executemany("UPDATE messages SET sent = 1 WHERE id = ?", [(i,) for i in row_ids])

    def next_session(self) -> int:
        """Count one more connection to the broker and return its number; survives restarts."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO meta VALUES ('session', 1) ON CONFLICT DO UPDATE SET value = value + 1"
            )
            session: int = self._scalar("SELECT value FROM meta WHERE name = 'session'")
        return session

    def held(self) -> list[HeldFrom]:
        """Return the lowest sequence number held of each boot and channel, newest boots first.

        Of the present boot, a channel that holds nothing is listed with its next number: the rest is settled.
        """
        lowest: dict[str, dict[str, int]] = {}
        for boot, channel, seq in self._all(
            "SELECT b.boot, t.channel, coalesce(min(m.seq), t.next_seq) AS low"
            " FROM boots b JOIN totals t ON t.boot = b.boot"
            " LEFT JOIN messages m ON m.boot_ix = b.ix AND m.channel = t.channel"
            " GROUP BY b.ix, t.channel"
            " HAVING count(m.seq) > 0 OR b.ix = (SELECT max(ix) FROM boots)"
            " ORDER BY b.ix DESC"
        ):
            lowest.setdefault(boot, {})[channel] = seq
        return [HeldFrom(boot=boot, **marks) for boot, marks in list(lowest.items())[:MAX_HELD_BOOTS]]

    def totals(self) -> list[Total]:
        """Return what each boot ever enqueued, oldest boot first."""
        rows = self._all(
            "SELECT t.boot, t.channel, t.messages, t.item_events, t.evicted, t.merged"
            " FROM totals t JOIN boots b ON b.boot = t.boot ORDER BY b.ix, t.channel"
        )
        return [Total(*row) for row in rows]

    @property
    def messages(self) -> int:
        """How many messages are held."""
        return self._shrinker.messages

    @property
    def size_bytes(self) -> int:
        """Bytes of the payloads held."""
        return self._shrinker.size_bytes

    @property
    def evicted(self) -> int:
        """Messages declared lost since this spool was opened."""
        return self._shrinker.evicted

    @property
    def epoch(self) -> int:
        """Grows whenever messages were merged or evicted: what was in flight may be gone."""
        return self._epoch

    def close(self) -> None:
        """Close the file; calling twice is harmless."""
        with self._lock:
            self._db.close()

    def _all(self, statement: str, *values: object) -> list[Any]:
        with self._lock:
            try:
                return self._db.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise SpoolError(f"spool: {error}") from error

    def _scalar(self, statement: str, *values: object) -> Any:
        # Inside a transaction: the lock is held.
        row = self._db.execute(statement, values).fetchone()
        return row[0] if row else None


def _limits(config: SpoolConfig) -> dict[str, Limits]:
    return {
        "tel": Limits(config.max_tel_bytes, config.max_tel_messages),
        "evt": Limits(config.max_evt_bytes, config.max_evt_messages),
        "upd": Limits(config.max_upd_bytes, config.max_upd_messages),
    }


def _item_events(message: AnyMessage) -> int:
    return message.cols.type.count("item") if isinstance(message, Events) else 0
