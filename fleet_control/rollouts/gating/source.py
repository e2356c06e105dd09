"""What the gates ask of the warehouse.

Answers are per cart: which carts are canaries and which are controls is known to the database of rollouts
alone, and a copy of that in the warehouse could be behind just when a block closes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive blocks of event time, and when their outcomes are fixed.

    Attributes:
        start_ms: Start of the first block.
        blocks: How many.
        block_s: Length of each.
        label_lag_s: A label counts if it came so long after its event at most.
        close_s: Rows count if they were received so long after the end of their block at most.
    """

    start_ms: int
    blocks: int
    block_s: int
    label_lag_s: int
    close_s: int

    @property
    def end_ms(self) -> int:
        """End of the last block."""
        return self.start_ms + self.blocks * self.block_s * 1000

    @property
    def closes_ms(self) -> int:
        """From then on no row can change an answer about it."""
        return self.end_ms + self.close_s * 1000

    def described(self, question: str, scope: "Scope") -> str:
        """Return the question with its parameters, for people and for asking it again."""
        return (
            f"{question}(start={utc(self.start_ms).isoformat()}, end={utc(self.end_ms).isoformat()}, "
            f"block_s={self.block_s}, label_lag_s={self.label_lag_s}, close_s={self.close_s}, "
            f"models={','.join(scope.models)}, stores={len(scope.stores) or 'all'})"
        )


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows are asked for.

    Attributes:
        models: Digests.
        stores: Only these; empty for all.
    """

    models: tuple[str, ...]
    stores: tuple[str, ...] = ()


class CartOutcomes(NamedTuple):
    """Item events of one cart with one model in one block."""

    block: int
    store: str
    cart: str
    model: str
    events: int
    contradicted: int
    timed: int
    slow: int


class CartErrors(NamedTuple):
    """Errors of one cart with one model in one block, and how often it was tried."""

    block: int
    store: str
    cart: str
    model: str
    errors: int
    inferences: int


class EvidenceSource(Protocol):
    """The warehouse. Raises only `WarehouseError`."""

    def watermark(self, since_ms: int) -> int | None:
        """Return the server time up to which everything that was received can be asked for.

        Args:
            since_ms: Only receipts since then are looked at.

        Returns:
            None: nothing was received since then.
        """

    def outcomes(self, span: Span, scope: Scope, slow_ms: float) -> Sequence[CartOutcomes]:
        """Return item events; slow ones took longer than `slow_ms`."""

    def errors(self, span: Span, scope: Scope) -> Sequence[CartErrors]:
        """Return errors and inferences."""

    def threshold(
        self, start_ms: int, end_ms: int, quantile: float, scope: Scope
    ) -> tuple[float | None, int]:
        """Return a quantile of decision times, and of how many decisions it is."""


def utc(at_ms: int) -> datetime:
    """Return a time of the server."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)
