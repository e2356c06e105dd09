"""In-memory doubles of the broker and the warehouse, for tests and for trying things out.

`MemoryTransport` behaves as a broker with a persistent session: what is not acknowledged comes
again after `reconnect`. `MemoryWarehouse` holds the appended tables and can be told to fail.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa

from fleet_control.ingest.deliveries import AckToken, Delivery, Inbox
from fleet_control.ingest.ledger import MessageKey
from fleet_control.ingest.presence import Presence
from fleet_control.ingest.rows import STORED, LedgerEntry
from queries.errors import AppendRefusedError, AppendUnavailableError


class MemoryBroker:
    """What outlives an ingest process: the session's unacknowledged messages and retained ones."""

    def __init__(self) -> None:
        self.unacknowledged: dict[int, tuple[str, bytes, bool]] = {}
        self.retained: dict[str, bytes] = {}
        self._next_id = 1

    def publish(self, topic: str, payload: bytes) -> int:
        """Queue a message for the session; return its packet id."""
        packet_id = self._next_id
        self._next_id += 1
        self.unacknowledged[packet_id] = (topic, payload, False)
        return packet_id


class MemoryTransport:
    """A connection to a `MemoryBroker`."""

    def __init__(
        self,
        broker: MemoryBroker,
        received: Callable[[], None] = lambda: None,
        clock_ms: Callable[[], int] | None = None,
    ) -> None:
        self._broker = broker
        self._received = received
        self._clock_ms = clock_ms or (lambda: int(time.time() * 1000))
        self._inbox: Inbox | None = None
        self._epoch = 0
        self._sent: set[int] = set()
        self.stale_acks = 0

    def start(self, inbox: Inbox) -> None:
        """Connect: everything unacknowledged is delivered."""
        self._inbox = inbox
        self.reconnect()

    def reconnect(self) -> None:
        """Lose the connection and make a new one: what is unacknowledged comes again."""
        self._epoch += 1
        self._sent.clear()
        self.deliver()

    def deliver(self) -> None:
        """Deliver what the broker has queued since."""
        for packet_id, (topic, payload, sent) in list(self._broker.unacknowledged.items()):
            if packet_id in self._sent or self._inbox is None:
                continue
            self._sent.add(packet_id)
            self._broker.unacknowledged[packet_id] = (topic, payload, True)
            token = AckToken(self._epoch, packet_id)
            self._inbox.put(Delivery(topic, payload, self._clock_ms(), token, redelivered=sent))
            self._received()

    def pause(self) -> None:
        """Nothing is read unless `deliver` is called."""

    def ack(self, tokens: Sequence[AckToken]) -> None:
        """Acknowledge; tokens of an earlier connection are dropped."""
        for token in tokens:
            if token.epoch == self._epoch:
                self._broker.unacknowledged.pop(token.packet_id, None)
            else:
                self.stale_acks += 1

    def publish_retained(self, topic: str, payload: bytes) -> None:
        """Keep a retained message."""
        self._broker.retained[topic] = payload

    def is_ready(self) -> bool:
        """Tell whether it was started."""
        return self._inbox is not None

    def stop(self, timeout_s: float) -> None:  # noqa: ARG002
        """Disconnect."""
        self._inbox = None


class _Ticket:
    def __init__(self, outcome: Callable[[float], bool]) -> None:
        self._outcome = outcome

    def wait(self, timeout_s: float) -> bool:
        return self._outcome(timeout_s)


class MemoryWarehouse:
    """Tables in memory, as an `Appender` and as a `History`.

    Attributes:
        tables: Appended rows by table.
        refuses: Rows for which it returns a reason are refused for ever, with their whole append.
        away: While set, every append fails with "not now".
        before_append: Called with the table before rows are taken; may raise to play a crash.
        after_append: Called with the table after rows are durable; may raise to play a crash.
    """

    def __init__(self) -> None:
        self.tables: dict[str, list[pa.Table]] = {}
        self.refuses: Callable[[str, dict[str, object]], str | None] = lambda _table, _row: None
        self.away = threading.Event()
        self.before_append: Callable[[str], None] = lambda _table: None
        self.after_append: Callable[[str], None] = lambda _table: None
        self.attempts = 0
        self._lock = threading.Lock()

    def append(self, table: str, rows: pa.Table) -> _Ticket:
        """Take rows now; the ticket tells how it went."""
        return _Ticket(lambda _timeout_s: self._take(table, rows))

    def close(self) -> None:
        """Nothing to give back."""

    def rows(self, table: str) -> list[dict[str, object]]:
        """Return the rows of a table."""
        with self._lock:
            return [row for part in self.tables.get(table, []) for row in part.to_pylist()]

    def settled_ranges(self, boots: Sequence[str] | None = None) -> Iterable[tuple[MessageKey, int]]:
        """Yield every ledger entry and every declared gap."""
        for row in self.rows("ingest_ledger"):
            if boots is None or row["boot_id"] in boots:
                yield _key(row), _int(row["seq"])
        for row in self.rows("gaps_raw"):
            if boots is None or row["boot_id"] in boots:
                yield _key(row)._replace(seq=_int(row["seq_from"])), _int(row["seq_to"])

    def rows_without_entry(self) -> Iterable[LedgerEntry]:
        """Yield an entry for each message that has rows and no entry."""
        known = {_key(row) for row in self.rows("ingest_ledger")}
        counts: dict[MessageKey, int] = {}
        for table in ("telemetry_raw", "events_raw", "gaps_raw", "updates_raw"):
            for row in self.rows(table):
                counts[_key(row)] = counts.get(_key(row), 0) + 1
        return [LedgerEntry(0, key, n, STORED) for key, n in counts.items() if key not in known]

    def presences(self) -> dict[tuple[str, str], Presence]:
        """Return the last state of each cart."""
        found = {}
        for row in self.rows("cart_states_raw"):
            model = row["model_digest"]
            found[str(row["store_id"]), str(row["cart_id"])] = Presence(
                boot=str(row["boot_id"]),
                session=_int(row["session"]),
                online=bool(row["online"]),
                agent_version=str(row["agent_version"]),
                model_digest=None if model is None else str(model),
                simulated=bool(row["simulated"]),
            )
        return found

    def recent_letters(self) -> Iterable[tuple[str, str]]:
        """Yield (topic, digest) of the dead letters."""
        return [(str(r["topic"]), str(r["payload_sha256"])) for r in self.rows("dead_letters")]

    def _take(self, table: str, rows: pa.Table) -> bool:
        self.attempts += 1
        self.before_append(table)
        if self.away.is_set():
            raise AppendUnavailableError(table, "the warehouse is away")
        reasons = (self.refuses(table, row) for row in rows.to_pylist())
        if why := next((reason for reason in reasons if reason), None):
            raise AppendRefusedError(table, why)
        with self._lock:
            self.tables.setdefault(table, []).append(rows)
        self.after_append(table)
        return True


def _key(row: dict[str, object]) -> MessageKey:
    return MessageKey(str(row["cart_id"]), str(row["boot_id"]), str(row["channel"]), _int(row["seq"]))


def _int(value: object) -> int:
    if not isinstance(value, int):
        msg = f"{value!r} is not a whole number"
        raise TypeError(msg)
    return value
