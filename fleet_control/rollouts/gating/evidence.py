"""The gates over the warehouse: what the rollout engine asks."""

from collections.abc import Iterator, Mapping
from typing import Any

from fleet_control.errors import WarehouseError
from fleet_control.rollouts.events import VerdictGiven
from fleet_control.rollouts.gating import pairs
from fleet_control.rollouts.gating.blocks import Key, Membership, Timing, blocks_of
from fleet_control.rollouts.gating.gatekeeper import COUNTING, Found, Gatekeeper
from fleet_control.rollouts.gating.readings import REPLAY, readings
from fleet_control.rollouts.gating.replay import day_before, replay, slow_of, threshold_of
from fleet_control.rollouts.gating.situation import Situation
from fleet_control.rollouts.gating.source import EvidenceSource, Scope
from fleet_control.rollouts.observer import Look
from fleet_control.rollouts.rollout import CartRecord, Rollout
from fleet_control.rollouts.states import RolloutStatus, Verdict

# How far back receipts are looked at for the watermark: longer than any patience.
WATERMARK_SPAN_MS = 2 * 86_400_000
_COUNTED = (RolloutStatus.RUNNING, RolloutStatus.PAUSED)
# Rollouts whose volumes of the day before are kept in memory.
MAX_KEPT = 8


