"""All gates of a rollout: evidence in, verdicts out. Pure: states and blocks to states and verdicts.

How alpha is spent: the gates that may stop share the plan's alpha, so that together they ever stop a harmless
model with that probability at most; among them is the promotion gate's FAIL. Its PASS has the whole alpha for
itself: promoting a harmful model is another kind of error. The sample ratio stops nothing, and has its own.

Each gate is one e-process over all stages, never begun anew. A verdict is given when a gate changes its mind:

- FAIL: the evidence of harm reached its threshold. It stays. SHADOW: the same of a gate that only watches;
- PASS: of `promotion` alone; of the sample ratio and the replay nothing is ever promoted;
- NO_DATA: nothing to count of one side for `patience_s`, or nothing can be asked. Never before a bake begins;
- INCONCLUSIVE: nothing proved in time, or data again after NO_DATA.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fleet_control.errors import GateInputError
from fleet_control.rollouts.events import VerdictGiven
from fleet_control.rollouts.gating.blocks import Block
from fleet_control.rollouts.gating.history import History
from fleet_control.rollouts.gating.pairs import Round
from fleet_control.rollouts.gating.promotion import GATE as PROMOTION
from fleet_control.rollouts.gating.promotion import Proving
from fleet_control.rollouts.gating.sample_ratio import SampleRatioGate
from fleet_control.rollouts.gating.situation import Situation
from fleet_control.rollouts.gating.watch import Watch
from fleet_control.rollouts.plan import Plan
from fleet_control.rollouts.states import Verdict

SAMPLE_RATIO, COUNTING = "sample_ratio", "counting"


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at the warehouse brought.

    Attributes:
        blocks: Closed blocks, in order, beginning where the last look ended.
        rounds: Windows of pairs that have closed.
        query: The question that the blocks are the answer to.
        pair_query: The same of the windows.
    """

    blocks: tuple[Block, ...] = ()
    rounds: tuple[Round, ...] = ()
    query: str = ""
    pair_query: str = ""


@dataclass(slots=True)
class Ratio:
    """The sample-ratio check at work."""

    gate: SampleRatioGate = field(default_factory=SampleRatioGate)
    verdict: Verdict | None = None
    checked: int = 0
    history: History = field(default_factory=History)

    def take(self, block: Block) -> None:
        """Count one closed block."""
        if self.gate.update(block.shares):
            self.checked += 1
            self.history.add(block.end_ms, self.gate.e_value)

    def numbers(self) -> dict[str, Any]:
        """Return what its verdict is made of."""
        return {
            "e_value": self.gate.e_value,
            "threshold": 1.0 / self.gate.alpha,
            "canary": self.gate.counted[0],
            "control": self.gate.counted[1],
            "expected": round(self.gate.expected, 1),
        }


def stop_alpha(plan: Plan) -> float:
    """Return the share of alpha of each gate that may stop."""
    stoppers = sum(gate.mode == "enforce" for gate in plan.gates) + (plan.promotion is not None)
    return plan.alpha / max(1, stoppers)


