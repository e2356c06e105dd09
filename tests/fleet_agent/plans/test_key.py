"""Stories about what makes one plan another."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.plans.key import PlanKey, split_facts

FACTS: dict[str, str | int] = {
    "version": "10.3.0.30",
    "cuda_runtime": 12060,
    "cuda_driver": 12060,
    "l4t": "R36.4.3",
    "gpu": "Orin",
    "compute_capability": "8.7",
    "multiprocessors": 8,
}
PARTS: dict[str, Any] = {
    "backend": "tensorrt",
    "facts": FACTS,
    "onnx_sha256": "ab" * 32,
    "precision": "fp16",
    "input_name": "images",
    "shape": (4, 3, 160, 160),
    "optimization_level": 3,
    "workspace_mb": 512,
}
KEY = PlanKey(**PARTS)


@pytest.mark.parametrize(
    "change",
    [
        {"backend": "tensorrt_rtx"},
        {"onnx_sha256": "cd" * 32},
        {"precision": "int8"},
        {"input_name": "pixels"},
        {"shape": (3, 3, 160, 160)},
        {"optimization_level": 4},
        {"workspace_mb": 256},
        *({"facts": {**FACTS, name: "another"}} for name in FACTS),
        {"facts": {**FACTS, "hypervisor": "new"}},
    ],
)
def test_everything_that_matters_makes_another_plan(change: dict[str, Any]) -> None:
    """One part that differs, whichever, gives another name."""
    assert PlanKey(**{**PARTS, **change}).digest != KEY.digest


@given(st.permutations(sorted(FACTS)))
def test_order_does_not_matter(names: list[str]) -> None:
    """Facts in another order are the same plan."""
    mixed = PlanKey(**{**PARTS, "facts": {name: FACTS[name] for name in names}})
    assert mixed.digest == KEY.digest


def test_the_power_mode_is_written_down_and_makes_no_other_plan() -> None:
    """Recorded facts are no part of the key."""
    facts, recorded = split_facts({**FACTS, "recorded_power_mode": "15W"})
    assert facts == FACTS
    assert recorded == {"recorded_power_mode": "15W"}
    noted = PlanKey(**PARTS, recorded=recorded)
    assert noted == KEY
    assert noted.digest == KEY.digest


def test_the_key_reads_back_from_its_json() -> None:
    """The canonical form is JSON that holds every part, so people can see why a plan is another one."""
    document = json.loads(KEY.canonical)
    assert document == KEY.document
    assert document["facts"] == FACTS
    assert document["shape"] == [4, 3, 160, 160]
    assert document["schema"] == 1
    assert (document["plugins"], document["dla_core"]) == ([], None)


def test_timings_belong_to_runtime_and_device_and_not_to_a_model() -> None:
    """Another model shares them; another driver does not."""
    assert PlanKey(**{**PARTS, "onnx_sha256": "cd" * 32}).machine == KEY.machine
    assert PlanKey(**{**PARTS, "facts": {**FACTS, "cuda_driver": 13000}}).machine != KEY.machine
