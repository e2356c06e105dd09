"""A source of evidence in memory, for tests and trying things out."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fleet_control.errors import WarehouseUnreachableError
from fleet_control.rollouts.gating.source import CartErrors, CartOutcomes, Scope, Span


class MemorySource:
    """Implements `source.EvidenceSource` from rows that are put in.

    Attributes:
        watermark_ms: What is told as such.
        away: While true, nothing answers.
        quantile_ms: The threshold that is told.
        asked: Spans that outcomes were asked of.
    """

    def __init__(self) -> None:
        self.watermark_ms: int | None = None
        self.away = False
        self.quantile_ms: float | None = None
        self.asked: list[Span] = []
        self._outcomes: list[tuple[int, CartOutcomes]] = []
        self._errors: list[tuple[int, CartErrors]] = []

    def put(self, at_ms: int, *rows: CartOutcomes | CartErrors) -> None:
        """Let something happen at a time; the rows' own block means nothing."""
        for row in rows:
            if isinstance(row, CartOutcomes):
                self._outcomes.append((at_ms, row))
            else:
                self._errors.append((at_ms, row))

    def watermark(self, since_ms: int) -> int | None:
        """See `source.EvidenceSource`."""
        self._answer()
        return None if self.watermark_ms is None or self.watermark_ms < since_ms else self.watermark_ms

    def outcomes(self, span: Span, scope: Scope, slow_ms: float) -> Sequence[CartOutcomes]:  # noqa: ARG002
        """See `source.EvidenceSource`; whether a decision was slow is as it was put in."""
        self._answer()
        self.asked.append(span)
        return list(map(CartOutcomes._make, _added(span, scope, self._outcomes)))

    def errors(self, span: Span, scope: Scope) -> Sequence[CartErrors]:
        """See `source.EvidenceSource`."""
        self._answer()
        return list(map(CartErrors._make, _added(span, scope, self._errors)))

    def threshold(
        self,
        start_ms: int,  # noqa: ARG002
        end_ms: int,  # noqa: ARG002
        quantile: float,  # noqa: ARG002
        scope: Scope,  # noqa: ARG002
    ) -> tuple[float | None, int]:
        """See `source.EvidenceSource`."""
        self._answer()
        return self.quantile_ms, 0 if self.quantile_ms is None else 1_000

    def _answer(self) -> None:
        if self.away:
            raise WarehouseUnreachableError("memory", "it is away")


def _added(
    span: Span, scope: Scope, rows: Iterable[tuple[int, CartOutcomes | CartErrors]]
) -> Iterator[tuple[Any, ...]]:
    """Yield rows of a span, added up per block, cart and model."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    for at_ms, row in rows:
        if span.start_ms <= at_ms < span.end_ms and row.model in scope.models:
            block = (at_ms - span.start_ms) // (span.block_s * 1000)
            counts: tuple[int, ...] = row[4:]
            so_far = sums.setdefault((block, row.store, row.cart, row.model), [0] * len(counts))
            so_far[:] = [a + b for a, b in zip(so_far, counts, strict=True)]
    return ((*key, *counts) for key, counts in sorted(sums.items()))
