"""The A/A replay: the gates on the day before, when all these carts ran one model.

A gate that fires there fires for what the carts are, not for the model: it must not be armed. Carts differ;
this is where it shows whether the margin is wide enough for how much these do.
"""

from collections.abc import Iterator

from fleet_control.rollouts.events import VerdictGiven
from fleet_control.rollouts.gating.blocks import MAX_ROWS, Membership, Timing, blocks_of
from fleet_control.rollouts.gating.gatekeeper import stop_alpha
from fleet_control.rollouts.gating.readings import REPLAY
from fleet_control.rollouts.gating.source import EvidenceSource, Scope, Span
from fleet_control.rollouts.gating.watch import Watch
from fleet_control.rollouts.plan import Plan
from fleet_control.rollouts.rollout import Rollout
from fleet_control.rollouts.states import Verdict

# Of the day before, one block per hour: the time of day cancels, as it does in the short blocks of a stage.
BLOCK_S = 3_600
BLOCKS = 24
# Below that nothing would fire whatever the carts are: it is no test.
MIN_EVENTS = 200
# The store of every cart here: names of carts are unique.
_ANYWHERE = ""


def day_before(timing: Timing, at_ms: int) -> Span:
    """Return the day before a time, as far as its blocks are closed by then."""
    end_ms = at_ms - timing.close_s * 1000
    return timing.past(end_ms - BLOCKS * BLOCK_S * 1000, BLOCKS, BLOCK_S)


def replay(
    rollout: Rollout,
    canary: tuple[str, ...],
    control: tuple[str, ...],
    *,
    source: EvidenceSource,
    timing: Timing,
    now_ms: int,
) -> VerdictGiven:
    """Try the gates on the day before.

    Args:
        rollout: The head.
        canary: Carts of the first stage.
        control: The other carts of the target.
        source: The warehouse.
        timing: When blocks close.
        now_ms: The time.

    Raises:
        WarehouseError: it does not answer: try again, nothing is armed meanwhile.
    """
    plan, span = rollout.plan, day_before(timing, now_ms)
    scope = Scope((rollout.baseline,), plan.target.stores)
    watches = _watches(plan, span, scope, source)
    membership = _membership(rollout, canary, control)
    events = {"canary": 0, "control": 0}
    for part in _parts(timing, span, len(canary) + len(control)):
        outcomes = source.outcomes(part, scope, slow_of(watches))
        errors = source.errors(part, scope)
        blocks = blocks_of(
            part,
            (row._replace(store=_ANYWHERE) for row in outcomes),
            (row._replace(store=_ANYWHERE) for row in errors),
            membership,
            {},
        )
        for block in blocks:
            events["canary"] += block.canary.events
            events["control"] += block.control.events
            for watch in watches:
                watch.take(block)
    return _verdict(watches, events, span.described("rollout_outcomes", scope), now_ms)


def slow_of(watches: tuple[Watch, ...]) -> float:
    """Return from where on decisions are slow; beyond everything without a gate that asks."""
    for watch in watches:
        if watch.metric == "latency" and watch.gate is not None:
            return float(watch.gate.to_state()["threshold"])
    return 1e12


def _watches(plan: Plan, span: Span, scope: Scope, source: EvidenceSource) -> tuple[Watch, ...]:
    alpha = stop_alpha(plan)
    return tuple(
        Watch.fresh(gate, alpha, threshold_of(plan, span, scope, source))
        for gate in plan.gates
        if gate.mode == "enforce"
    )


def threshold_of(plan: Plan, span: Span, scope: Scope, source: EvidenceSource) -> float | None:
    """Return the quantile of decision times over a span; None: nobody asks, or there are too few.

    Raises:
        WarehouseError: the warehouse does not answer.
    """
    for gate in plan.gates:
        if gate.metric == "latency" and gate.threshold_ms is None:
            value, n = source.threshold(span.start_ms, span.end_ms, gate.quantile, scope)
            return value if n >= MIN_EVENTS else None
    return None


def _membership(rollout: Rollout, canary: tuple[str, ...], control: tuple[str, ...]) -> Membership:
    since: dict[tuple[str, str], int | None] = {(_ANYWHERE, cart): None for cart in control}
    since |= {(_ANYWHERE, cart): 0 for cart in canary}
    # The day before, both ran the baseline.
    return Membership(rollout.baseline, rollout.baseline, since, {})


def _parts(timing: Timing, span: Span, carts: int) -> Iterator[Span]:
    """Yield a span in parts whose answers are not too large."""
    step = max(1, min(BLOCKS, MAX_ROWS // max(1, carts)))
    for first in range(0, BLOCKS, step):
        blocks = min(step, BLOCKS - first)
        yield timing.past(span.start_ms + first * BLOCK_S * 1000, blocks, BLOCK_S)


def _verdict(watches: tuple[Watch, ...], events: dict[str, int], query: str, now_ms: int) -> VerdictGiven:
    fired = [watch.metric for watch in watches if watch.gate is not None and watch.gate.rejected]
    numbers = {**events, "gates": {watch.metric: watch.numbers() for watch in watches}}
    if fired:
        verdict, why = Verdict.FAIL, f"on yesterday's data {' and '.join(fired)} would have fired"
    elif min(events.values()) < MIN_EVENTS:
        verdict = Verdict.NO_DATA
        why = f"armed without a replay: yesterday had fewer than {MIN_EVENTS} events of one side"
    else:
        verdict, why = Verdict.PASS, "on yesterday's data no gate fires"
    return VerdictGiven(
        at_ms=now_ms, stage=0, gate=REPLAY, verdict=verdict, numbers=numbers, query=query, reason=why
    )
