"""Where evidence comes from: one Protocol, the warehouse, and a double."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import pandas as pd

from fleet_control.errors import WarehouseUnreachableError
from fleet_control.rollouts.gating.blocks import Block, Lags, Side, joined
from fleet_control.rollouts.ports import Proof
from queries.catalogue import (
    RolloutCarts,
    RolloutErrors,
    RolloutEvents,
    RolloutFreshness,
    RolloutLatency,
    RolloutRunning,
)
from queries.client import Warehouse
from queries.errors import QueriesError
from queries.question import Question

# Carts of one side that are asked about. The draw ordered them by lot, so the first so many are a fair part
# of any number; more only cost bytes.
MAX_CARTS = 5_000
# Stands for "nothing is slow" while no threshold is known.
NEVER_SLOW_MS = 1e12
# Of 2^(1/32): bounds of a histogram's buckets.
BUCKETS_PER_OCTAVE = 32


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom the evidence is about.

    Attributes:
        model: Digest whose rows count on the canary's side.
        baseline: Digest whose rows count on the control's side.
        canary: Ids of carts.
        control: Ids of carts.
        threshold_ms: Slower decisions are slow; None: nothing is.
    """

    model: str
    baseline: str
    canary: tuple[str, ...]
    control: tuple[str, ...]
    threshold_ms: float | None = None


class EvidenceSource(Protocol):
    """Evidence. Raises only `WarehouseUnreachableError`."""

    def received_ms(self, carts: Sequence[str], since_ms: int) -> int | None:
        """Return when ingest last heard of any of these carts; None: not since then."""

    def blocks(self, asked: Asked, start_ms: int, end_ms: int, lags: Lags) -> tuple[Block, ...]:
        """Return the blocks of a span that hold anything, in order."""

    def carts(
        self, model: str, carts: Sequence[str], start_ms: int, end_ms: int, lags: Lags
    ) -> Mapping[str, tuple[int, int]]:
        """Return (right, all) item events of carts with a model, by cart."""

    def latency_ms(
        self, model: str, carts: Sequence[str], start_ms: int, end_ms: int, quantile: float
    ) -> float | None:
        """Return a quantile of the decision time, rounded up by 2 % at most; None without data."""


