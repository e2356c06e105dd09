"""The gates of a rollout over the warehouse: implements `Evidence`."""

from collections.abc import Mapping, Sequence
from typing import Any

from fleet_control.rollouts import events
from fleet_control.rollouts.gating.blocks import Block, Lags, closed_until, first_block
from fleet_control.rollouts.gating.gates import Gates
from fleet_control.rollouts.gating.readings import REPLAY, readings
from fleet_control.rollouts.gating.source import Asked, EvidenceSource
from fleet_control.rollouts.gating.verdicts import NO_DATA_S, changed
from fleet_control.rollouts.observer import Look
from fleet_control.rollouts.plan import Promotion
from fleet_control.rollouts.rollout import CartRecord, Rollout
from fleet_control.rollouts.states import CartStatus, Verdict

DAY_MS = 86_400_000
# Blocks of one look: after a long time away the rest follows with the next ones.
MAX_SPAN_MS = 6 * 3_600_000


class GatedEvidence:
    """Looks at new evidence, one look after the other; keeps nothing between them.

    Args:
        source: The warehouse.
        lags: When a block is closed.
        no_data_s: One side silent for so long: no data.
    """

    def __init__(
        self, source: EvidenceSource, lags: Lags | None = None, no_data_s: float = NO_DATA_S
    ) -> None:
        self._source = source
        self._lags = lags or Lags()
        self._no_data_s = no_data_s

    def look(
        self,
        rollout: Rollout,
        carts: Mapping[str, CartRecord],
        states: Mapping[str, Mapping[str, Any]],
        now_ms: int,
    ) -> Look:
        """Count the blocks and the pairs that have closed since the states were made."""
        gates = Gates.from_states(rollout.plan, states)
        canary = tuple(name for name, cart in carts.items() if cart.attempt > 0)
        control = tuple(name for name, cart in carts.items() if cart.status is CartStatus.POOL)
        begun_ms = next((s.began_ms for s in rollout.stages if s.began_ms is not None), now_ms)
        received_ms = self._source.received_ms((*canary, *control), begun_ms - DAY_MS)
        upto_ms = closed_until(now_ms, received_ms, self._lags)
        if upto_ms is not None:
            asked = Asked(rollout.plan.model, rollout.baseline, canary, control, gates.threshold_ms)
            self._count_blocks(asked, gates, begun_ms, upto_ms)
            self._count_pairs(rollout, gates, carts, upto_ms)
        return Look(
            verdicts=changed(rollout, gates, now_ms, self._no_data_s),
            gates=gates.to_states(),
            readings=readings(rollout, gates),
        )

    def _count_blocks(self, asked: Asked, gates: Gates, begun_ms: int, upto_ms: int) -> None:
        start_ms = first_block(begun_ms, self._lags) if gates.upto_ms is None else gates.upto_ms
        end_ms = min(upto_ms, start_ms + MAX_SPAN_MS)
        if end_ms > start_ms and asked.canary:
            blocks = self._source.blocks(asked, start_ms, end_ms, self._lags)
            gates.count(blocks, end_ms, expected_share(gates.volumes, asked.canary, asked.control))

    def _count_pairs(
        self, rollout: Rollout, gates: Gates, carts: Mapping[str, CartRecord], upto_ms: int
    ) -> None:
        promotion = rollout.plan.promotion
        if promotion is None:
            return
        for index, stage in enumerate(rollout.stages):
            if index in gates.paired_stages or stage.baking_ms is None:
                continue
            end_ms = stage.baking_ms + int(promotion.window_s * 1000)
            pairs = pairs_of(carts, index)
            if pairs and end_ms <= upto_ms:
                found = self._differences(rollout, promotion, pairs, stage.baking_ms, end_ms)
                gates.count_pairs(index, found, end_ms)

    def _differences(
        self,
        rollout: Rollout,
        promotion: Promotion,
        pairs: Sequence[tuple[str, str]],
        start_ms: int,
        end_ms: int,
    ) -> list[float]:
        canaries, controls = [one for one, _ in pairs], [other for _, other in pairs]
        ours = self._source.carts(rollout.plan.model, canaries, start_ms, end_ms, self._lags)
        theirs = self._source.carts(rollout.baseline, controls, start_ms, end_ms, self._lags)
        return differences(pairs, ours, theirs, promotion.min_events)

    def arm(self, rollout: Rollout, canary: tuple[str, ...], control: tuple[str, ...], now_ms: int) -> Look:
        """Try the gates on the day before, and freeze what is frozen before the first stage.

        That day is taken as it is now: it closed long ago, but for its last minutes, which are left out.
        """
        gates = Gates.fresh(rollout.plan)
        end_ms = (now_ms - self._lags.total_ms) // 1000 * 1000
        start_ms, everyone = end_ms - DAY_MS, (*canary, *control)
        latency = next((gate for gate in rollout.plan.gates if gate.metric == "latency"), None)
        if latency is not None and gates.threshold_ms is None:
            gates.freeze_threshold(
                self._source.latency_ms(rollout.baseline, everyone, start_ms, end_ms, latency.quantile)
            )
        found = self._source.carts(rollout.baseline, everyone, start_ms, end_ms, self._lags)
        gates.volumes = {cart: n for cart, (_, n) in found.items()}
        asked = Asked(rollout.baseline, rollout.baseline, canary, control, gates.threshold_ms)
        blocks = self._source.blocks(asked, start_ms, end_ms, self._lags)
        verdict = replay(rollout, gates, blocks, now_ms)
        return Look((verdict,), gates.to_states(), readings(rollout, gates))


