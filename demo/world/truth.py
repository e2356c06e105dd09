"""What really happened, beside what the carts said: for tests and for measuring the demo.

Never sent anywhere. One SQLite file, written by the process of each store and by the history writer.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path

# Several processes write a row a second each: they wait for one another at most this long.
BUSY_TIMEOUT_S = 20.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS truth (
  truth_id TEXT PRIMARY KEY,
  store_id TEXT NOT NULL,
  cart_id TEXT NOT NULL,
  session_id TEXT,
  at_ms INTEGER NOT NULL,
  item_id TEXT,
  quantity INTEGER NOT NULL,
  direction TEXT NOT NULL,
  faults TEXT NOT NULL,
  source TEXT NOT NULL,
  event_id TEXT,
  said_item_id TEXT,
  said_quantity INTEGER,
  said_direction TEXT,
  outcome TEXT,
  labels TEXT NOT NULL,
  simulated INTEGER NOT NULL
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthRow:
    """One movement of items, or one event without any.

    Attributes:
        truth_id: Unique; the same again replaces the row.
        store_id: Store.
        cart_id: Cart.
        session_id: Shopping trip.
        at_ms: When it happened, epoch milliseconds.
        item_id: What moved; None when nothing did and the cart saw a ghost.
        quantity: Pieces moved.
        direction: add or remove.
        faults: Names of the faults that were active, separated by spaces.
        source: `history` (drawn from statistics) or `live` (the real agent).
        event_id: The event that the cart gave for it; None when the cart missed it.
        said_item_id: What the cart said.
        said_quantity: What the cart said.
        said_direction: What the cart said.
        outcome: accepted or asked.
        labels: Kinds of labels that people gave, separated by spaces.
    """

    truth_id: str
    store_id: str
    cart_id: str
    session_id: str | None
    at_ms: int
    item_id: str | None
    quantity: int
    direction: str
    faults: str
    source: str
    event_id: str | None = None
    said_item_id: str | None = None
    said_quantity: int | None = None
    said_direction: str | None = None
    outcome: str | None = None
    labels: str = ""

    @property
    def right(self) -> bool:
        """Whether the cart said exactly what happened."""
        said = (self.said_item_id, self.said_quantity, self.said_direction)
        return self.event_id is not None and said == (self.item_id, self.quantity, self.direction)


_COLUMNS = tuple(field.name for field in fields(TruthRow))
# `dataclasses.astuple` copies every value; for the 200,000 rows of a history that takes seconds.
_values_of = attrgetter(*_COLUMNS)
# No value is ever put into the text: only as many marks as there are columns.
_INSERT = f"INSERT OR REPLACE INTO truth VALUES ({', '.join('?' * (len(_COLUMNS) + 1))})"  # noqa: S608


class TruthLog:
    """The file of the truth; one thread at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        # The demo's truth may lose its last second in a power cut; the carts' data may not.
        self._db.execute("PRAGMA synchronous=NORMAL")
        with self._db:
            self._db.execute(_SCHEMA)

    def write(self, rows: Iterable[TruthRow]) -> None:
        """Add rows, or replace those with the same id."""
        with self._db:
            self._db.executemany(_INSERT, ((*_values_of(row), 1) for row in rows))

    def close(self) -> None:
        """Close the file."""
        self._db.close()


@contextmanager
def open_truth(path: Path) -> Iterator[TruthLog]:
    """Open the truth for a while."""
    log = TruthLog(path)
    try:
        yield log
    finally:
        log.close()


def read_truth(path: Path, source: str) -> list[TruthRow]:
    """Return all rows of a source, in order of time."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)
    try:
        query = f"SELECT {', '.join(_COLUMNS)} FROM truth WHERE source = ? ORDER BY at_ms, truth_id"  # noqa: S608
        return [TruthRow(**dict(zip(_COLUMNS, row, strict=True))) for row in db.execute(query, (source,))]
    finally:
        db.close()
