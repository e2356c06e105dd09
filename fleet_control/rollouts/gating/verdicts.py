"""What gates say. Pure.

FAIL: the evidence of harm has reached 1 / alpha; it stays so. SHADOW: the same of a gate that only watches.
PASS: the promotion gate alone can say it: certainly no more than the margin is lost. NO_DATA: for a while one
side has had nothing to count, or no pair had enough events. INCONCLUSIVE: neither harm nor harmlessness yet.
"""

from collections.abc import Iterator
from typing import Any

from fleet_control.rollouts.events import VerdictGiven
from fleet_control.rollouts.gating.gates import PROMOTION, QUERIES, SAMPLE_RATIO, Gates, Tally
from fleet_control.rollouts.rollout import Rollout
from fleet_control.rollouts.states import CartStatus, Verdict

# One side silent for so long while carts run the model: there is no data. Lower calls people at night, when
# nobody shops; higher tells them later that the gates are blind.
NO_DATA_S = 1_800


def changed(
    rollout: Rollout, gates: Gates, now_ms: int, no_data_s: float = NO_DATA_S
) -> tuple[VerdictGiven, ...]:
    """Return the words of gates that say something else than they last did."""
    known = {name: verdict.verdict for name, verdict in rollout.verdicts.items()}
    return tuple(
        word for word in _words(rollout, gates, now_ms, no_data_s) if known.get(word.gate) is not word.verdict
    )


def _words(rollout: Rollout, gates: Gates, now_ms: int, no_data_s: float) -> Iterator[VerdictGiven]:
    stage = rollout.current or 0
    runs = rollout.count(CartStatus.DONE, CartStatus.PROVING) > 0
    begun_ms = min((s.began_ms for s in rollout.stages if s.began_ms is not None), default=now_ms)
    blind_ms = now_ms - no_data_s * 1000
    for plan in gates.plan.gates:
        gate, tally = gates.events[plan.metric]
        verdict, why = Verdict.INCONCLUSIVE, "no harm is proved"
        if gate.rejected:
            verdict = Verdict.FAIL if plan.mode == "enforce" else Verdict.SHADOW
            why = _harm(plan.metric, tally)
        elif runs and rollout.pool and max(tally.last_ms or 0, begun_ms) < blind_ms:
            verdict, why = Verdict.NO_DATA, _silence(tally)
        elif tally.last_ms is None:
            continue
        yield _word(plan.metric, verdict, why, _numbers(gate.e_value, tally), stage=stage, now_ms=now_ms)
    yield from _promotion(gates, stage, now_ms)
    yield from _ratio(gates, stage, now_ms)


def _promotion(gates: Gates, stage: int, now_ms: int) -> Iterator[VerdictGiven]:
    if gates.paired is None or not gates.paired_stages:
        return
    gate, _ = gates.paired
    low, high = gate.interval
    said = f"the difference is between {low:+.1%} and {high:+.1%}, from {gate.pairs} pairs of carts"
    if gate.rejected:
        verdict = Verdict.FAIL
    elif gate.passed:
        verdict = Verdict.PASS
    elif gate.pairs == 0:
        verdict, said = Verdict.NO_DATA, "no pair of carts had enough events in its window"
    else:
        verdict = Verdict.INCONCLUSIVE
    numbers = {"e_value": gate.e_value, "pairs": gate.pairs, "low": low, "high": high}
    yield _word(PROMOTION, verdict, said, numbers, stage=stage, now_ms=now_ms)


def _ratio(gates: Gates, stage: int, now_ms: int) -> Iterator[VerdictGiven]:
    ratio = gates.ratio
    if not ratio.total:
        return
    share = ratio.canary / ratio.total
    verdict = Verdict.FAIL if ratio.fired else Verdict.INCONCLUSIVE
    why = f"{share:.1%} of the events are the canary's"
    numbers = {"canary": ratio.canary, "total": ratio.total, "e_value": ratio.e_value}
    yield _word(SAMPLE_RATIO, verdict, why, numbers, stage=stage, now_ms=now_ms)


def _word(
    gate: str, verdict: Verdict, why: str, numbers: dict[str, Any], *, stage: int, now_ms: int
) -> VerdictGiven:
    query = QUERIES[gate]
    return VerdictGiven(
        at_ms=now_ms, stage=stage, gate=gate, verdict=verdict, numbers=numbers, query=query, reason=why
    )


def _numbers(e_value: float, tally: Tally) -> dict[str, Any]:
    return {
        "e_value": e_value,
        "canary": list(tally.canary),
        "control": list(tally.control),
        "last_ms": tally.last_ms,
    }


def _harm(metric: str, tally: Tally) -> str:
    what = {"accuracy": "right", "errors": "failed", "latency": "slow"}[metric]
    return f"{what}: canary {_share(tally.canary)}, control {_share(tally.control)}"


def _share(counts: tuple[int, int]) -> str:
    hits, of = counts
    return f"{hits / of:.2%} of {of:,}" if of else "nothing"


def _silence(tally: Tally) -> str:
    silent = [name for name, n in (("canary", tally.canary[1]), ("control", tally.control[1])) if not n]
    return f"nothing from the {' and the '.join(silent)}" if silent else "nothing lately from one side"
