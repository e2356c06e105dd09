"""What the gates know, for people."""

from collections.abc import Iterator

from fleet_control.rollouts.gating.gatekeeper import SAMPLE_RATIO, Gatekeeper
from fleet_control.rollouts.gating.needed import needed
from fleet_control.rollouts.gating.promotion import GATE as PROMOTION
from fleet_control.rollouts.gating.sample_ratio import MIN_PAST
from fleet_control.rollouts.gating.watch import NO_THRESHOLD, Watch
from fleet_control.rollouts.ports import GateReading
from fleet_control.rollouts.rollout import Rollout

REPLAY = "replay"


def readings(keeper: Gatekeeper, rollout: Rollout, *, blind: str = "") -> tuple[GateReading, ...]:
    """Return what each gate knows.

    Args:
        keeper: The gates.
        rollout: The head, for what the replay found.
        blind: Why nothing can be counted at all; empty if it can.
    """
    return tuple(_readings(keeper, rollout, blind))


def _readings(keeper: Gatekeeper, rollout: Rollout, blind: str) -> Iterator[GateReading]:
    for watch in keeper.watches:
        yield _of_watch(keeper, watch, blind)
    if keeper.proving is not None:
        proving = keeper.proving
        yield GateReading(
            gate=PROMOTION,
            mode="enforce",
            verdict=proving.verdict,
            alpha=proving.gate.alpha,
            e_value=proving.gate.e_value,
            threshold=1.0 / proving.stop_alpha,
            interval=proving.gate.interval,
            pairs=proving.gate.pairs,
            watermark_ms=keeper.counted_ms,
            note=blind,
            query=keeper.pair_query,
            history=tuple(proving.history.points),
        )
    ratio = keeper.ratio
    yield GateReading(
        gate=SAMPLE_RATIO,
        mode="enforce",
        verdict=ratio.verdict,
        alpha=ratio.gate.alpha,
        e_value=ratio.gate.e_value,
        threshold=1.0 / ratio.gate.alpha,
        canary=(ratio.gate.counted[0], sum(ratio.gate.counted)),
        control=(ratio.gate.counted[1], sum(ratio.gate.counted)),
        watermark_ms=keeper.counted_ms,
        note=blind or _ratio_note(keeper),
        query=keeper.query,
        history=tuple(ratio.history.points),
    )
    if (replay := rollout.verdicts.get(REPLAY)) is not None:
        yield GateReading(
            gate=REPLAY, mode="enforce", verdict=replay.verdict, alpha=rollout.plan.alpha, note=""
        )


def _of_watch(keeper: Gatekeeper, watch: Watch, blind: str) -> GateReading:
    gate = watch.gate
    canary, control = watch.counts
    return GateReading(
        gate=watch.metric,
        mode=watch.mode,
        verdict=watch.verdict,
        alpha=keeper.plan.alpha if gate is None else gate.alpha,
        e_value=None if gate is None else gate.e_value,
        threshold=None if gate is None else 1.0 / gate.alpha,
        canary=canary,
        control=control,
        needed=None if gate is None else needed(gate),
        watermark_ms=keeper.counted_ms,
        note=blind or (NO_THRESHOLD if gate is None else ""),
        query=keeper.query,
        history=tuple(watch.history.points),
    )


def _ratio_note(keeper: Gatekeeper) -> str:
    gate = keeper.ratio.gate
    if not keeper.ratio.checked:
        return f"not checked: it takes {MIN_PAST} events of canaries and of controls the day before"
    heard, total = gate.counted[0], sum(gate.counted)
    return f"{heard} of {total} events are the canaries'; by the day before about {gate.expected:.0f}"
