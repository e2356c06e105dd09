"""Stories about when a cart may be changed, and when it does well."""

import pytest

from fleet_agent.basket.rest import Rest, basket_open
from fleet_agent.model_change import Sight
from fleet_agent.updates.probation import ProbationTerms, judge

BEGAN = Sight(looks=100, looks_ms=1000.0, failures=7, stuck="", spool_works=True)
TERMS = ProbationTerms(lasts_s=60.0, looks=10, budget_ms=50.0)


@pytest.mark.parametrize(
    ("rest", "is_open"),
    [
        (Rest(busy=False, session=False, empty=True, idle_s=0.0), False),
        (Rest(busy=True, session=False, empty=True, idle_s=900.0), True),
        (Rest(busy=False, session=True, empty=True, idle_s=900.0), True),
        (Rest(busy=False, session=False, empty=False, idle_s=299.0), True),
        (Rest(busy=False, session=False, empty=False, idle_s=300.0), False),
    ],
    ids=["trip over", "weight moves", "trip", "unknown", "rested"],
)
def test_somebody_shops_until_a_trip_is_over_or_the_cart_has_rested(rest: Rest, is_open: bool) -> None:  # noqa: FBT001  # a table
    """What is not known to be empty counts as open for a while."""
    assert basket_open(rest, 300.0) == is_open


def sight(looks: int, *, mean_ms: float = 20.0, failures: int = 0, stuck: str = "") -> Sight:
    """Return what was seen since the model went live, on top of what was before."""
    return Sight(
        looks=BEGAN.looks + looks,
        looks_ms=BEGAN.looks_ms + looks * mean_ms,
        failures=BEGAN.failures + failures,
        stuck=stuck,
        spool_works=True,
    )


@pytest.mark.parametrize(
    ("now", "live_s", "verdict", "what"),
    [
        (sight(50), 60.0, "good", ""),
        (sight(50), 59.9, "open", ""),
        (sight(9), 900.0, "open", ""),
        (sight(0, stuck="engine: infer"), 1.0, "bad", "stuck"),
        (sight(0, failures=2), 900.0, "open", ""),
        (sight(0, failures=3), 1.0, "bad", "failures"),
        (sight(100, failures=9), 60.0, "good", ""),
        (sight(100, failures=10), 1.0, "bad", "failures"),
        (sight(10, mean_ms=149.0), 60.0, "good", ""),
        (sight(10, mean_ms=151.0), 1.0, "bad", "latency"),
    ],
)
def test_a_model_is_judged_by_what_happened_since_it_went_live(
    now: Sight, live_s: float, verdict: str, what: str
) -> None:
    """What failed before is not its fault; a bad moment is not enough, and neither is a short one."""
    judgement = judge(BEGAN, now, live_s, TERMS)
    assert (judgement.verdict, judgement.what) == (verdict, what)