class GateEvidence:
    """Implements `observer.Evidence`. One thread calls.

    Args:
        source: The warehouse.
        timing: When blocks close.
    """

    def __init__(self, source: EvidenceSource, timing: Timing | None = None) -> None:
        self._source = source
        self._timing = timing or Timing()
        self._past: dict[str, Mapping[Key, int]] = {}

    def arm(
        self, rollout: Rollout, canary: tuple[str, ...], control: tuple[str, ...], now_ms: int
    ) -> VerdictGiven:
        """Try the gates on the day before, when all these carts ran one model: FAIL if they fire.

        Returns:
            INCONCLUSIVE, which calls a person, if the warehouse has not answered for long; nothing is armed
            until it does.

        Raises:
            WarehouseError: the warehouse does not answer, and not for so long.
        """
        try:
            return replay(rollout, canary, control, source=self._source, timing=self._timing, now_ms=now_ms)
        except WarehouseError as error:
            why = self._why_blind(now_ms - rollout.changed_ms, error)
            return VerdictGiven(
                at_ms=now_ms, stage=0, gate=REPLAY, verdict=Verdict.INCONCLUSIVE, reason=f"not armed: {why}"
            )

    def look(
        self,
        rollout: Rollout,
        carts: Mapping[str, CartRecord],
        states: Mapping[str, Mapping[str, Any]],
        now_ms: int,
    ) -> Look:
        """Count the blocks that have closed since the states were made.

        Raises:
            WarehouseError: the warehouse does not answer, and not for so long that this is NO_DATA.
            GateInputError: the states are not those of this rollout's gates.
        """
        began_ms = rollout.stages[0].began_ms
        if began_ms is None:
            return Look((), dict(states), ())
        membership = Membership.of(rollout, carts.values())
        keeper, blind = self._keeper(rollout, membership.scope, states, began_ms, now_ms)
        if rollout.status not in _COUNTED:
            # Canaries that go back say nothing about the model any more.
            return Look((), dict(states), readings(keeper, rollout))
        unborn = bool(blind)
        blind = blind or self._count(keeper, rollout, carts, membership, now_ms)
        situation = Situation.of(rollout, membership, self._timing, now_ms, blind)
        counted = keeper.proving.counted if keeper.proving is not None else ()
        left = sum(1 for _ in pairs.waiting(carts, counted, rollout.current))
        verdicts = keeper.judge(situation, left)
        # Gates whose threshold nobody could ask for are not kept: the next look makes them.
        kept = dict(states) if unborn else keeper.states()
        return Look(verdicts, kept, readings(keeper, rollout, blind=blind))

    def _keeper(
        self,
        rollout: Rollout,
        scope: Scope,
        states: Mapping[str, Mapping[str, Any]],
        began_ms: int,
        now_ms: int,
    ) -> tuple[Gatekeeper, str]:
        """Return the gates, and why they cannot even begin, if that has been so for long."""
        if COUNTING in states:
            return Gatekeeper.restored(rollout.plan, states), ""
        yesterday = day_before(self._timing, began_ms)
        baseline = Scope((rollout.baseline,), scope.stores)
        threshold_ms, blind = None, ""
        try:
            threshold_ms = threshold_of(rollout.plan, yesterday, baseline, self._source)
        except WarehouseError as error:
            blind = self._why_blind(self._late_ms(began_ms, now_ms), error)
        keeper = Gatekeeper.fresh(rollout.plan, began_ms, threshold_ms)
        keeper.recall({gate: said.verdict for gate, said in rollout.verdicts.items()})
        return keeper, blind

    def _late_ms(self, counted_ms: int, now_ms: int) -> int:
        """Return for how long the next block should have been counted."""
        return now_ms - counted_ms - (self._timing.close_s + self._timing.block_s) * 1000

    def _why_blind(self, late_ms: int, error: WarehouseError) -> str:
        """Say for how long nothing could be asked.

        Raises:
            WarehouseError: not for so long that a person has to know.
        """
        if late_ms <= self._timing.patience_s * 1000:
            raise error
        return f"the warehouse has not answered for {late_ms / 60_000:.0f} minutes: {error}"

    def _count(
        self,
        keeper: Gatekeeper,
        rollout: Rollout,
        carts: Mapping[str, CartRecord],
        membership: Membership,
        now_ms: int,
    ) -> str:
        """Count what has closed; returns why nothing can be counted, if that has been so for long.

        Raises:
            WarehouseError: nothing can be asked, and that has not been so for long.
        """
        patience_ms = int(self._timing.patience_s * 1000)
        late_ms = self._late_ms(keeper.counted_ms, now_ms)
        try:
            newest = self._source.watermark(now_ms - WATERMARK_SPAN_MS)
            watermark_ms = min(now_ms, newest or 0)
            keeper.take(self._blocks(keeper, rollout, membership, watermark_ms))
            keeper.take(self._rounds(keeper, rollout, carts, watermark_ms))
        except WarehouseError as error:
            return self._why_blind(late_ms, error)
        if now_ms - watermark_ms > patience_ms and late_ms > patience_ms:
            return f"nothing was received from any cart for {late_ms / 60_000:.0f} minutes"
        return ""

    def _blocks(
        self, keeper: Gatekeeper, rollout: Rollout, membership: Membership, watermark_ms: int
    ) -> Found:
        span = self._timing.closed(keeper.counted_ms, watermark_ms, len(membership.since_ms))
        if span is None:
            return Found()
        scope = membership.scope
        outcomes = self._source.outcomes(span, scope, slow_of(keeper.watches))
        errors = self._source.errors(span, scope)
        blocks = blocks_of(span, outcomes, errors, membership, self._past_of(rollout, scope))
        return Found(blocks=blocks, query=span.described("rollout_outcomes", scope))

    def _rounds(
        self, keeper: Gatekeeper, rollout: Rollout, carts: Mapping[str, CartRecord], watermark_ms: int
    ) -> Found:
        found, query = [], ""
        for due in self._due(keeper, rollout, carts, watermark_ms):
            scope = Scope(
                (rollout.plan.model, rollout.baseline), tuple(sorted({c.store for c, _ in due.pairs}))
            )
            outcomes = self._source.outcomes(due.span, scope, slow_of(keeper.watches))
            if rollout.plan.promotion is not None:
                found.append(pairs.compared(due, outcomes, rollout, rollout.plan.promotion))
            query = due.span.described("rollout_outcomes", scope)
        return Found(rounds=tuple(found), pair_query=query)

    def _due(
        self, keeper: Gatekeeper, rollout: Rollout, carts: Mapping[str, CartRecord], watermark_ms: int
    ) -> Iterator[pairs.Due]:
        if keeper.proving is None or rollout.plan.promotion is None:
            return iter(())
        return pairs.due(
            rollout,
            carts,
            rollout.plan.promotion,
            self._timing,
            counted=keeper.proving.counted,
            windows=keeper.proving.windows,
            watermark_ms=watermark_ms,
        )

    def _past_of(self, rollout: Rollout, scope: Scope) -> Mapping[Key, int]:
        """Return the item events of each cart on the day before the first stage began."""
        kept = self._past.get(rollout.rollout_id)
        if kept is None:
            day = day_before(self._timing, rollout.stages[0].began_ms or 0)
            whole = self._timing.past(day.start_ms, 1, day.blocks * day.block_s)
            rows = self._source.outcomes(whole, Scope((rollout.baseline,), scope.stores), 1e12)
            kept = {(row.store, row.cart): row.events for row in rows}
            while len(self._past) >= MAX_KEPT:
                self._past.pop(next(iter(self._past)))
            self._past[rollout.rollout_id] = kept
        return kept
