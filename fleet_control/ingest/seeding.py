"""What a starting ingest must know before it takes the first message."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog

from fleet_control.ingest.commit import Committer
from fleet_control.ingest.dead_letters import RecentLetters
from fleet_control.ingest.ledger import Ledger
from fleet_control.ingest.ports import History
from fleet_control.ingest.presence import Presence

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Memory:
    """What ingest remembers: all of it can be read back from the warehouse."""

    ledger: Ledger = field(default_factory=Ledger)
    presences: dict[tuple[str, str], Presence] = field(default_factory=dict)
    recent_letters: RecentLetters = field(default_factory=RecentLetters)


def seed(memory: Memory, history: History, committer: Committer) -> int:
    """Fill the memory from the warehouse and repair the ledger; return the entries added.

    Rows without a ledger entry are left by an ingest that was killed between the two. Their
    entries are written first, so that from here on the ledger alone says what is durable.

    Raises:
        QueryError: the warehouse does not answer; seeding again is safe.
        ShutdownError: the service stops.
    """
    missing = list(history.rows_without_entry())
    committer.commit_entries(missing)
    if missing:
        _log.warning("an earlier ingest died between rows and ledger; entries added", messages=len(missing))
    _settle_ranges(memory.ledger, history)
    for entry in missing:
        memory.ledger.settle(*entry.key[:3], entry.key.seq, entry.key.seq)
    memory.presences.update(history.presences())
    for topic, payload_sha256 in history.recent_letters():
        memory.recent_letters.add(topic, payload_sha256)
    memory.ledger.evict()
    return len(missing)


def look_up_boots(ledger: Ledger, history: History, boots: Iterable[tuple[str, str]]) -> None:
    """Fetch boots (cart, boot) that the ledger may have forgotten.

    Raises:
        QueryError: the warehouse does not answer.
    """
    unknown = {pair for pair in boots if not ledger.knows(*pair)}
    if not unknown or not ledger.has_forgotten:
        return
    _settle_ranges(ledger, history, sorted(boot for _, boot in unknown))
    for cart, boot in unknown:
        ledger.remember(cart, boot)


def _settle_ranges(ledger: Ledger, history: History, boots: list[str] | None = None) -> None:
    for key, high in history.settled_ranges(boots):
        ledger.settle(*key, high)
