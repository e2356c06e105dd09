"""Stories of what the Rollouts page says: lists, sentences, stages, gates and marks, without Streamlit."""

from dataclasses import replace
from datetime import timedelta

import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.charts.evidence import evidence_course, interval_bar
from dashboard.charts.frame import Chart, Look, lay_out
from dashboard.charts.marks import LEGEND, UNKNOWN, with_marks
from dashboard.charts.share_bar import share_bar
from dashboard.sources.control import GateEvidence, RolloutView
from dashboard.sources.fake_control import FakeControl
from dashboard.theme import DARK, LIGHT
from dashboard.timeframe import Window
from dashboard.view_models.gates import build_gates, evidence_text, margin_of
from dashboard.view_models.marks import build_marks
from dashboard.view_models.rollout_detail import GROUPS, build_stages, head_sentence, shares_of
from dashboard.view_models.rollout_words import CARTS, STATUSES, span, word_of
from dashboard.view_models.rollouts import (
    FILTERS,
    build_rows,
    escaped,
    gates_text,
    kept,
    progress,
    waits_for,
)
from tests.dashboard.conftest import NOW


@pytest.fixture
def control() -> FakeControl:
    """Simulated rollouts at a fixed time."""
    return FakeControl(lambda: NOW)


def test_what_waits_for_a_person_is_on_top(control: FakeControl) -> None:
    """The rollout that a gate paused comes first, and what has ended last."""
    rows = build_rows(control.rollouts(), {})

    assert rows[0].title == "Autumn shelves"
    assert [row.status for row in rows[-3:]] == ["rolled_back", "completed", "aborted"]


def test_filters_leave_no_rollout_out(control: FakeControl) -> None:
    """Each filter keeps what its name says, and every rollout is in one of them."""
    rows = build_rows(control.rollouts(), {})
    found = {name: {row.rollout_id for row in kept(rows, name)} for name in FILTERS}

    assert found["paused"] == {"shelf-3"}
    assert "night-stores" in found["person"]
    assert "lamps-2" not in found["person"]
    assert found["running"] | found["paused"] | found["person"] | found["ended"] == found["all"]


def test_progress_counts_back_on_the_way_back(control: FakeControl) -> None:
    """While carts are sent back, done means back, and carts that were never told do not count."""
    assert progress(control.rollout("shelf-3-pilot")) == (15, 23)
    assert progress(control.rollout("shelf-3")) == (19, 238)


HEADS = {
    "shelf-3": (
        "Paused 4 min ago by the accuracy gate: 87.4 % uncontradicted with the new model, "
        "96.9 % without, and the margin is 1 point. Somebody has to decide how it goes on."
    ),
    "lamps-2": "Running since 9 h: stage half bakes and its gates watch.",
    "night-stores": (
        "Running since 28 h: stage canary waits for a person, "
        "because no labels for 6 h, so accuracy has no data."
    ),
    "winter-2": "Draft 26 min ago. A second person has to approve it.",
    "spring-2": "Completed 8 d ago.",
}


@pytest.mark.parametrize(("rollout_id", "sentence"), HEADS.items())
def test_head_says_where_why_and_what_is_missing(
    control: FakeControl, rollout_id: str, sentence: str
) -> None:
    """One sentence: the state, since when, who did it, why, and what a person has to do."""
    assert head_sentence(control.rollout(rollout_id), NOW) == sentence


def test_gates_name_the_gravest(control: FakeControl) -> None:
    """A failed gate is named, then one without data; only undecided ones are counted."""
    said = {r.id: gates_text(r) for r in control.rollouts()}

    assert said["shelf-3"] == "▲ Failed: accuracy"
    assert said["night-stores"] == "○ No data: accuracy"
    assert said["lamps-2"] == "◐ 4 undecided"
    assert said["spring-2"] == "✓ Proved harmless"
    assert not said["winter-2"]
    replayed = replace(control.rollout("spring-2").verdicts[0], gate="replay", verdict="pass")
    assert (
        gates_text(replace(control.rollout("spring-2"), verdicts=(replayed,))) == "○ Nothing against it yet"
    )


def test_unknown_states_are_shown_by_their_name(control: FakeControl) -> None:
    """A state that a newer API made up is written as it is, and nothing breaks."""
    odd = replace(control.rollout("lamps-2"), status="being_mended")

    assert word_of(STATUSES, odd.status).text == "Being mended"
    assert head_sentence(odd, NOW).startswith("Being mended")
    assert not waits_for(odd)


def test_gates_that_cannot_be_tried_are_said(control: FakeControl) -> None:
    """Before the first stage a warehouse that does not answer holds everything up, and the page says so."""
    verdict = replace(control.rollout("lamps-2").verdicts[0], gate="replay", verdict="inconclusive")
    untried = replace(control.rollout("lamps-2"), current_stage=None, verdicts=(verdict,), status="running")

    assert waits_for(untried) == "the warehouse"
    assert "as the warehouse does not answer" in head_sentence(untried, NOW)


