"""The warehouse as a source of evidence and of proofs, through the catalogue of questions."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pandas as pd

from fleet_control.errors import WarehouseError, WarehouseUnreachableError
from fleet_control.rollouts.gating.source import CartErrors, CartOutcomes, Scope, Span, utc
from fleet_control.rollouts.ports import Proof
from queries.catalogue import (
    LedgerHorizon,
    RolloutErrors,
    RolloutOutcomes,
    RolloutRunning,
    RolloutThreshold,
)
from queries.client import QueryResult
from queries.errors import QueryError, QueryRefusedError
from queries.question import Question

# More names make a question longer than the warehouse takes; then it is asked about all of them.
MAX_NAMES = 2_000


class Asked(Protocol):
    """What answers: `queries.client.Warehouse`, seen from here."""

    def run(self, question: Question) -> QueryResult:
        """Ask."""


class WarehouseSource:
    """Implements `source.EvidenceSource` and `ports.Proofs` on a warehouse."""

    def __init__(self, warehouse: Asked) -> None:
        self._warehouse = warehouse

    def watermark(self, since_ms: int) -> int | None:
        """Return when the newest message was received that is settled.

        Ingest makes rows durable before it enters them into its ledger, batch by batch in the order of
        receipt: what was received before the newest entry is there.
        """
        newest = self._frame(LedgerHorizon(utc(since_ms)))["newest"].iloc[0]
        return None if pd.isna(newest) else _ms(newest)

    def outcomes(self, span: Span, scope: Scope, slow_ms: float) -> Sequence[CartOutcomes]:
        """See `source.EvidenceSource`."""
        question = RolloutOutcomes(
            utc(span.start_ms),
            utc(span.end_ms),
            span.block_s,
            span.label_lag_s,
            span.close_s,
            slow_ms,
            scope.models,
            _few(scope.stores),
        )
        return list(map(CartOutcomes._make, self._rows(question)))

    def errors(self, span: Span, scope: Scope) -> Sequence[CartErrors]:
        """See `source.EvidenceSource`."""
        question = RolloutErrors(
            utc(span.start_ms),
            utc(span.end_ms),
            span.block_s,
            span.close_s,
            scope.models,
            _few(scope.stores),
        )
        return list(map(CartErrors._make, self._rows(question)))

    def threshold(
        self, start_ms: int, end_ms: int, quantile: float, scope: Scope
    ) -> tuple[float | None, int]:
        """See `source.EvidenceSource`."""
        question = RolloutThreshold(utc(start_ms), utc(end_ms), quantile, scope.models, _few(scope.stores))
        row = self._frame(question).iloc[0]
        value = row["threshold_ms"]
        return (None if pd.isna(value) else float(value)), int(row["n"])

    def running(self, carts: Sequence[tuple[str, str]], since_ms: int) -> Mapping[str, Proof]:
        """See `ports.Proofs`."""
        wanted = set(carts)
        stores = tuple(sorted({store for store, _ in wanted}))
        question = RolloutRunning(utc(since_ms), _few(stores), _few(tuple(sorted(c for _, c in wanted))))
        found = self._frame(question)
        return {
            cart: Proof(model, int(windows), int(inferences), _ms(last_at))
            for store, cart, model, windows, last_at, inferences in found.itertuples(index=False, name=None)
            if (store, cart) in wanted
        }

    def _rows(self, question: Question) -> Any:
        frame = self._frame(question)
        # Columns at once: value by value, an answer of 100,000 carts takes seconds.
        return zip(*(frame[name].tolist() for name in frame.columns), strict=True)

    def _frame(self, question: Question) -> pd.DataFrame:
        try:
            return self._warehouse.run(question).frame
        except QueryRefusedError as error:
            raise WarehouseError(question.name, error.detail) from error
        except QueryError as error:
            raise WarehouseUnreachableError(question.name, error.detail) from error


def _few(names: tuple[str, ...]) -> tuple[str, ...]:
    return names if len(names) <= MAX_NAMES else ()


def _ms(at: Any) -> int:
    return round(float(at.timestamp()) * 1000)
