"""The gates of one rollout: made from its plan, fed with closed blocks, stored as JSON. Pure.

The plan's alpha is shared out in equal parts among the gates that may stop the rollout, so that together they
stop a harmless model with probability alpha at most (Bonferroni; e-values need no independence). A gate in
shadow has a part of the same size and takes none from the others. The promotion gate has alpha for itself: it
guards against another error. Nothing is reset between stages: each gate is one e-process from the first cart
to the last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fleet_control.rollouts.gating.blocks import Block, Side
from fleet_control.rollouts.gating.sample_ratio import SampleRatio
from fleet_control.rollouts.plan import GatePlan, Plan
from fleet_control.statistics.sequential import PairedGate, ProportionGate, QuantileGate, RateGate

EventGate = ProportionGate | RateGate | QuantileGate
PROMOTION, SAMPLE_RATIO, CLOCK = "promotion", "sample_ratio", "clock"
# The question whose answer each of them counts.
QUERIES = {
    "accuracy": "rollout_events",
    "errors": "rollout_errors",
    "latency": "rollout_events",
    PROMOTION: "rollout_carts",
    SAMPLE_RATIO: "rollout_events",
}
# Points of a curve for people; every second one is dropped when there are more.
MAX_HISTORY = 240


@dataclass(frozen=True, slots=True)
class Tally:
    """What a gate has counted, for people.

    Attributes:
        canary: (hits, of): right events, errors, slow decisions.
        control: The same of the controls.
        history: (time, e-value), oldest first.
        last_ms: Begin of the newest block in which both sides had something.
    """

    canary: tuple[int, int] = (0, 0)
    control: tuple[int, int] = (0, 0)
    history: tuple[tuple[int, float], ...] = ()
    last_ms: int | None = None

    def after(self, block: Block, canary: tuple[int, int], control: tuple[int, int]) -> "Tally":
        """Return it after a block."""
        both = canary[1] > 0 and control[1] > 0
        return replace(
            self,
            canary=(self.canary[0] + canary[0], self.canary[1] + canary[1]),
            control=(self.control[0] + control[0], self.control[1] + control[1]),
            last_ms=block.at_ms if both else self.last_ms,
        )

    def marked(self, at_ms: int, e_value: float) -> "Tally":
        """Return it with one more point of the curve."""
        history = (*self.history, (at_ms, e_value))
        if len(history) > MAX_HISTORY:
            history = (*history[:-1:2], history[-1])
        return replace(self, history=history)


@dataclass(slots=True)
class Gates:
    """All gates of one rollout.

    Attributes:
        plan: The rollout's.
        upto_ms: Blocks before it are counted; None: none yet.
        threshold_ms: Of latency, frozen before the first stage; None: not known.
        volumes: Events of each cart on the day before.
        events: Gates of events by metric, each with its tally.
        paired: The promotion gate, with its tally; None without promotion.
        paired_stages: Stages whose pairs were counted.
        ratio: The sample-ratio check.
    """

    plan: Plan
    upto_ms: int | None = None
    threshold_ms: float | None = None
    volumes: Mapping[str, int] = field(default_factory=dict)
    events: dict[str, tuple[EventGate, Tally]] = field(default_factory=dict)
    paired: tuple[PairedGate, Tally] | None = None
    paired_stages: tuple[int, ...] = ()
    ratio: SampleRatio = field(default_factory=SampleRatio)

    @classmethod
    def fresh(cls, plan: Plan) -> "Gates":
        """Return gates without evidence."""
        alpha = alpha_of(plan)
        made = cls(plan)
        made.events = {gate.metric: (_made(gate, alpha, None), Tally()) for gate in plan.gates}
        if plan.promotion is not None:
            made.paired = PairedGate(plan.alpha, plan.promotion.margin), Tally()
        fixed = next((gate.threshold_ms for gate in plan.gates if gate.metric == "latency"), None)
        made.freeze_threshold(fixed)
        return made

    def freeze_threshold(self, threshold_ms: float | None) -> None:
        """Say what a slow decision is, before the first one is counted."""
        plan = next((gate for gate in self.plan.gates if gate.metric == "latency"), None)
        if plan is not None and threshold_ms is not None:
            self.threshold_ms = threshold_ms
            self.events["latency"] = (_made(plan, alpha_of(self.plan), threshold_ms), Tally())

    def count(self, blocks: Sequence[Block], upto_ms: int, expected: float) -> None:
        """Take in blocks that have closed, in order.

        Args:
            blocks: Those with anything in them.
            upto_ms: End of the newest closed block.
            expected: Share of the canary in all events that is expected.
        """
        for block in blocks:
            for metric, (gate, tally) in self.events.items():
                canary, control = _sides(metric, block.canary), _sides(metric, block.control)
                _update(gate, canary, control)
                self.events[metric] = gate, tally.after(block, canary, control)
            self.ratio = self.ratio.after(block.canary.events, block.control.events, expected)
        if blocks:
            for metric, (gate, tally) in self.events.items():
                self.events[metric] = gate, tally.marked(upto_ms, gate.e_value)
        self.upto_ms = upto_ms

    def count_pairs(self, stage: int, differences: Sequence[float], upto_ms: int) -> None:
        """Take in the pairs of a stage whose window has closed."""
        if self.paired is not None:
            gate, tally = self.paired
            gate.update(differences)
            self.paired = gate, tally.marked(upto_ms, gate.e_value)
        self.paired_stages = (*self.paired_stages, stage)

    def to_states(self) -> dict[str, dict[str, Any]]:
        """Return all of it by gate, as JSON can hold it."""
        states: dict[str, dict[str, Any]] = {
            metric: {"gate": gate.to_state(), "tally": _tally_state(tally)}
            for metric, (gate, tally) in self.events.items()
        }
        if self.paired is not None:
            gate, tally = self.paired
            states[PROMOTION] = {
                "gate": gate.to_state(),
                "tally": _tally_state(tally),
                "stages": list(self.paired_stages),
            }
        states[SAMPLE_RATIO] = self.ratio.to_state()
        states[CLOCK] = {
            "upto_ms": self.upto_ms,
            "threshold_ms": self.threshold_ms,
            "volumes": dict(self.volumes),
        }
        return states

    @classmethod
    def from_states(cls, plan: Plan, states: Mapping[str, Mapping[str, Any]]) -> "Gates":
        """Return the gates that were stored; fresh ones where nothing was.

        Raises:
            GateInputError: a state is not that of its gate.
        """
        made = cls.fresh(plan)
        clock = states.get(CLOCK)
        if clock is None:
            return made
        made.upto_ms, made.threshold_ms = clock["upto_ms"], clock["threshold_ms"]
        made.volumes = clock["volumes"]
        for metric, (gate, _) in made.events.items():
            if (state := states.get(metric)) is not None:
                made.events[metric] = type(gate).from_state(state["gate"]), _tally(state["tally"])
        if made.paired is not None and (state := states.get(PROMOTION)) is not None:
            made.paired = PairedGate.from_state(state["gate"]), _tally(state["tally"])
            made.paired_stages = tuple(state["stages"])
        made.ratio = SampleRatio.from_state(states[SAMPLE_RATIO])
        return made


def alpha_of(plan: Plan) -> float:
    """Return the part of alpha that each gate of events has."""
    enforced = sum(gate.mode == "enforce" for gate in plan.gates)
    return plan.alpha / max(1, enforced)


def _made(plan: GatePlan, alpha: float, threshold_ms: float | None) -> EventGate:
    match plan.metric:
        case "accuracy":
            return ProportionGate(alpha, plan.margin)
        case "errors":
            return RateGate(alpha)
        case _:
            # Without a threshold nothing is slow, and nothing is counted: see `_sides`.
            return QuantileGate(alpha, plan.quantile, threshold_ms or 1.0)


def _sides(metric: str, side: Side) -> tuple[int, int]:
    match metric:
        case "accuracy":
            return side.events - side.contradicted, side.events
        case "errors":
            # What failed was tried, too: an engine that does nothing but fail has inferences of no duration.
            return side.errors, side.inferences + side.errors
        case _:
            return side.slow, side.timed


def _update(gate: EventGate, canary: tuple[int, int], control: tuple[int, int]) -> None:
    if isinstance(gate, RateGate):
        gate.update(canary[0], control[0], canary[1], control[1])
    else:
        gate.update(canary[0], canary[1], control[0], control[1])


def _tally_state(tally: Tally) -> dict[str, Any]:
    return {
        "canary": list(tally.canary),
        "control": list(tally.control),
        "history": [list(point) for point in tally.history],
        "last_ms": tally.last_ms,
    }


def _tally(state: Mapping[str, Any]) -> Tally:
    canary, control = state["canary"], state["control"]
    return Tally(
        canary=(canary[0], canary[1]),
        control=(control[0], control[1]),
        history=tuple((point[0], point[1]) for point in state["history"]),
        last_ms=state["last_ms"],
    )
