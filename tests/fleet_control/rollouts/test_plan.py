"""What a rollout owner may write, and what is said about the rest."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_control.errors import PlanError
from fleet_control.rollouts.plan_text import MAX_PLAN_BYTES, parse_plan, plan_of

GOOD = """
rollout: autumn
model: bbbbbbbbbbbbbbbb
target: {stores: [s001, s002], labels: {hardware: [orin]}}
stages:
  - {name: canary, percent: 10, bake: 2h}
  - {name: half, percent: 50, bake: 1.5h, approval: true, install: 1d}
  - {name: all, percent: 100}
gates:
  - {metric: accuracy, margin: 0.01}
  - {metric: latency, quantile: 0.99, threshold_ms: 250, mode: shadow}
windows:
  - {days: [mon, tue], start: "22:00", end: "06:00"}
device: {timeout: 30m, retries: 1}
"""


def test_a_plan_is_read_as_it_is_written() -> None:
    """Durations may have units; what is left out has defaults."""
    plan = parse_plan(GOOD)
    assert [stage.bake_s for stage in plan.stages] == [7200.0, 5400.0, 3600.0]
    assert plan.stages[1].install_s == 86_400
    assert plan.device.timeout_s == 1800
    assert plan.gates[1].mode == "shadow"
    assert plan.promotion is not None


@pytest.mark.parametrize(
    ("was", "becomes", "says"),
    [
        ("percent: 50", "percent: 5", "rise"),
        ("percent: 100}", "percent: 90}", "last stage"),
        ("name: half", "name: canary", "unique"),
        ("name: half", "name: tail", "unique"),
        ("model: bbbbbbbbbbbbbbbb", "model: b", "model"),
        ("margin: 0.01", "margin: 1.5", "gates[0].margin"),
        ("metric: latency", "metric: accuracy", "one gate"),
        ("metric: latency", "metric: speed", "gates[1].metric"),
        ('start: "22:00"', 'start: "25:00"', "windows[0].start"),
        ("retries: 1", "retrys: 1", "retrys"),
        ("percent: 10,", "percent: 10, carts: 5,", "either percent or carts"),
        ("rollout: autumn", "rollout: 'a b'", "rollout"),
        ("rollout: autumn", "rollout: autumn\npromotion: null", "person"),
        ("rollout: autumn", "rollout: autumn\nbaseline: bbbbbbbbbbbbbbbb", "the same"),
        ("rollout: autumn", "- rollout", "not YAML"),
        (
            "bake: 2h",
            "bake: 1 minute",
            "stages[0].bake: '1 minute' is no length of time: write 90s, 30m, 2h or 7d",
        ),
        ("bake: 2h", "bake: 60", "stages[0].bake: 60 is no length of time"),
        ("bake: 2h", "bake: 100d", "stages[0].bake: has to be at most 60d, not 100d"),
        ("bake: 2h", "bake: 2h, bake_s: 5", "stands twice"),
        ("bake: 2h", "bakes: 2h", "stages[0]: there is no field 'bakes': did you mean 'bake'?"),
        (
            "percent: 10,",
            "percent: 10%,",
            "stages[0].percent: has to be a number, not '10%'; 10 is ten percent",
        ),
        ("[s001, s002]", "s001", "target.stores: has to be a list, as in [a, b], not 's001'"),
        ("[orin]", "orin", "target.labels: has to be a list"),
        ("model: bbbbbbbbbbbbbbbb", "model: 6619650412345678", "cartwright rollouts models"),
        ("model: bbbbbbbbbbbbbbbb", "", "the field 'model' is missing"),
        ("rollout: autumn", "rollout: Autumn!", "rollout: 'Autumn!' is not possible; an id has at most 64"),
        ("rollout: autumn", "rollout: autumn\nrollout: winter", "'rollout' stands twice"),
    ],
)
def test_a_wrong_plan_names_what_is_wrong(was: str, becomes: str, says: str) -> None:
    """The error points at the field, or says the rule that it breaks."""
    with pytest.raises(PlanError, match=r".*") as caught:
        parse_plan(GOOD.replace(was, becomes))
    assert says in str(caught.value)


@pytest.mark.parametrize("document", ["", "[]", "3", "null", "a: [", "!!python/object:os.system {}", "\x00"])
def test_what_is_no_plan_is_refused(document: str) -> None:
    """Neither other documents nor YAML that would make objects get in."""
    with pytest.raises(PlanError):
        parse_plan(document)


def test_a_time_of_day_needs_no_quotes() -> None:
    """What YAML takes for a number of minutes is the time that was meant."""
    plan = parse_plan(GOOD.replace('"22:00"', "22:00").replace('"06:00"', "23:30"))
    assert (plan.windows[0].start, plan.windows[0].end) == ("22:00", "23:30")


@pytest.mark.parametrize("start", ["22", "true", "22.5", "0"])
def test_what_may_be_no_time_of_day_is_not_guessed(start: str) -> None:
    """22 is neither 22:00 nor 00:22 for certain."""
    with pytest.raises(PlanError, match=r"windows\[0\]\.start"):
        parse_plan(GOOD.replace('"22:00"', start))


def test_a_few_lines_do_not_become_gigabytes() -> None:
    """Aliases are refused before they are expanded."""
    bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
    with pytest.raises(PlanError, match="aliases"):
        parse_plan(bomb)


def test_a_plan_is_bounded() -> None:
    """More than a person would write is refused before it is parsed."""
    with pytest.raises(PlanError, match="larger"):
        parse_plan("x" * (MAX_PLAN_BYTES + 1))


_json = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8) | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def test_a_label_may_be_called_as_a_length_of_time_is() -> None:
    """Labels have the names that their owner gives them."""
    assert parse_plan(GOOD.replace("hardware: [orin]", "window: [left]")).target.labels == {
        "window": ("left",)
    }


def test_a_long_value_is_not_repeated_at_length() -> None:
    """Whatever stands in a field, its error fits a line."""
    with pytest.raises(PlanError) as caught:
        parse_plan(GOOD.replace("model: bbbbbbbbbbbbbbbb", f"model: {'x' * 10_000}"))
    assert len(str(caught.value)) < 250


@given(
    _json, st.sampled_from(["stages", "gates", "target", "model", "device", "windows", "promotion", "seed"])
)
def test_nothing_but_a_plan_error_comes_out(value: object, field: str) -> None:
    """Whatever stands in a field, it is a plan or an error of ours."""
    tree: dict[str, object] = {"rollout": "x", "model": "b" * 16, "stages": [{"name": "all", "percent": 100}]}
    with contextlib.suppress(PlanError):
        assert plan_of({**tree, field: value}).rollout == "x"