def test_stages_count_down(control: FakeControl) -> None:
    """A baking stage says how long it bakes on; paused, it says how far it had come."""
    rollout = control.rollout("lamps-2")
    timing = [card.timing for card in build_stages(rollout, NOW)]
    paused = replace(rollout, status="paused", changed_at=NOW)
    late = build_stages(rollout, NOW + timedelta(hours=9))[1].timing

    assert timing[1] == "bakes 2 h 24 min more"
    assert timing[2] == "does not bake"
    assert late == "baked its 4 h, gates decide"
    assert build_stages(paused, NOW)[1].timing == "had baked 1 h 36 min of 4 h"


def test_denominator_is_open(control: FakeControl) -> None:
    """A stage says how many of its carts count, and that the others are offline."""
    card = build_stages(control.rollout("shelf-3"), NOW)[0]

    assert card.planned == "planned 10 % · 22 carts of 24 counted"
    assert [(s.n, s.word) for s in card.shares] == [
        (19, "done"),
        (2, "under way"),
        (1, "failed"),
        (2, "offline"),
    ]


@given(st.dictionaries(st.sampled_from([*CARTS, "brand_new"]), st.integers(0, 50)))
def test_no_cart_is_lost_from_the_strip(counts: dict[str, int]) -> None:
    """The parts of a stage add up to its carts, whatever states they are in; controls are none of them."""
    shares = shares_of(counts)

    assert sum(share.n for share in shares) == sum(n for status, n in counts.items() if status != "pool")
    assert all(share.n > 0 for share in shares)
    for colours in (LIGHT, DARK):
        assert share_bar(shares, colours).count("<b>") == len(shares)


def test_strip_is_told_apart_without_colour() -> None:
    """Failed and offline carts are hatched, and every part has its number and word beside it."""
    bar = share_bar(shares_of({"failed": 3, "unreachable": 2, "done": 5}), LIGHT)

    assert 'aria-label="5 done, 3 failed, 2 offline"' in bar
    assert bar.count("repeating-linear-gradient") == 4
    assert set(GROUPS) >= {"done", "failed", "offline"}


def test_failed_gate_shows_when_and_how_far(control: FakeControl, look: Look) -> None:
    """The course is drawn on a log axis with the line that stops it, and marked where it was reached."""
    rollout = control.rollout("shelf-3")
    cards = {c.key: c for c in build_gates(control.evidence("shelf-3").gates, rollout.plan)}
    card = cards["accuracy"]
    figure = evidence_course(card, look).figure

    assert card.word.text == "Failed"
    assert "margin of 1 point" in card.sentence
    assert figure.layout.yaxis.type == "log"
    assert figure.layout.shapes[0].y0 == 60
    assert figure.layout.annotations[0].y == pytest.approx(1.778, abs=1e-3)
    assert card.crossed_at is not None
    assert figure.data[1].x[0] == look.local(card.crossed_at)
    assert "past its line of 60" in evidence_text(card.evidence)
    assert cards["errors"].crossed_at is None
    assert len(evidence_course(cards["errors"], look).figure.data) == 1


@pytest.mark.parametrize(("span", "written"), [(2, "%H:%M:%S"), (600, "%H:%M"), (60 * 24 * 20, "%d %b")])
def test_evidence_of_minutes_and_of_weeks_has_ticks_that_differ(
    control: FakeControl, look: Look, span: int, written: str
) -> None:
    """Four ticks of 08:28 say nothing."""
    rollout = control.rollout("shelf-3")
    gates = control.evidence("shelf-3").gates
    course = ((NOW, 1.0), (NOW + timedelta(minutes=span), 2.0))
    cards = build_gates(tuple(replace(gate, history=course) for gate in gates), rollout.plan)
    assert evidence_course(cards[0], look).figure.layout.xaxis.tickformat == written


def test_interval_is_held_against_the_margin(look: Look) -> None:
    """The bar is in points, and its colour says which side of the margin it is on."""

    def colour(low: float, high: float) -> str:
        chart = interval_bar(GateEvidence("promotion", interval=(low, high)), 0.02, look)
        assert chart is not None
        assert chart.figure.layout.shapes[1].x0 == -2
        found: str = chart.figure.data[0].line.color
        return found

    assert colour(-0.01, 0.01) == LIGHT.series[2]
    assert colour(-0.05, -0.03) == LIGHT.alarm
    assert colour(-0.05, 0.01) == LIGHT.series[0]
    assert interval_bar(GateEvidence("promotion"), 0.02, look) is None


def test_needed_events_are_said_while_undecided(control: FakeControl) -> None:
    """An undecided gate says how many events it needs; a decided one does not."""
    cards = build_gates(control.evidence("lamps-2").gates, {})
    decided = build_gates(control.evidence("spring-2").gates, {})

    assert any("About 380 more canary events" in fact for fact in cards[0].facts)
    assert not any("About" in fact for card in decided for fact in card.facts)


