"""One gate of events at work: what it counts of a block, and its verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fleet_control.errors import GateInputError
from fleet_control.rollouts.gating.blocks import Block, Tally
from fleet_control.rollouts.gating.history import History
from fleet_control.rollouts.gating.situation import Situation
from fleet_control.rollouts.plan import GatePlan, Metric, Mode
from fleet_control.rollouts.states import Verdict
from fleet_control.statistics.sequential import ProportionGate, QuantileGate, RateGate

EventGate = ProportionGate | RateGate | QuantileGate
_KINDS: Mapping[str, type[EventGate]] = {
    "accuracy": ProportionGate,
    "errors": RateGate,
    "latency": QuantileGate,
}
NO_THRESHOLD = "there is no threshold: too few decisions the day before; name one in the plan (threshold_ms)"


@dataclass(slots=True)
class Watch:
    """A gate of a plan with what it has counted.

    Attributes:
        metric: accuracy, errors or latency.
        mode: enforce or shadow.
        gate: The statistics; None: of latency, without a threshold.
        verdict: The newest; None before the first.
        canary_ms: End of the last block in which canaries had something to count; None: none yet.
        control_ms: The same of controls.
        history: How its evidence went.
    """

    metric: Metric
    mode: Mode
    gate: EventGate | None
    verdict: Verdict | None = None
    canary_ms: int | None = None
    control_ms: int | None = None
    history: History = field(default_factory=History)

    @classmethod
    def fresh(cls, plan: GatePlan, alpha: float, threshold_ms: float | None) -> "Watch":
        """Return a gate that has counted nothing."""
        return cls(plan.metric, plan.mode, _made(plan, alpha, plan.threshold_ms or threshold_ms))

    def take(self, block: Block) -> None:
        """Count one closed block."""
        canary, control = (_counted(self.metric, side) for side in (block.canary, block.control))
        if self.gate is None:
            return
        self.canary_ms = block.end_ms if canary[1] else self.canary_ms
        self.control_ms = block.end_ms if control[1] else self.control_ms
        if isinstance(self.gate, RateGate):
            self.gate.update(canary[0], control[0], canary[1], control[1])
        else:
            self.gate.update(*canary, *control)
        self.history.add(block.end_ms, self.gate.e_value)

    def judge(self, situation: Situation, counted_ms: int) -> tuple[Verdict | None, str]:
        """Return what it says now, and why; a gate that once fired says so for ever."""
        if self.gate is not None and self.gate.rejected:
            verdict = Verdict.FAIL if self.mode == "enforce" else Verdict.SHADOW
            return verdict, f"the evidence of harm reached {1 / self.gate.alpha:.3g}"
        if self.mode == "shadow" or not situation.watched:
            return self.verdict, ""
        if why := situation.blind or self._silent(situation, counted_ms):
            return Verdict.NO_DATA, why
        if self.verdict is Verdict.NO_DATA:
            return Verdict.INCONCLUSIVE, "there is data again, and no harm is proved so far"
        return self.verdict, ""

    def _silent(self, situation: Situation, counted_ms: int) -> str:
        if self.gate is None:
            return NO_THRESHOLD
        since_ms = situation.baking_ms or 0
        for side, last_ms in (("canaries", self.canary_ms), ("controls", self.control_ms)):
            if counted_ms - max(last_ms or 0, since_ms) > situation.patience_ms:
                return f"nothing to count of the {side} for {situation.patience_ms / 60_000:.3g} minutes"
        return ""

    @property
    def counts(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(hits, of) of canaries and of controls: right events, errors, slow decisions."""
        if self.gate is None:
            return (0, 0), (0, 0)
        state = self.gate.to_state()
        if isinstance(self.gate, RateGate):
            errors, exposure = state["errors"], state["exposure"]
            return (errors[0], int(exposure[0])), (errors[1], int(exposure[1]))
        return tuple(state["canary"]), tuple(state["control"])

    def numbers(self) -> dict[str, Any]:
        """Return what its verdict is made of."""
        if self.gate is None:
            return {}
        canary, control = self.counts
        found: dict[str, Any] = {
            "e_value": self.gate.e_value,
            "threshold": 1.0 / self.gate.alpha,
            "canary": list(canary),
            "control": list(control),
        }
        if isinstance(self.gate, QuantileGate):
            found |= {"threshold_ms": self.gate.threshold, "quantile": self.gate.quantile}
        if isinstance(self.gate, ProportionGate):
            found |= {"margin": self.gate.margin, "difference": self.gate.difference}
        return found

    def to_state(self) -> dict[str, Any]:
        """Return all of it, as JSON can hold it."""
        return {
            "gate": None if self.gate is None else self.gate.to_state(),
            "verdict": None if self.verdict is None else self.verdict.value,
            "canary_ms": self.canary_ms,
            "control_ms": self.control_ms,
            "history": self.history.to_state(),
        }

    @classmethod
    def from_state(cls, plan: GatePlan, state: Mapping[str, Any]) -> "Watch":
        """Return the gate that was stored.

        Raises:
            GateInputError: the state is not one of this gate.
        """
        try:
            stored, verdict = state["gate"], state["verdict"]
            gate = None if stored is None else _KINDS[plan.metric].from_state(stored)
            return cls(
                plan.metric,
                plan.mode,
                gate,
                None if verdict is None else Verdict(verdict),
                state["canary_ms"],
                state["control_ms"],
                History.from_state(state["history"]),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise GateInputError(plan.metric, str(state)[:200], "a stored gate is wanted") from error


def _made(plan: GatePlan, alpha: float, threshold_ms: float | None) -> EventGate | None:
    match plan.metric:
        case "accuracy":
            return ProportionGate(alpha, plan.margin)
        case "errors":
            return RateGate(alpha)
        case "latency":
            return None if threshold_ms is None else QuantileGate(alpha, plan.quantile, threshold_ms)


def _counted(metric: Metric, side: Tally) -> tuple[int, int]:
    """Return (hits, of) of one side of a block."""
    match metric:
        case "accuracy":
            return side.good, side.events
        case "errors":
            return side.errors, side.inferences
        case "latency":
            return side.slow, side.timed
