"""Cutting a plan into appends: one table, few enough bytes, and halves of halves when one is refused."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from fleet_control.ingest.arrow import MESSAGE_TABLES, dead_letters_table, ledger_table, states_table
from fleet_control.ingest.decoding import Accepted, Rejected
from fleet_control.ingest.rows import LedgerEntry, StateRow

# One append; BigQuery takes 10 MB per request and the rest of the request needs room.
MAX_APPEND_BYTES = 6 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """Items that go into one append, and how they become a table."""

    table: str
    items: Sequence[Any]
    build: Callable[[Sequence[Any]], pa.Table]

    def halves(self) -> "tuple[Part, Part]":
        """Cut in two; a message is never cut, so that its rows are durable at once or not at all."""
        middle = len(self.items) // 2
        return (
            Part(self.table, self.items[:middle], self.build),
            Part(self.table, self.items[middle:], self.build),
        )


@dataclass(frozen=True, slots=True)
class BuiltPart:
    """A part with its rows, or with the reason why its only item cannot become rows."""

    part: Part
    rows: pa.Table | None
    why: str | None = None

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return 0 if self.rows is None else self.rows.num_rows


def message_parts(messages: Sequence[Accepted]) -> list[Part]:
    """Sort messages by their table, in order of arrival."""
    by_kind: dict[type, list[Accepted]] = {}
    for message in messages:
        by_kind.setdefault(type(message.message), []).append(message)
    return [
        Part(table, by_kind[kind], build)
        for kind, (table, build) in MESSAGE_TABLES.items()
        if kind in by_kind
    ]


def states_part(states: Sequence[StateRow]) -> Part:
    """Return the part for births and wills."""
    return Part("cart_states_raw", states, states_table)


def letters_part(letters: Sequence[Rejected]) -> Part:
    """Return the part for dead letters."""
    return Part("dead_letters", [x.letter for x in letters], dead_letters_table)


def ledger_part(entries: Sequence[LedgerEntry]) -> Part:
    """Return the part for ledger entries."""
    return Part("ingest_ledger", entries, ledger_table)


def build(part: Part, max_bytes: int = MAX_APPEND_BYTES) -> Iterator[BuiltPart]:
    """Yield tables of at most max_bytes; a single message may be larger."""
    if not part.items:
        return
    try:
        rows = part.build(part.items)
    except (pa.ArrowException, ValueError, OverflowError, TypeError) as error:
        if len(part.items) == 1:
            yield BuiltPart(part, None, f"cannot become a row: {error}")
            return
    else:
        if rows.nbytes <= max_bytes or len(part.items) == 1:
            yield BuiltPart(part, rows)
            return
    for half in part.halves():
        yield from build(half, max_bytes)