@pytest.mark.parametrize(
    ("gate", "plan", "margin"),
    [
        ("accuracy", {"gates": [{"metric": "errors"}, {"metric": "accuracy", "margin": 0.03}]}, 0.03),
        ("accuracy", {}, 0.0),
        ("promotion", {"promotion": {"margin": 0.01}}, 0.01),
        ("promotion", {"promotion": None}, 0.02),
        ("errors", {"gates": [{"metric": "errors"}]}, None),
    ],
)
def test_margin_comes_from_the_plan(gate: str, plan: dict[str, object], margin: float | None) -> None:
    """What a gate tolerates is what the plan says, or the plan's own default."""
    assert margin_of(gate, plan) == margin


def test_gate_without_data_says_that_it_holds(control: FakeControl) -> None:
    """No data is a verdict of its own: no course, no share, and the stage does not pass."""
    card = build_gates(control.evidence("night-stores").gates, {})[0]

    assert card.word.text == "No data"
    assert "does not pass by itself" in card.sentence
    assert card.facts == ()


@pytest.mark.parametrize(
    ("length", "text"),
    [(45, "45 s"), (119, "119 s"), (1440, "24 min"), (8640, "2 h 24 min"), (7200, "2 h"), (100_860, "28 h"),
     (273_600, "3 d 4 h"), (-5, "0 s")],
)  # fmt: skip
def test_spans_have_two_units_at_most(length: int, text: str) -> None:
    """Lengths of time are read at a glance."""
    assert span(timedelta(seconds=length)) == text


def test_words_of_people_are_not_markdown() -> None:
    """A reason full of markup is shown as it was typed, and a number stays with its unit."""
    assert escaped("*bold* [x](y)") == "\\*bold\\* \\[x\\]\\(y\\)"
    assert escaped("28 h") == "28\N{NO-BREAK SPACE}h"


COLUMNS = ["at", "rollout_id", "kind", "stage", "model_digest", "reason"]


def _chart(look: Look) -> Chart:
    return Chart(lay_out(go.Figure(), look, 200), "Fine.", "Fine.", pd.DataFrame())


def test_marks_stand_where_it_happened(day: Window, look: Look) -> None:
    """A pause is drawn as a dashed line in the colour of an alarm, with its reason on hovering."""
    at = day.start + timedelta(hours=3)
    rows = [
        (at, "r1", "paused", None, "66196504fd6e", "accuracy <fell>"),
        (at, "r1", "cart_seen", None, "", ""),
    ]
    marks = build_marks(pd.DataFrame(rows, columns=COLUMNS))
    chart = with_marks(_chart(look), marks, day, look)

    assert [mark.text for mark in marks] == ["r1 paused (model 66196504): accuracy <fell>"]
    assert [shape.x0 for shape in chart.figure.layout.shapes] == [look.local(at)]
    assert chart.figure.layout.shapes[0].line.dash == "dash"
    assert "&lt;fell&gt;" in chart.figure.layout.annotations[0].hovertext
    assert chart.caption.endswith(LEGEND)


def test_marks_that_touch_share_a_sign(day: Window, look: Look) -> None:
    """Two things within minutes have two lines and one sign, which counts them and shows the graver one."""
    at = day.start + timedelta(hours=3)
    rows = [
        (at, "r1", "started", None, None, None),
        (at + timedelta(minutes=5), "r1", "paused", "canary", None, None),
        (day.start + timedelta(hours=9), "r1", "stage_passed", "canary", None, None),
        (day.end + timedelta(hours=1), "r1", "finished", None, None, None),
    ]
    figure = with_marks(_chart(look), build_marks(pd.DataFrame(rows, columns=COLUMNS)), day, look).figure

    assert len(figure.layout.shapes) == 3
    assert [note.text for note in figure.layout.annotations] == ["‖2", "✓"]
    assert "stage canary passed" in figure.layout.annotations[1].hovertext


def test_missing_marks_are_said(day: Window, look: Look) -> None:
    """Unknown is not none: when the warehouse does not answer, the caption says so; without any, nothing."""
    assert with_marks(_chart(look), None, day, look).caption.endswith(UNKNOWN)
    assert with_marks(_chart(look), (), day, look).caption == "Fine."


def test_every_simulated_rollout_can_be_drawn(control: FakeControl, look: Look) -> None:
    """Heads, stages and gates of all of them, in every state there is."""
    rollouts: tuple[RolloutView, ...] = control.rollouts()

    assert {r.status for r in rollouts} == set(STATUSES)
    for rollout in rollouts:
        assert head_sentence(rollout, NOW).endswith(".")
        assert len(build_stages(rollout, NOW)) == 3
        for card in build_gates(control.evidence(rollout.id).gates, rollout.plan):
            assert evidence_course(card, look).alt
