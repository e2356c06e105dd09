"""What ingest needs from the outside: one narrow Protocol per system.

The real ones are `transport_mqtt.MqttTransport`, `history.WarehouseHistory` and the appender of
`queries.writer`; `memory` has the doubles.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from fleet_control.ingest.deliveries import AckToken, Inbox
from fleet_control.ingest.ledger import MessageKey
from fleet_control.ingest.presence import Presence
from fleet_control.ingest.rows import LedgerEntry


class Transport(Protocol):
    """A connection to the broker that puts deliveries into an inbox."""

    def start(self, inbox: Inbox) -> None:
        """Connect in the background and stay connected."""

    def pause(self) -> None:
        """Read nothing more from the broker; acknowledgements still go out."""

    def ack(self, tokens: Sequence[AckToken]) -> None:
        """Acknowledge deliveries; those of an earlier connection are dropped."""

    def publish_retained(self, topic: str, payload: bytes) -> None:
        """Publish soon; a later payload of the same topic replaces one that still waits."""

    def is_ready(self) -> bool:
        """Tell whether it is connected and subscribed."""

    def stop(self, timeout_s: float) -> None:
        """Send what waits to be sent, then disconnect."""


class History(Protocol):
    """What the warehouse already holds, for an ingest that starts."""

    def settled_ranges(self, boots: Sequence[str] | None = None) -> Iterable[tuple[MessageKey, int]]:
        """Yield (first message, last seq) of ranges that are in the ledger or declared as gaps.

        Args:
            boots: Only these; None for all within the horizon.

        Raises:
            QueryError: the warehouse does not answer, or refuses.
        """

    def rows_without_entry(self) -> Iterable[LedgerEntry]:
        """Yield entries for messages whose rows are durable but whose entry is missing."""

    def presences(self) -> dict[tuple[str, str], Presence]:
        """Return the last state that counted, by (store, cart)."""

    def recent_letters(self) -> Iterable[tuple[str, str]]:
        """Yield (topic, payload digest) of the latest dead letters, oldest first."""