class WarehouseEvidence:
    """Implements `EvidenceSource` and `Proofs` over the warehouse.

    Args:
        warehouse: Where rows are.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def received_ms(self, carts: Sequence[str], since_ms: int) -> int | None:
        """Return when ingest last heard of any of these carts."""
        frame = self._ask(RolloutFreshness(_at(since_ms), tuple(carts[:MAX_CARTS])))
        newest = frame["received_at"].iloc[0] if len(frame) else None
        return None if newest is None or pd.isna(newest) else _ms(newest)

    def blocks(self, asked: Asked, start_ms: int, end_ms: int, lags: Lags) -> tuple[Block, ...]:
        """Return the blocks of a span that hold anything."""
        start, end = _at(start_ms), _at(end_ms)
        canary, control = asked.canary[:MAX_CARTS], asked.control[:MAX_CARTS]
        outcomes = self._ask(
            RolloutEvents(
                start,
                end,
                lags.block_s,
                lags.label_s,
                asked.model,
                asked.baseline,
                asked.threshold_ms or NEVER_SLOW_MS,
                canary,
                control,
            )
        )
        errors = self._ask(
            RolloutErrors(start, end, lags.block_s, asked.model, asked.baseline, canary, control)
        )
        return joined(
            [(_ms(row["at"]), str(row["side"]), _outcomes(row)) for row in _rows(outcomes)]
            + [(_ms(row["at"]), str(row["side"]), _errors(row)) for row in _rows(errors)]
        )

    def carts(
        self, model: str, carts: Sequence[str], start_ms: int, end_ms: int, lags: Lags
    ) -> Mapping[str, tuple[int, int]]:
        """Return (right, all) item events of carts with a model."""
        question = RolloutCarts(
            _at(start_ms), _at(end_ms), lags.label_s, model, tuple(carts[: 2 * MAX_CARTS])
        )
        return {
            str(row["cart_id"]): (int(row["item_events"] - row["contradicted"]), int(row["item_events"]))
            for row in _rows(self._ask(question))
        }

    def latency_ms(
        self, model: str, carts: Sequence[str], start_ms: int, end_ms: int, quantile: float
    ) -> float | None:
        """Return a quantile of the decision time."""
        question = RolloutLatency(_at(start_ms), _at(end_ms), model, tuple(carts[:MAX_CARTS]))
        return quantile_of(
            [(int(row["bucket"]), int(row["n"])) for row in _rows(self._ask(question))], quantile
        )

    def running(self, carts: Sequence[tuple[str, str]], since_ms: int) -> Mapping[str, Proof]:
        """Return what carts run, as far as telemetry since a time shows."""
        names = [cart for _, cart in carts]
        proofs: dict[str, Proof] = {}
        for first in range(0, len(names), MAX_CARTS):
            chunk = tuple(names[first : first + MAX_CARTS])
            for row in _rows(self._ask(RolloutRunning(_at(since_ms), chunk))):
                proofs[str(row["cart_id"])] = Proof(
                    running=str(row["model_digest"]),
                    windows=int(row["windows"]),
                    inferences=int(row["inferences"]),
                    last_ms=_ms(row["last_at"]),
                )
        return proofs

    def _ask(self, question: Question) -> pd.DataFrame:
        try:
            return self._warehouse.run(question).frame
        except QueriesError as error:
            raise WarehouseUnreachableError(question.name, str(error)) from error


def quantile_of(histogram: Sequence[tuple[int, int]], quantile: float) -> float | None:
    """Return the upper bound of the bucket in which a quantile lies; None for an empty histogram.

    Args:
        histogram: (bucket, count), in order; bucket i covers (2^(i/32), 2^((i+1)/32)].
        quantile: 0..1.
    """
    total = sum(n for _, n in histogram)
    below = 0
    for bucket, n in histogram:
        below += n
        if below >= quantile * total:
            return float(2.0 ** ((bucket + 1) / BUCKETS_PER_OCTAVE))
    return None


def _outcomes(row: Mapping[str, Any]) -> Side:
    return Side(
        events=int(row["item_events"]),
        contradicted=int(row["contradicted"]),
        timed=int(row["timed"]),
        slow=int(row["slow"]),
    )


def _errors(row: Mapping[str, Any]) -> Side:
    return Side(errors=int(row["errors"]), inferences=int(row["inferences"]))


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _ms(moment: Any) -> int:
    return round(pd.Timestamp(moment).timestamp() * 1000)


@dataclass(slots=True)
class MemoryEvidence:
    """The double: holds what the warehouse would say.

    Attributes:
        known: Blocks, whoever asks.
        by_cart: (right, all) by cart.
        heard_ms: When ingest last heard of anybody.
        quantile_ms: Of the decision time.
        asked: What was asked, in order.
    """

    known: list[Block] = field(default_factory=list)
    by_cart: dict[str, tuple[int, int]] = field(default_factory=dict)
    heard_ms: int | None = None
    quantile_ms: float | None = None
    asked: list[Asked] = field(default_factory=list)

    def received_ms(self, carts: Sequence[str], since_ms: int) -> int | None:  # noqa: ARG002
        """Return when ingest last heard of anybody."""
        return self.heard_ms

    def blocks(self, asked: Asked, start_ms: int, end_ms: int, lags: Lags) -> tuple[Block, ...]:  # noqa: ARG002
        """Return the blocks of a span."""
        self.asked.append(asked)
        return tuple(block for block in self.known if start_ms <= block.at_ms < end_ms)

    def carts(
        self,
        model: str,  # noqa: ARG002
        carts: Sequence[str],
        start_ms: int,  # noqa: ARG002
        end_ms: int,  # noqa: ARG002
        lags: Lags,  # noqa: ARG002
    ) -> Mapping[str, tuple[int, int]]:
        """Return (right, all) of these carts."""
        return {cart: self.by_cart[cart] for cart in carts if cart in self.by_cart}

    def latency_ms(
        self,
        model: str,  # noqa: ARG002
        carts: Sequence[str],  # noqa: ARG002
        start_ms: int,  # noqa: ARG002
        end_ms: int,  # noqa: ARG002
        quantile: float,  # noqa: ARG002
    ) -> float | None:
        """Return the quantile."""
        return self.quantile_ms
