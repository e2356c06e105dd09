"""What a starting ingest asks: what is durable already. No limit on bytes: a refusal would stop it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from queries.catalogue import columns as c
from queries.question import Column, Question

# Every table scanned whole, some days long: one start of ingest, not a page.
_MAXIMUM_BYTES = 1024**4
_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class LedgerHorizon(Question):
    """The newest entry of the ledger: one row."""

    since: datetime
    name = "ledger_horizon"
    columns = (Column("newest", "TIMESTAMP", "newest entry, server clock; null if there is none"),)
    maximum_bytes_billed: ClassVar[int] = _MAXIMUM_BYTES
    timeout_s: ClassVar[float] = _TIMEOUT_S


@dataclass(frozen=True, slots=True)
class LedgerRanges(Question):
    """Runs of settled messages.

    Attributes:
        since: Entries received from here on.
        boots: Only these; empty for all.
    """

    since: datetime
    boots: tuple[str, ...] = ()
    name = "ledger_ranges"
    columns = (
        *c.IDENTITY,
        Column("low", "INT64", "first sequence number of the run"),
        Column("high", "INT64", "last sequence number of the run"),
    )
    maximum_bytes_billed: ClassVar[int] = _MAXIMUM_BYTES
    timeout_s: ClassVar[float] = _TIMEOUT_S


@dataclass(frozen=True, slots=True)
class GapRanges(Question):
    """Runs of messages that carts declared they will never send.

    Attributes:
        since: Declarations received from here on.
        boots: Only these; empty for all.
    """

    since: datetime
    boots: tuple[str, ...] = ()
    name = "gap_ranges"
    columns = (
        *c.IDENTITY,
        Column("seq_from", "INT64", "first sequence number of the gap"),
        Column("seq_to", "INT64", "last sequence number of the gap"),
    )
    maximum_bytes_billed: ClassVar[int] = _MAXIMUM_BYTES
    timeout_s: ClassVar[float] = _TIMEOUT_S


@dataclass(frozen=True, slots=True)
class MessagesWithoutEntry(Question):
    """Messages whose rows are durable but whose ledger entry is missing.

    Attributes:
        oldest: Rows whose own time is older are not looked at.
        since: Rows and entries received from here on.
    """

    oldest: datetime
    since: datetime
    name = "messages_without_entry"
    columns = (
        *c.IDENTITY,
        Column("seq", "INT64", "sequence number"),
        Column("received_at", "TIMESTAMP", "when it was received first, server clock"),
        Column("row_count", "INT64", "its rows, duplicates not counted"),
    )
    maximum_bytes_billed: ClassVar[int] = _MAXIMUM_BYTES
    timeout_s: ClassVar[float] = _TIMEOUT_S


@dataclass(frozen=True, slots=True)
class LastStates(Question):
    """The newest state of each cart among those received since then."""

    since: datetime
    name = "last_states"
    columns = (
        c.STORE,
        c.CART,
        Column("boot_id", "STRING", "boot of the agent"),
        Column("session", "INT64", "connection of the cart, counted up"),
        c.ONLINE,
        c.AGENT,
        c.MODEL,
        c.SIMULATED,
    )
    maximum_bytes_billed: ClassVar[int] = _MAXIMUM_BYTES
    timeout_s: ClassVar[float] = _TIMEOUT_S


@dataclass(frozen=True, slots=True)
class RecentLetters(Question):
    """The newest dead letters, newest first, at most 20,000."""

    since: datetime
    name = "recent_letters"
    columns = (
        Column("topic", "STRING", "topic it came on"),
        Column("payload_sha256", "STRING", "digest of the whole payload, hex"),
    )
    maximum_bytes_billed: ClassVar[int] = _MAXIMUM_BYTES
    timeout_s: ClassVar[float] = _TIMEOUT_S