def replay(rollout: Rollout, gates: Gates, blocks: Sequence[Block], now_ms: int) -> events.VerdictGiven:
    """Return what the gates say of a day on which all carts ran one model; gates are left as they are."""
    tried = Gates.fresh(rollout.plan)
    tried.freeze_threshold(gates.threshold_ms)
    tried.count(blocks, now_ms, 0.0)
    fired = [metric for metric, (gate, _) in tried.events.items() if gate.rejected]
    both = any(block.canary.events and block.control.events for block in blocks)
    if fired:
        verdict, why = Verdict.FAIL, f"{' and '.join(fired)} fired, though nothing was different"
    elif both:
        verdict, why = Verdict.PASS, "quiet on the day before"
    else:
        verdict, why = Verdict.NO_DATA, "there is no day before to try the gates on: armed untried"
    numbers: dict[str, Any] = {
        metric: {"e_value": gate.e_value, "canary": list(tally.canary), "control": list(tally.control)}
        for metric, (gate, tally) in tried.events.items()
    }
    return events.VerdictGiven(
        at_ms=now_ms, stage=0, gate=REPLAY, verdict=verdict, numbers=numbers, reason=why
    )


def expected_share(volumes: Mapping[str, int], canary: Sequence[str], control: Sequence[str]) -> float:
    """Return which share of all events should be the canary's: as the day before, or by number of carts."""
    ours = sum(volumes.get(cart, 0) for cart in canary)
    theirs = sum(volumes.get(cart, 0) for cart in control)
    if ours and theirs:
        return ours / (ours + theirs)
    everyone = len(canary) + len(control)
    return len(canary) / everyone if everyone else 0.0


def pairs_of(carts: Mapping[str, CartRecord], stage: int) -> list[tuple[str, str]]:
    """Return the pairs (canary, control) of a stage, in the order of the canaries' ids."""
    members = (cart for cart in carts.values() if cart.stage == stage)
    return sorted((cart.cart, cart.pair) for cart in members if cart.pair is not None)


def differences(
    pairs: Sequence[tuple[str, str]],
    ours: Mapping[str, tuple[int, int]],
    theirs: Mapping[str, tuple[int, int]],
    min_events: int,
) -> list[float]:
    """Return canary minus control of the pairs of which both carts had enough events, in their order."""
    found = []
    for canary, control in pairs:
        mine, other = ours.get(canary, (0, 0)), theirs.get(control, (0, 0))
        if min(mine[1], other[1]) >= min_events:
            found.append(mine[0] / mine[1] - other[0] / other[1])
    return found
