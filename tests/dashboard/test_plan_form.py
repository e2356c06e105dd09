"""Stories of the form: what is typed or pasted becomes a plan, or a sentence that says what is missing."""

from dataclasses import replace
from typing import Any

import pytest

from dashboard.errors import PlanDraftError
from dashboard.view_models.plan_form import (
    GATES,
    MOST_BYTES,
    STAGES,
    PlanForm,
    duration_s,
    fingerprint,
    labels_of,
    plan_of_form,
    plan_of_yaml,
)

FORM = PlanForm(rollout=" autumn ", title="Autumn", model="66196504fd6e7b0a", stages=STAGES, gates=GATES)


def test_form_becomes_a_plan() -> None:
    """Percentages, points and durations are written as the API takes them."""
    plan = plan_of_form(
        replace(FORM, labels=("aisle=wide", "aisle=narrow", "hardware=orin"), stores=("s001",))
    )

    assert plan["rollout"] == "autumn"
    assert plan["baseline"] is None
    assert plan["target"] == {
        "stores": ["s001"],
        "carts": [],
        "labels": {"aisle": ["wide", "narrow"], "hardware": ["orin"]},
        "percent": 100.0,
    }
    assert plan["stages"][0] == {"name": "canary", "percent": 10.0, "bake_s": 7200.0, "approval": False}
    assert plan["gates"] == [
        {"metric": "accuracy", "mode": "enforce", "margin": 0.01},
        {"metric": "errors", "mode": "enforce"},
        {"metric": "latency", "mode": "shadow", "quantile": 0.99, "threshold_ms": None},
    ]
    assert plan["promotion"] == {"margin": 0.02}


def test_the_form_gives_a_plan_that_the_engine_takes() -> None:
    """What the page sends is what the plan's own reader accepts: no field is called otherwise."""
    from fleet_control.rollouts.plan_text import plan_of

    windows = ({"days": "Mon, tuesday", "start": "22:00", "end": "06:00"},)
    plan = plan_of(plan_of_form(replace(FORM, windows=windows, approval=True, on_fail="roll_back")))

    assert plan.rollout == "autumn"
    assert plan.windows[0].days == ("mon", "tue")
    assert plan.stages[1].bake_s == 14_400
    assert plan.promotion is not None


def test_people_only_promotion() -> None:
    """Without a proof of pairs there is none in the plan."""
    assert plan_of_form(replace(FORM, promotion=None))["promotion"] is None


def test_rows_that_were_only_begun_are_left_out() -> None:
    """An empty row of an editor, with NaN where a number would be, is not a stage or a window."""
    blank = {"name": None, "percent": float("nan"), "bake": None, "approval": False}
    form = replace(FORM, stages=(*STAGES, blank), windows=({"days": None, "start": None, "end": None},))

    assert len(plan_of_form(form)["stages"]) == 3
    assert plan_of_form(form)["windows"] == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rollout": "  "}, "Give the rollout an id"),
        ({"model": ""}, "Choose a model"),
        ({"stages": ()}, "at least one stage"),
        ({"stages": ({"name": "all", "percent": None, "bake": "1h"},)}, "Stage all has no percentage"),
        ({"stages": ({"name": "all", "percent": 100, "bake": "soon"},)}, "Stage all bakes for"),
        ({"windows": ({"days": "", "start": "25:00", "end": "06:00"},)}, "such as 22:00, not at 25:00"),
        ({"windows": ({"days": "caturday", "start": "22:00", "end": "06:00"},)}, "There is no day cat"),
    ],
)
def test_what_is_missing_is_named(changes: dict[str, Any], sentence: str) -> None:
    """Nothing half filled in is sent."""
    with pytest.raises(PlanDraftError, match=sentence):
        plan_of_form(replace(FORM, **changes))


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1.5h", 5400), (" 2 d ", 172_800), ("10m", 600)])
def test_durations(text: str, seconds: float) -> None:
    """Lengths of time are typed as people write them."""
    assert duration_s(text, "Stage all") == seconds


def test_yaml_becomes_a_plan() -> None:
    """A pasted plan is sent as it is: the API checks what it means."""
    plan = plan_of_yaml("rollout: autumn\nstages: [{name: all, percent: 100, bake: 2h}]\n")

    assert plan == {"rollout": "autumn", "stages": [{"name": "all", "percent": 100, "bake": "2h"}]}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Paste a plan first"),
        ("a: [1", "not YAML in line"),
        ("- one\n- two", "list of names and values"),
        ("just words", "list of names and values"),
        ("rollout: 2026-03-10", "put it in quotes"),
        ("a: .nan", "put it in quotes"),
        ("a: &x [1]\nb: *x", "Aliases"),
        ("x: !!python/object/apply:os.system [ls]", "not YAML"),
        ("a: " + "x" * MOST_BYTES, "at most 256 KiB"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_yaml_that_is_no_plan(text: str, sentence: str) -> None:
    """Broken, huge, hostile or wrong: a sentence, and nothing is run."""
    with pytest.raises(PlanDraftError, match=sentence):
        plan_of_yaml(text)


def test_a_changed_plan_has_another_fingerprint() -> None:
    """What was checked is what is created; the order of fields does not matter."""
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_labels_of_the_fleet_are_offered_once() -> None:
    """Each pair of name and value that some cart has."""
    assert labels_of([{"aisle": "wide"}, {"aisle": "wide", "size": "l"}, {}]) == ["aisle=wide", "size=l"]
