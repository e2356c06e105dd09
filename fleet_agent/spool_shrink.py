"""Making room in the spool: merge windows that were never sent, then evict the oldest messages.

Called inside a transaction of the spool. Both end in a `Gap` that declares the numbers which will
never be sent; a gap that is itself evicted lives on in the new one's range.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from fleet_protocol.merge import merge_windows
from fleet_protocol.messages import AnyMessage, Gap, Window, decode_message

# Windows merged into one span at most this many of the configured ones: an hour of minutes. More
# would smear a day into one row; fewer frees too little.
MERGE_WINDOWS = 60
# Fewer than this are not worth merging: each merge costs a gap message of about 150 bytes.
MIN_MERGED = 10
# After an eviction the class is this much below its limit, so that not every message evicts one.
ROOM_SHARE = 0.05

Append = Callable[[str, str, Callable[[int], AnyMessage]], int]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one class may hold."""

    max_bytes: int
    max_messages: int


@dataclass(slots=True)
class _Usage:
    size_bytes: int = 0
    messages: int = 0

    def over(self, limits: Limits, share: float = 1.0) -> bool:
        return self.size_bytes > limits.max_bytes * share or self.messages > limits.max_messages * share


@dataclass(frozen=True, slots=True)
class _Row:
    row_id: int
    boot_ix: int
    boot: str
    seq: int
    kind: str
    label: str | None
    windows: int
    sent: bool
    size_bytes: int


