"""Making a batch durable: rows first, then the ledger; a refusal is narrowed down to its message."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from fleet_control.errors import ShutdownError
from fleet_control.ingest.dead_letters import REFUSED_BY_WAREHOUSE, DeadLetter, RecentLetters
from fleet_control.ingest.decoding import Accepted, Rejected, reject
from fleet_control.ingest.parts import (
    BuiltPart,
    Part,
    build,
    ledger_part,
    letters_part,
    message_parts,
    states_part,
)
from fleet_control.ingest.plan import Plan
from fleet_control.ingest.rows import DEAD_LETTER, STORED, LedgerEntry
from queries.errors import AppendRefusedError, AppendUnavailableError
from queries.writer.ports import Appender, AppendTicket

_log = structlog.get_logger(__name__)

# How long one look at an open append lasts: the time in which a stop is noticed.
LOOK_S = 0.5
# Pause before rows are sent again after "not now": doubled up to the longest.
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0


class CommitObserver(Protocol):
    """Is told how appends go."""

    def appended(self, table: str, rows: int) -> None:
        """Rows are durable."""

    def append_failed(self, table: str) -> None:
        """An append has to be tried again."""


@dataclass(frozen=True, slots=True)
class Durable:
    """What became durable.

    Attributes:
        entries: In the ledger now.
        letters: In `dead_letters` now.
        messages_stored: Messages with rows, states included.
        refused_again: Messages whose rows were refused and that were in `dead_letters` before.
    """

    entries: list[LedgerEntry]
    letters: list[DeadLetter]
    messages_stored: int
    refused_again: int


class _Refused:
    """A ticket for rows that were refused before they were sent."""

    def __init__(self, error: AppendRefusedError) -> None:
        self._error = error

    def wait(self, timeout_s: float) -> bool:  # noqa: ARG002
        raise self._error


class Committer:
    """Writes plans. Not for concurrent use: one batch is durable before the next begins."""

    def __init__(self, appender: Appender, observer: CommitObserver, abandon: threading.Event) -> None:
        self._appender = appender
        self._observer = observer
        self._abandon = abandon
        self._pause_s = FIRST_PAUSE_S

    def commit(self, plan: Plan, recent: RecentLetters) -> Durable:
        """Return once everything in the plan is durable.

        Args:
            plan: What to write.
            recent: Letters that are durable: an ingest that died between a letter and its ledger entry
                meets the message again, and the refusal of its rows too.

        Raises:
            ShutdownError: the service stops; what is durable by then is recognised at the next start.
        """
        rows = self._store([*message_parts(plan.messages), states_part(plan.states)])
        refused = [reject(item.delivery, REFUSED_BY_WAREHOUSE, why) for item, why in rows]
        fresh = [x for x in refused if x.letter not in recent]
        letters = [*plan.letters, *fresh]
        for letter, why in self._store([letters_part(letters)]):
            _log.error("a dead letter was refused by the warehouse", topic=letter.topic, why=why)
        refused_ids = {id(x.delivery) for x in refused}
        stored = [m for m in plan.messages if id(m.delivery) not in refused_ids]
        entries = [*_stored_entries(stored), *_letter_entries([*plan.letters, *plan.unentered, *refused])]
        self.commit_entries(entries)
        kept = len(plan.messages) + len(plan.states) - len(refused)
        return Durable(entries, [x.letter for x in letters], kept, len(refused) - len(fresh))

    def commit_entries(self, entries: Sequence[LedgerEntry]) -> None:
        """Write ledger entries; a ledger that refuses them stops everything.

        Raises:
            ShutdownError: the service stops.
            AppendRefusedError: the ledger's table is not what this version writes.
        """
        for entry, why in self._store([ledger_part(entries)]):
            raise AppendRefusedError("ingest_ledger", f"{why} ({entry.key})")

    def _store(self, parts: Iterable[Part]) -> Iterator[tuple[Any, str]]:
        """Append all parts; yield (item, why) of items that are refused for good."""
        sent = deque((built, self._send(built)) for part in parts for built in build(part))
        while sent:
            built, ticket = sent.popleft()
            why = self._settle(built, ticket)
            if why is None:
                self._observer.appended(built.part.table, built.row_count)
            elif len(built.part.items) == 1:
                yield built.part.items[0], why
            else:
                again = [half for part in built.part.halves() for half in build(part)]
                sent.extendleft(reversed([(half, self._send(half)) for half in again]))

    def _settle(self, built: BuiltPart, ticket: AppendTicket | None) -> str | None:
        """Wait for an append; return why it is refused, or None when it is durable."""
        if built.why is not None:
            return built.why
        while True:
            try:
                if ticket is None:
                    ticket = self._send(built)
                elif ticket.wait(LOOK_S):
                    self._pause_s = FIRST_PAUSE_S
                    return None
                self._check_abandoned()
            except AppendRefusedError as error:
                return error.detail
            except AppendUnavailableError as error:
                self._not_now(built.part.table, error)
                ticket = None

    def _send(self, built: BuiltPart) -> AppendTicket | None:
        """Start an append; None when there is nothing to send or the warehouse is away."""
        if built.rows is None:
            return None
        try:
            return self._appender.append(built.part.table, built.rows)
        except AppendUnavailableError as error:
            self._not_now(built.part.table, error)
            return None
        except AppendRefusedError as error:
            return _Refused(error)

    def _check_abandoned(self) -> None:
        if self._abandon.is_set():
            raise ShutdownError("the service stops before the warehouse answered")

    def _not_now(self, table: str, error: AppendUnavailableError) -> None:
        self._observer.append_failed(table)
        _log.warning("the warehouse did not take rows; trying again", table=table, why=str(error))
        self._abandon.wait(self._pause_s)
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        self._check_abandoned()


def _stored_entries(messages: Iterable[Accepted]) -> Iterator[LedgerEntry]:
    return (LedgerEntry(m.delivery.received_ms, m.key, m.rows, STORED) for m in messages)


def _letter_entries(letters: Iterable[Rejected]) -> Iterator[LedgerEntry]:
    return (LedgerEntry(x.letter.received_ms, x.key, 0, DEAD_LETTER) for x in letters if x.key is not None)
