"""Where a rollout is, as far as verdicts depend on it."""

from dataclasses import dataclass

from fleet_control.rollouts.gating.blocks import Membership, Timing
from fleet_control.rollouts.rollout import Rollout
from fleet_control.rollouts.states import CartStatus, StageStatus

_WATCHED = (StageStatus.BAKING, StageStatus.HOLDING)


@dataclass(frozen=True, slots=True)
class Situation:
    """Where a rollout is.

    Attributes:
        stage: Index of the stage that runs or ran last.
        now_ms: The time.
        baking_ms: Since when enough of its carts run the model; None: not yet.
        bake_over_ms: When its bake ends; None: it has not begun.
        enough: Whether at least the plan's `min_carts` of the stage run the model.
        watched: Whether there should be evidence now: it bakes, and there are controls.
        patience_ms: How long there may be nothing to count.
        blind: Why nothing can be counted at all; empty if it can.
    """

    stage: int
    now_ms: int
    baking_ms: int | None = None
    bake_over_ms: int | None = None
    enough: bool = False
    watched: bool = False
    patience_ms: int = 0
    blind: str = ""

    @classmethod
    def of(
        cls, rollout: Rollout, membership: Membership, timing: Timing, now_ms: int, blind: str = ""
    ) -> "Situation":
        """Return where a rollout is now, which has begun its first stage."""
        index = rollout.current or 0
        stage, plans = rollout.stages[index], rollout.plan.stages
        plan = plans[min(index, len(plans) - 1)]  # the tail goes as the last one
        baking_ms = stage.baking_ms
        return cls(
            stage=index,
            now_ms=now_ms,
            baking_ms=baking_ms,
            bake_over_ms=None if baking_ms is None else baking_ms + int(plan.bake_s * 1000),
            enough=stage.count(CartStatus.DONE) >= plan.min_carts,
            watched=baking_ms is not None and stage.status in _WATCHED and membership.has_controls(),
            patience_ms=int(timing.patience_s * 1000),
            blind=blind,
        )

    @property
    def bake_is_over(self) -> bool:
        """Whether the bake has ended."""
        return self.bake_over_ms is not None and self.now_ms >= self.bake_over_ms