@dataclass(slots=True)
class Gatekeeper:
    """All gates of a rollout with what they have counted.

    Attributes:
        plan: What is wanted of them.
        counted_ms: Events up to then are counted; the next block begins there.
        watches: Gates of events.
        proving: The promotion gate; None: the plan has none.
        ratio: The sample-ratio check.
        query: The question of the newest blocks.
        pair_query: The question of the newest window of pairs.
    """

    plan: Plan
    counted_ms: int
    watches: tuple[Watch, ...]
    proving: Proving | None
    ratio: Ratio = field(default_factory=Ratio)
    query: str = ""
    pair_query: str = ""

    @classmethod
    def fresh(cls, plan: Plan, from_ms: int, threshold_ms: float | None) -> "Gatekeeper":
        """Return gates that have counted nothing.

        Args:
            plan: What is wanted of them.
            from_ms: Start of the first block.
            threshold_ms: The control carts' quantile of the day before; None: not known.
        """
        alpha = stop_alpha(plan)
        watches = tuple(Watch.fresh(gate, alpha, threshold_ms) for gate in plan.gates)
        promotion = plan.promotion
        proving = None if promotion is None else Proving.fresh(plan, promotion, alpha)
        return cls(plan, from_ms, watches, proving)

    def recall(self, verdicts: Mapping[str, Verdict]) -> None:
        """Remember what was said before there were gates: that there is no data ends when there is some."""
        for watch in self.watches:
            if verdicts.get(watch.metric) is Verdict.NO_DATA:
                watch.verdict = Verdict.NO_DATA
        if self.proving is not None and verdicts.get(PROMOTION) is Verdict.NO_DATA:
            self.proving.verdict = Verdict.NO_DATA

    def take(self, found: Found) -> None:
        """Count what a look brought; blocks that were counted before change nothing.

        Raises:
            GateInputError: a block is missing.
        """
        for block in found.blocks:
            if block.start_ms < self.counted_ms:
                continue
            if block.start_ms > self.counted_ms:
                raise GateInputError(
                    "block", block.start_ms, f"the one that begins at {self.counted_ms} is next"
                )
            for watch in self.watches:
                watch.take(block)
            self.ratio.take(block)
            self.counted_ms, self.query = block.end_ms, found.query
        for each in found.rounds:
            if self.proving is not None:
                self.proving.take(each)
                self.pair_query = found.pair_query

    def judge(self, situation: Situation, pairs_left: int) -> tuple[VerdictGiven, ...]:
        """Return the verdicts that changed."""
        return tuple(self._judged(situation, pairs_left))

    def _judged(self, situation: Situation, pairs_left: int) -> Iterator[VerdictGiven]:
        for watch in self.watches:
            verdict, why = watch.judge(situation, self.counted_ms)
            if verdict is not None and verdict is not watch.verdict:
                watch.verdict = verdict
                yield self._given(situation, watch.metric, verdict, why, watch.numbers())
        proving, ratio = self.proving, self.ratio
        if proving is not None:
            verdict, why = proving.judge(situation, self.plan, self.counted_ms, pairs_left)
            if verdict is not None and verdict is not proving.verdict:
                proving.verdict = verdict
                yield self._given(situation, PROMOTION, verdict, why, proving.numbers())
        if ratio.gate.rejected and ratio.verdict is not Verdict.FAIL:
            ratio.verdict = Verdict.FAIL
            why = "canaries and controls are not heard in the shares of the day before"
            yield self._given(situation, SAMPLE_RATIO, Verdict.FAIL, why, ratio.numbers())

    def _given(
        self, at: Situation, gate: str, verdict: Verdict, why: str, numbers: dict[str, Any]
    ) -> VerdictGiven:
        return VerdictGiven(
            at_ms=at.now_ms,
            reason=why,
            stage=at.stage,
            gate=gate,
            verdict=verdict,
            numbers={**numbers, "counted_ms": self.counted_ms},
            query=self.pair_query if gate == PROMOTION else self.query,
        )

    def states(self) -> dict[str, dict[str, Any]]:
        """Return all of it by name, as JSON can hold it."""
        ratio = {
            "gate": self.ratio.gate.to_state(),
            "verdict": None if self.ratio.verdict is None else self.ratio.verdict.value,
            "checked": self.ratio.checked,
            "history": self.ratio.history.to_state(),
        }
        found: dict[str, dict[str, Any]] = {watch.metric: watch.to_state() for watch in self.watches}
        if self.proving is not None:
            found[PROMOTION] = self.proving.to_state()
        counting = {"counted_ms": self.counted_ms, "query": self.query, "pair_query": self.pair_query}
        return {**found, SAMPLE_RATIO: ratio, COUNTING: counting}

    @classmethod
    def restored(cls, plan: Plan, states: Mapping[str, Mapping[str, Any]]) -> "Gatekeeper":
        """Return the gates that were stored.

        Raises:
            GateInputError: a state is missing or not that of its gate.
        """
        try:
            counting, ratio = states[COUNTING], states[SAMPLE_RATIO]
            verdict = ratio["verdict"]
            return cls(
                plan,
                int(counting["counted_ms"]),
                tuple(Watch.from_state(gate, states[gate.metric]) for gate in plan.gates),
                None if plan.promotion is None else Proving.from_state(states[PROMOTION]),
                Ratio(
                    SampleRatioGate.from_state(ratio["gate"]),
                    None if verdict is None else Verdict(verdict),
                    int(ratio["checked"]),
                    History.from_state(ratio["history"]),
                ),
                str(counting["query"]),
                str(counting["pair_query"]),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise GateInputError("states", sorted(states), "those of all gates are wanted") from error


def update(
    plan: Plan,
    states: Mapping[str, Mapping[str, Any]],
    found: Found,
    situation: Situation,
    pairs_left: int = 0,
) -> tuple[dict[str, dict[str, Any]], tuple[VerdictGiven, ...]]:
    """Count what a look brought, and say what changed: the whole as a function.

    Args:
        plan: What is wanted of the gates.
        states: As stored.
        found: What a look brought.
        situation: Where the rollout is.
        pairs_left: Pairs of the stage that have not counted yet, those of `found` left out.

    Raises:
        GateInputError: a state is not that of its gate, or a block is missing.
    """
    keeper = Gatekeeper.restored(plan, states)
    keeper.take(found)
    verdicts = keeper.judge(situation, pairs_left)
    return keeper.states(), verdicts
