"""A rollout with gates, and a stream of what its carts do."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fleet_control.rollouts.gating.blocks import Block, Shares, Tally
from fleet_control.rollouts.gating.gatekeeper import Found, Gatekeeper
from fleet_control.rollouts.gating.pairs import Round
from fleet_control.rollouts.gating.situation import Situation
from fleet_control.rollouts.plan import Plan
from fleet_control.rollouts.plan_text import plan_of
from tests.fleet_control.rollouts.worlds import BASELINE, MODEL

BLOCK_MS = 60_000
START_MS = 1_800_000_000_000
# Before the first look at a stage nothing is judged; a bake that never ends keeps PASS out of a story.
BAKING = Situation(
    stage=0,
    now_ms=START_MS,
    baking_ms=START_MS,
    bake_over_ms=START_MS + 10**9,
    enough=True,
    watched=True,
    patience_ms=3_600_000,
)
States = Mapping[str, Mapping[str, Any]]


def gated_plan(**changes: object) -> Plan:
    """Return a plan with three gates and a promotion gate, and with what is changed."""
    tree: dict[str, object] = {
        "rollout": "autumn",
        "model": MODEL,
        "baseline": BASELINE,
        "stages": [{"name": "canary", "percent": 25, "bake": "1h"}, {"name": "all", "percent": 100}],
        "gates": [
            {"metric": "accuracy", "margin": 0.01},
            {"metric": "errors"},
            {"metric": "latency", "threshold_ms": 250.0},
        ],
        "promotion": {"margin": 0.05, "window": "1h", "min_events": 10},
        **changes,
    }
    return plan_of(tree)


def fresh(plan: Plan) -> dict[str, dict[str, Any]]:
    """Return the states of gates that have counted nothing."""
    return Gatekeeper.fresh(plan, START_MS, None).states()


def blocks(
    rng: np.random.Generator,
    count: int,
    *,
    good: float = 0.95,
    loss: float = 0.0,
    errors: float = 0.002,
    error_ratio: float = 1.0,
    slow: float = 0.01,
    slow_ratio: float = 1.0,
    start_ms: int = START_MS,
) -> Iterator[Block]:
    """Yield blocks in which the canary is worse by so much; the common rates drift with the day."""
    for index in range(count):
        begin_ms = start_ms + index * BLOCK_MS
        drift = 0.02 * np.sin(index / 200.0)
        yield Block(
            begin_ms,
            begin_ms + BLOCK_MS,
            _side(rng, 5, 60, (good + drift - loss, errors * error_ratio, slow * slow_ratio)),
            _side(rng, 45, 540, (good + drift, errors, slow)),
            Shares(),
        )


def _side(rng: np.random.Generator, events: int, inferences: int, rates: tuple[float, float, float]) -> Tally:
    seen, tried = int(rng.poisson(events)), int(rng.poisson(inferences))
    good, errors, slow = (int(rng.binomial(n, p)) for n, p in zip((seen, tried, seen), rates, strict=True))
    return Tally(events=seen, good=good, timed=seen, slow=slow, errors=errors, inferences=tried)


def found(*closed: Block, rounds: tuple[Round, ...] = ()) -> Found:
    """Return blocks as a look finds them."""
    return Found(blocks=closed, rounds=rounds, query="rollout_outcomes(...)", pair_query="pairs(...)")


def at(situation: Situation, now_ms: int, **changes: Any) -> Situation:
    """Return a situation at another time."""
    return replace(situation, now_ms=now_ms, **changes)
