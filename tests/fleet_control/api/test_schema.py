"""Schemathesis against the API: whatever the schema allows or forbids, no answer is a 5xx or out of shape.

A longer run: CARTWRIGHT_FUZZ_EXAMPLES=500 pytest tests/fleet_control/api/test_schema.py
"""

import os
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from fleet_control.api.app import create_app
from fleet_control.api.metrics import ControlMetrics
from fleet_control.api.parts import Parts
from fleet_control.rollouts.states import RolloutStatus
from fleet_control.rollouts.store_memory import MemoryRolloutStore
from tests.fleet_control.api.desk import FUZZ_TOKEN, Desk

EXAMPLES = int(os.environ.get("CARTWRIGHT_FUZZ_EXAMPLES", "5"))


def described() -> dict[str, Any]:
    """Return the schema as the API serves it."""
    metrics = ControlMetrics(MemoryRolloutStore(lambda: 0), lambda: 0)
    return create_app(Parts(cast("Any", None), cast("Any", None), metrics, lambda: "")).openapi()


REFUSED = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422"]
# Not every tree of the right types is a plan: names are unique, percentages rise.
A_PLAN = {
    "include-name": ["POST /v1/rollouts", "POST /v1/rollouts/preview"],
    "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "400", "403", "409"]}},
}
CONFIG: dict[str, Any] = {
    "auth": {"openapi": {"HTTPBearer": {"bearer": FUZZ_TOKEN}}},
    "checks": {"negative_data_rejection": {"expected-statuses": REFUSED}},
    "operations": [A_PLAN],
}


def cases(**more: Any) -> schemathesis.BaseSchema:
    """Return the schema with the answers that are right."""
    config = schemathesis.Config.from_dict({**CONFIG, **more})
    return schemathesis.openapi.from_dict(described(), config=config)


anything = cases()
one_rollout = cases(parameters={"path.rollout": "autumn"}).include(path_regex="rollout}")
calm = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@anything.parametrize()
@calm
def test_every_answer_is_as_the_schema_says(case: schemathesis.Case[Any], desk: Desk) -> None:
    """Good and bad requests: no 5xx, no undocumented status, no answer of another shape."""
    case.call_and_validate(base_url=desk.server.url)


@pytest.fixture
def running(desk: Desk) -> Desk:
    """Return an API with a rollout that runs."""
    desk.new_scene(RolloutStatus.RUNNING)
    return desk


@one_rollout.parametrize()
@calm
def test_every_answer_about_a_rollout_is_as_the_schema_says(
    case: schemathesis.Case[Any], running: Desk
) -> None:
    """The same about one that is there, whatever was done to it before."""
    case.call_and_validate(base_url=running.server.url)
