"""Whether a cart does well with a model that has just gone live: judged by what its network did since.

- It hangs: bad at once.
- It failed, or answered no numbers, at least `LEAST_FAILURES` times and in `FAILING_SHARE` of all looks: bad.
- After enough looks, the mean inference takes more than `SLACK` times what the model is allowed: bad.
- It was live for long enough, and looked often enough: good. Before that: neither.
"""

from dataclasses import dataclass
from typing import Literal

from fleet_agent.model_change import Sight

# A single failure may be anything. Lower, and one bad moment takes a good model back; higher, and a blind
# cart waits longer.
LEAST_FAILURES = 3
FAILING_SHARE = 0.1
# The gate measured the network alone; here cameras and disk work beside it. Lower, and a busy cart takes a
# good model back; higher, and a slow one stays.
SLACK = 3.0


@dataclass(frozen=True, slots=True)
class ProbationTerms:
    """What a model must show.

    Attributes:
        lasts_s: How long.
        looks: How many inferences at least.
        budget_ms: Longest time of one; None: it is not judged.
    """

    lasts_s: float
    looks: int
    budget_ms: float | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of a model in probation.

    Attributes:
        verdict: `open`: neither yet.
        what: What failed, in a word.
        why: In a sentence.
    """

    verdict: Literal["open", "good", "bad"]
    what: str = ""
    why: str = ""


def judge(began: Sight, now: Sight, live_s: float, terms: ProbationTerms) -> Judgement:
    """Judge a model by the difference between two sights.

    Args:
        began: When it went live.
        now: Since.
        live_s: Seconds between them.
        terms: What it must show.
    """
    if now.stuck:
        return Judgement("bad", "stuck", f"{now.stuck} hangs")
    looks, failures = now.looks - began.looks, now.failures - began.failures
    if failures >= max(LEAST_FAILURES, FAILING_SHARE * looks):
        return Judgement("bad", "failures", f"{failures} failures in {looks} looks")
    if looks < terms.looks:
        return Judgement("open")
    mean_ms = (now.looks_ms - began.looks_ms) / looks
    if terms.budget_ms is not None and mean_ms > SLACK * terms.budget_ms:
        limit = f"{SLACK:g} times {terms.budget_ms:g} ms are allowed"
        return Judgement("bad", "latency", f"a look takes {mean_ms:.0f} ms; {limit}")
    return Judgement("good" if live_s >= terms.lasts_s else "open")
