"""The two plans, and what is expected of each. Pure.

Small numbers, so that both end within minutes: the margins are wide and the bakes short. A real fleet has
more carts and more time, and narrower margins.
"""

from dataclasses import dataclass
from typing import Any

# Of 24 carts a third: the fewest pairs of carts that can prove anything are seven.
CANARY_PERCENT = 34
# Loss of accuracy that some hundred events a cart can tell from none.
MARGIN = 0.10


@dataclass(frozen=True, slots=True)
class Show:
    """One of the two.

    Attributes:
        name: good or bad.
        version: Of the model, as its manifest says.
        title: For people.
        ends: Statuses that were to be shown.
    """

    name: str
    version: str
    title: str
    ends: tuple[str, ...]


SHOWS = {
    "good": Show("good", "v2", "v2 to all stores (simulated)", ("completed",)),
    "bad": Show("bad", "v3-bad", "v3-bad, which must not get far (simulated)", ("paused", "rolled_back")),
}


def plan_of(show: Show, model: str, baseline: str, number: int, window_s: int) -> dict[str, Any]:
    """Return a plan.

    Args:
        show: Which.
        model: Digest of the model that is rolled out.
        baseline: Digest that carts run now.
        number: Makes the id unique.
        window_s: How long pairs of carts are compared.
    """
    return {
        "rollout": f"demo-{show.name}-{number}",
        "model": model,
        "baseline": baseline,
        "title": show.title,
        "stages": [
            {"name": "canary", "percent": CANARY_PERCENT, "bake_s": window_s},
            {"name": "all", "percent": 100, "bake_s": 60},
        ],
        "gates": [
            {"metric": "accuracy", "margin": 0.02},
            {"metric": "errors"},
            {"metric": "latency", "threshold_ms": 2_000},
        ],
        "promotion": {"margin": MARGIN, "window_s": window_s, "min_events": 10},
        "max_wait_s": 1_800,
        "device": {"timeout_s": 600, "unreachable_s": 120, "retries": 1},
    }
