"""Rows that ingest writes of its own: ledger entries and states."""

from msgspec import Struct

from fleet_control.ingest.deliveries import Delivery
from fleet_control.ingest.ledger import MessageKey
from fleet_control.ingest.presence import Presence
from fleet_protocol.messages import CartState

STORED = "stored"
DEAD_LETTER = "dead_letter"


class LedgerEntry(Struct, frozen=True):
    """One row of `ingest_ledger`: a message that is settled."""

    received_ms: int
    key: MessageKey
    row_count: int
    disposition: str


class StateRow(Struct, frozen=True):
    """One row of `cart_states_raw`: a state that counts, and the presence it leads to."""

    delivery: Delivery
    state: CartState
    after: Presence
