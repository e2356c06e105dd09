"""The log of the in-memory control API's rollouts: SIMULATED, one sentence for each thing that happened."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from dashboard.sources.control import CartView, LogEntry, RolloutView, StageView

_Told = tuple[datetime, str, str, StageView | None, str | None]


def entries_of(
    rollout: RolloutView, carts: Sequence[CartView], later: Sequence[LogEntry]
) -> tuple[LogEntry, ...]:
    """Return the log of a rollout, the oldest first; `later` is what was done to it since."""
    told = sorted(_told(rollout, carts, paused=rollout.automatic and not later), key=lambda one: one[0])
    first = rollout.version - len(told) - len(later) + 1
    return (
        *(
            LogEntry(
                first + place, at, kind, text, "controller", stage=None if stage is None else stage.index,
                cart=cart,
            )
            for place, (at, kind, text, stage, cart) in enumerate(told)
        ),
        *later,
    )  # fmt: skip


def _told(rollout: RolloutView, carts: Sequence[CartView], *, paused: bool) -> Iterator[_Told]:
    yield rollout.created_at, "created", f"{rollout.created_by} created it.", None, None
    for stage in rollout.stages:
        yield from _told_of_stage(stage)
        for cart in carts:
            if cart.stage == stage.index and cart.device and cart.changed_at:
                said = f"{cart.cart} reported {cart.device}, try {cart.attempt}."
                yield cart.changed_at, "cart_reported", said, stage, cart.cart
    if paused:
        yield rollout.changed_at, "paused", f"A gate paused it: {rollout.why}.", None, None


def _told_of_stage(stage: StageView) -> Iterator[_Told]:
    name = f"Stage {stage.name}"
    if stage.began_at is not None:
        begun = f"{name} began with {sum(stage.counts.values())} carts."
        yield stage.began_at, "stage_started", begun, stage, None
    if stage.baking_at is not None:
        yield stage.baking_at, "stage_baking", f"{name} bakes: enough carts run the model.", stage, None
    if stage.ended_at is not None and stage.status == "passed":
        yield stage.ended_at, "stage_passed", f"{name} passed: {stage.why}.", stage, None
