"""What gates know, for people. Pure."""

import math
from collections.abc import Iterator

from fleet_control.rollouts.gating.gates import PROMOTION, QUERIES, SAMPLE_RATIO, Gates, Tally, alpha_of
from fleet_control.rollouts.gating.sample_ratio import ALPHA
from fleet_control.rollouts.plan import GatePlan
from fleet_control.rollouts.ports import GateReading
from fleet_control.rollouts.rollout import Rollout

# The harm that "events still needed" speaks of, where there is no margin: 2 points of accuracy, and half as
# many slow decisions again.
LEAST_HARM = 0.02
REPLAY = "replay"


def readings(rollout: Rollout, gates: Gates) -> tuple[GateReading, ...]:
    """Return one reading per gate, in the order of the plan, then promotion and the checks of evidence."""
    return tuple(_readings(rollout, gates))


def _readings(rollout: Rollout, gates: Gates) -> Iterator[GateReading]:
    alpha = alpha_of(gates.plan)
    for plan in gates.plan.gates:
        gate, tally = gates.events[plan.metric]
        yield GateReading(
            gate=plan.metric,
            mode=plan.mode,
            verdict=_verdict(rollout, plan.metric),
            alpha=alpha,
            e_value=gate.e_value,
            threshold=1.0 / alpha,
            canary=tally.canary,
            control=tally.control,
            needed=_needed(plan, tally, gate.e_value, alpha),
            watermark_ms=gates.upto_ms,
            note=_note(plan, gates),
            query=QUERIES[plan.metric],
            history=tally.history,
        )
    if gates.paired is not None and gates.plan.promotion is not None:
        paired, tally = gates.paired
        yield GateReading(
            gate=PROMOTION,
            mode="enforce",
            verdict=_verdict(rollout, PROMOTION),
            alpha=gates.plan.alpha,
            e_value=paired.e_value,
            threshold=1.0 / gates.plan.alpha,
            interval=paired.interval if paired.pairs else None,
            pairs=paired.pairs,
            watermark_ms=gates.upto_ms,
            note=f"may promote once the lower end is above {-gates.plan.promotion.margin:+.1%}",
            query=QUERIES[PROMOTION],
            history=tally.history,
        )
    yield from _checks(rollout, gates)


def _checks(rollout: Rollout, gates: Gates) -> Iterator[GateReading]:
    ratio = gates.ratio
    yield GateReading(
        gate=SAMPLE_RATIO,
        mode="enforce",
        verdict=_verdict(rollout, SAMPLE_RATIO),
        alpha=ALPHA,
        e_value=ratio.e_value,
        threshold=2.0 / ALPHA,
        canary=(ratio.canary, ratio.total) if ratio.total else None,
        watermark_ms=gates.upto_ms,
        note="whether the canary sends as many events as it should",
        query="rollout_events",
    )
    yield GateReading(
        gate=REPLAY,
        mode="enforce",
        verdict=_verdict(rollout, REPLAY),
        alpha=gates.plan.alpha,
        note="the same gates on the day before, when all these carts ran one model",
        query="rollout_events",
    )


def _verdict(rollout: Rollout, gate: str) -> str | None:
    found = rollout.verdicts.get(gate)
    return None if found is None else found.verdict.value


def _note(plan: GatePlan, gates: Gates) -> str:
    if plan.metric == "latency":
        known = gates.threshold_ms
        limit = "no threshold yet" if known is None else f"slow is over {known:.0f} ms"
        return f"{limit}; {plan.quantile:.1%} should be below"
    return f"a loss of {plan.margin:.1%} is tolerated" if plan.margin else "no loss is tolerated"


def _needed(plan: GatePlan, tally: Tally, e_value: float, alpha: float) -> int | None:
    """Return about how many more canary events would show a harm of the margin's size: a bet on it, known."""
    if plan.metric == "errors" or not tally.canary[1] or not tally.control[1] or e_value <= 0.0:
        return None
    share = tally.canary[1] / (tally.canary[1] + tally.control[1])
    good = tally.control[0] if plan.metric == "accuracy" else tally.control[1] - tally.control[0]
    control = (good + 0.5) / (tally.control[1] + 1.0)
    harm = max(2.0 * plan.margin, LEAST_HARM) if plan.metric == "accuracy" else (1.0 - plan.quantile) / 2.0
    canary = max(control - harm, 1e-6)
    both = share * canary + (1.0 - share) * control
    growth = _divergence(canary, both) + (1.0 - share) / share * _divergence(control, both)
    left = math.log(1.0 / alpha) - math.log(e_value)
    return max(0, math.ceil(left / growth)) if growth > 0.0 else None


def _divergence(p: float, q: float) -> float:
    """Return the Kullback-Leibler divergence of two coins."""
    return p * math.log(p / q) + (1.0 - p) * math.log((1.0 - p) / (1.0 - q))
