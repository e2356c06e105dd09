"""The gate of pairs at work: it alone says PASS."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fleet_control.errors import GateInputError
from fleet_control.plurals import agreeing, many
from fleet_control.rollouts.gating.history import History
from fleet_control.rollouts.gating.pairs import Round
from fleet_control.rollouts.gating.situation import Situation
from fleet_control.rollouts.plan import Plan, Promotion
from fleet_control.rollouts.states import Verdict
from fleet_control.statistics.sequential import PairedGate

GATE = "promotion"


@dataclass(slots=True)
class Proving:
    """The promotion gate of a plan with what it has counted.

    Attributes:
        gate: The statistics, at the plan's alpha: how likely a harmful model is ever promoted.
        stop_alpha: How likely it ever stops a harmless model: its share of the alpha of all that may stop.
        counted: Canaries whose pair has counted, in order.
        windows: By stage: how many windows were looked at.
        verdict: The newest; None before the first.
        history: How its evidence of harm went, a point per window.
    """

    gate: PairedGate
    stop_alpha: float
    counted: list[str] = field(default_factory=list)
    windows: dict[int, int] = field(default_factory=dict)
    verdict: Verdict | None = None
    history: History = field(default_factory=History)

    @classmethod
    def fresh(cls, plan: Plan, promotion: Promotion, stop_alpha: float) -> "Proving":
        """Return a gate that has counted nothing."""
        return cls(PairedGate(plan.alpha, promotion.margin), stop_alpha)

    def take(self, found: Round) -> None:
        """Count the pairs of a window; a window or a pair that was counted before changes nothing."""
        if found.number != self.windows.get(found.stage, 0):
            return
        known = set(self.counted)
        fresh = [(canary, difference) for canary, difference in found.differences if canary not in known]
        self.gate.update(difference for _, difference in fresh)
        self.counted += [canary for canary, _ in fresh]
        self.windows[found.stage] = found.number + 1
        self.history.add(found.end_ms, self.gate.e_value)

    @property
    def rejected(self) -> bool:
        """Whether the pairs have ever shown a loss beyond the margin, at `stop_alpha`."""
        return PairedGate.from_state({**self.gate.to_state(), "alpha": self.stop_alpha}).rejected

    @property
    def stands(self) -> bool:
        """Whether it is certain that no more than the margin is lost, by all pairs so far."""
        return self.gate.passed and self.gate.interval[0] > -self.gate.margin

    def judge(
        self, situation: Situation, plan: Plan, counted_ms: int, pairs_left: int
    ) -> tuple[Verdict | None, str]:
        """Return what it says now, and why.

        Args:
            situation: Where the rollout is.
            plan: How long it may take.
            counted_ms: Events up to then are counted.
            pairs_left: Pairs of the stage that have not counted yet.
        """
        if self.rejected:
            return Verdict.FAIL, f"the pairs lose more than {_points(self.gate.margin)}"
        passed_before = self.verdict is Verdict.PASS
        # What is proved of the model holds in the next stage, too; there the other gates watch its bake.
        if self.stands and (passed_before or (situation.bake_is_over and situation.enough)):
            return Verdict.PASS, f"the pairs lose less than {_points(self.gate.margin)}"
        if passed_before:
            return Verdict.INCONCLUSIVE, "with the newest pairs the proof no longer stands"
        if not situation.watched:
            return self.verdict, ""
        return self._missing(situation, plan, counted_ms, pairs_left)

    def _missing(
        self, situation: Situation, plan: Plan, counted_ms: int, pairs_left: int
    ) -> tuple[Verdict | None, str]:
        if why := situation.blind or self._silent(situation, plan, counted_ms):
            return Verdict.NO_DATA, why
        if why := self._gives_up(situation, plan, pairs_left):
            return Verdict.INCONCLUSIVE, why
        if self.verdict is Verdict.NO_DATA:
            return Verdict.INCONCLUSIVE, "there is data again, and nothing is proved so far"
        return self.verdict, ""

    def _silent(self, situation: Situation, plan: Plan, counted_ms: int) -> str:
        if self.counted or plan.promotion is None or situation.baking_ms is None:
            return ""
        first_ms = situation.baking_ms + int(plan.promotion.window_s * 1000)
        if counted_ms - first_ms <= situation.patience_ms or not self.windows:
            return ""
        return f"no pair of carts had {plan.promotion.min_events} events each in a window"

    def _gives_up(self, situation: Situation, plan: Plan, pairs_left: int) -> str:
        if not situation.bake_is_over or situation.bake_over_ms is None:
            return ""
        if situation.now_ms >= situation.bake_over_ms + plan.max_wait_s * 1000:
            return f"nothing is proved {plan.max_wait_s / 3600:.3g} h after the bake"
        if not pairs_left and not self.stands:
            return (
                f"{many(self.gate.pairs, 'pair', 'has', 'have')} counted, and none is left; nothing is proved"
            )
        return ""

    def numbers(self) -> dict[str, Any]:
        """Return what its verdict is made of."""
        return {
            "e_value": self.gate.e_value,
            "threshold": 1.0 / self.stop_alpha,
            "interval": list(self.gate.interval),
            "margin": self.gate.margin,
            "pairs": self.gate.pairs,
        }

    def to_state(self) -> dict[str, Any]:
        """Return all of it, as JSON can hold it."""
        return {
            "gate": self.gate.to_state(),
            "stop_alpha": self.stop_alpha,
            "counted": list(self.counted),
            "windows": {str(stage): number for stage, number in self.windows.items()},
            "verdict": None if self.verdict is None else self.verdict.value,
            "history": self.history.to_state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Proving":
        """Return the gate that was stored.

        Raises:
            GateInputError: the state is not one of this gate.
        """
        try:
            verdict = state["verdict"]
            return cls(
                PairedGate.from_state(state["gate"]),
                float(state["stop_alpha"]),
                list(state["counted"]),
                {int(stage): int(number) for stage, number in state["windows"].items()},
                None if verdict is None else Verdict(verdict),
                History.from_state(state["history"]),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise GateInputError(GATE, str(state)[:200], "a stored gate is wanted") from error


def _points(share: float) -> str:
    """Return a difference of shares in percentage points."""
    points = 100.0 * share
    return f"{points:.3g} {agreeing(points, 'point', 'points')} of accuracy"