class Shrinker:
    """Keeps each class of the spool within its limits.

    Args:
        db: The spool's connection; the caller holds its lock and a transaction.
        topic_prefix: Of the cart's topics.
        limits: Per channel.
        append: Inserts a message of a boot into a channel.
    """

    def __init__(
        self, db: sqlite3.Connection, topic_prefix: str, limits: dict[str, Limits], append: Append
    ) -> None:
        self._db = db
        self._topic_prefix = topic_prefix
        self._limits = limits
        self._append = append
        self.evicted = 0
        self._usage: dict[str, _Usage] = {}
        self.measure()

    def measure(self) -> None:
        """Read what each class holds from the file."""
        usage = {channel: _Usage() for channel in self._limits}
        for channel, size_bytes, messages in self._db.execute(
            "SELECT channel, sum(size_bytes), count(*) FROM messages GROUP BY channel"
        ):
            usage[channel] = _Usage(size_bytes, messages)
        # Other threads read without a lock: they see the old figures or the new ones.
        self._usage = usage

    @property
    def messages(self) -> int:
        """Messages held."""
        return sum(usage.messages for usage in self._usage.values())

    @property
    def size_bytes(self) -> int:
        """Bytes of payloads held."""
        return sum(usage.size_bytes for usage in self._usage.values())

    def grew(self, channel: str, size_bytes: int) -> None:
        """Count a message that was just inserted."""
        self._usage[channel].size_bytes += size_bytes
        self._usage[channel].messages += 1

    def shrank(self, channel: str, messages: int, size_bytes: int) -> None:
        """Count messages that were just deleted."""
        self._usage[channel].messages -= messages
        self._usage[channel].size_bytes -= size_bytes

    def shrink(self, channel: str) -> bool:
        """Bring a class within its limits; True when anything was merged or evicted."""
        limits = self._limits[channel]
        changed = False
        while self._usage[channel].over(limits):
            changed = True
            if not (channel == "tel" and self._merge_oldest()):
                self._evict_oldest(channel)
                break
        return changed

    def _rows(self, channel: str) -> list[_Row]:
        return [
            _Row(*row)
            for row in self._db.execute(
                "SELECT m.id, m.boot_ix, b.boot, m.seq, m.kind, m.label, m.windows, m.sent, m.size_bytes"
                " FROM messages m JOIN boots b ON b.ix = m.boot_ix WHERE m.channel = ?"
                " ORDER BY m.boot_ix, m.seq",
                (channel,),
            )
        ]

    def _merge_oldest(self) -> bool:
        run = first_run(self._rows("tel"))
        if not run:
            return False
        windows = [self._window(row) for row in run]
        self._delete("tel", run)
        boot = run[0].boot
        self._append(boot, "tel", lambda seq: merge_windows(windows, seq))
        self._declare("tel", run, windows[-1], why="merged", n=len(run), first=run[0].seq)
        self._count("tel", boot, "merged", len(run))
        return True

    def _evict_oldest(self, channel: str) -> None:
        rows = self._rows(channel)
        # What was appended last stays: an event is never evicted by its own arrival.
        doomed: list[_Row] = []
        usage, limits = self._usage[channel], self._limits[channel]
        left = _Usage(usage.size_bytes, usage.messages)
        for row in rows[:-1]:
            if not left.over(limits, 1.0 - ROOM_SHARE):
                break
            doomed.append(row)
            left = _Usage(left.size_bytes - row.size_bytes, left.messages - 1)
        for boot in dict.fromkeys(row.boot for row in doomed):
            self._evict(channel, [row for row in doomed if row.boot == boot])

    def _evict(self, channel: str, run: list[_Row]) -> None:
        gaps = [cast("Gap", self._message(channel, row)) for row in run if row.kind == "gap"]
        like = self._message(channel, run[-1])
        fresh = len(run) - len(gaps)
        lost = fresh + sum(gap.n for gap in gaps if gap.why == "evicted")
        self._delete(channel, run)
        first = min([run[0].seq, *(gap.first for gap in gaps)])
        self._declare(channel, run, like, why="evicted", n=lost, first=first)
        self.evicted += fresh
        self._count(channel, run[0].boot, "evicted", fresh)

    def _count(self, channel: str, boot: str, column: str, n: int) -> None:
        statement = {
            "evicted": "UPDATE totals SET evicted = evicted + ? WHERE boot = ? AND channel = ?",
            "merged": "UPDATE totals SET merged = merged + ? WHERE boot = ? AND channel = ?",
        }[column]
        self._db.execute(statement, (n, boot, channel))

    def _declare(
        self, channel: str, run: list[_Row], like: AnyMessage, *, why: str, n: int, first: int
    ) -> None:
        boot, last = run[0].boot, run[-1].seq
        self._append(
            boot,
            channel,
            lambda seq: Gap(
                store=like.store,
                cart=like.cart,
                boot=boot,
                seq=seq,
                fw=like.fw,
                sim=like.sim,
                t0=getattr(like, "t0", None),
                first=first,
                last=last,
                n=n,
                why=why,
            ),
        )

    def _delete(self, channel: str, run: list[_Row]) -> None:
        self._db.executemany("DELETE FROM messages WHERE id = ?", [(row.row_id,) for row in run])
        self.shrank(channel, len(run), sum(row.size_bytes for row in run))

    def _message(self, channel: str, row: _Row) -> AnyMessage:
        payload = self._db.execute("SELECT payload FROM messages WHERE id = ?", (row.row_id,)).fetchone()[0]
        return decode_message(f"{self._topic_prefix}/{channel}", payload).message

    def _window(self, row: _Row) -> Window:
        return cast("Window", self._message("tel", row))


def first_run(rows: list[_Row]) -> list[_Row]:
    """Find the oldest windows that may be merged: neighbours of one boot and model, never sent."""
    run: list[_Row] = []
    for row in rows:
        if run and not _joins(run, row):
            if len(run) >= MIN_MERGED:
                return run
            run = []
        if row.kind == "window" and not row.sent and row.windows < MERGE_WINDOWS:
            run.append(row)
    return run if len(run) >= MIN_MERGED else []


def _joins(run: list[_Row], row: _Row) -> bool:
    last = run[-1]
    return (
        row.kind == "window"
        and not row.sent
        and (row.boot, row.label) == (last.boot, last.label)
        and sum(r.windows for r in run) + row.windows <= MERGE_WINDOWS
    )
