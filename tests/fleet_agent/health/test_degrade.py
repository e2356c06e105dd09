"""Stories about the ladder of looking less."""

import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.health.camera import Condition
from fleet_agent.health.degrade import TOP_LEVEL, Ladder, LadderLimits, Move, Pressure, climb
from fleet_agent.health.pace import Pace, Standing, best, pace_of

LIMITS = LadderLimits(degrade_after_s=15.0, recover_after_s=120.0)
CALM = Pressure(temp_c=50.0, throttled=False, infer_share=0.2, decision_ms=100.0, memory_bytes=2e9)

CALM_MACHINE = replace(CALM, infer_share=None, decision_ms=None)


def run(pressures: list[Pressure], every_s: float = 5.0) -> list[tuple[float, Move]]:
    """Return the steps with their times."""
    ladder, moves = Ladder(), []
    for ix, pressure in enumerate(pressures):
        ladder, move = climb(ladder, pressure, ix * every_s, LIMITS)
        if move is not None:
            moves.append((ix * every_s, move))
    return moves


@pytest.mark.parametrize(
    ("pressure", "cause"),
    [
        (replace(CALM, temp_c=90.0), "hot"),
        (replace(CALM, throttled=True), "throttled"),
        (replace(CALM, infer_share=1.4), "slow"),
        (replace(CALM, decision_ms=4000.0), "late"),
        (replace(CALM, memory_bytes=50e6), "memory"),
    ],
)
def test_each_pressure_leads_down_step_by_step_and_calm_leads_back(pressure: Pressure, cause: str) -> None:
    """A minute of pressure ends at the last level; minutes of calm lead up, one level at a time."""
    moves = run([pressure] * 12 + [CALM] * 100)
    assert [(at, move.level) for at, move in moves[:3]] == [(15.0, 1), (30.0, 2), (45.0, 3)]
    assert {move.causes for _, move in moves[:3]} == {(cause,)}
    assert [move.level for _, move in moves[3:]] == [2, 1, 0]
    ups = [at for at, _ in moves[3:]]
    assert all(b - a >= 120.0 for a, b in itertools.pairwise(ups))
    assert moves[-1][1].causes == ("calm",)


def test_a_short_peak_changes_nothing() -> None:
    """Ten hot seconds are forgotten."""
    assert run([replace(CALM, temp_c=90.0)] * 2 + [CALM] * 20) == []


def test_between_hot_and_cool_the_level_stays() -> None:
    """A cart that cools to between the limits neither goes on down nor comes back up."""
    moves = run([replace(CALM, temp_c=90.0)] * 4 + [replace(CALM, temp_c=80.0)] * 200)
    assert [move.level for _, move in moves] == [1]


def test_what_the_machine_does_not_tell_neither_presses_nor_holds() -> None:
    """A machine without any sensor works in full, and comes back from a level by calm of the rest."""
    assert run([Pressure()] * 50) == []
    moves = run([Pressure(throttled=True)] * 4 + [Pressure()] * 60)
    assert [move.level for _, move in moves][:2] == [1, 0]


def test_an_engine_that_one_level_cured_does_not_swing() -> None:
    """Half as many inferences take half the share: that is no reason to double them again."""
    moves = run([replace(CALM, infer_share=1.2)] * 4 + [replace(CALM, infer_share=0.6)] * 200)
    assert [move.level for _, move in moves] == [1]


def test_late_decisions_of_a_busy_shopper_lead_down() -> None:
    """One item in twelve seconds, each decided five seconds late: most looks see no decision at all."""
    seldom = [CALM_MACHINE] * 2
    found = run(
        [replace(CALM_MACHINE, decision_ms=5000.0), *seldom, replace(CALM_MACHINE, decision_ms=5000.0)] * 30
    )
    assert [move.level for _, move in found] == [1, 2, 3]
    assert {move.causes for _, move in found} == {("late",)}


def test_one_late_decision_is_no_reason_to_look_less() -> None:
    """However long nothing is decided after it."""
    assert run([replace(CALM_MACHINE, decision_ms=5000.0)] + [CALM_MACHINE] * 100) == []


def test_a_slow_engine_that_is_hardly_asked_any_more_does_not_swing() -> None:
    """At level 2 it does not run while nothing moves: what is not measured has not become fast."""
    ladder, levels = Ladder(), [0]
    for look in range(720):
        share = {0: 2.0, 1: 1.2}.get(ladder.level)
        ladder, _ = climb(ladder, replace(CALM_MACHINE, infer_share=share), look * 5.0, LIMITS)
        levels.append(ladder.level)
    assert levels == sorted(levels)
    assert levels[-1] == 2


def test_a_cart_that_was_late_looks_more_again_once_it_was_measured_in_time() -> None:
    """One decision in time is enough, with two calm minutes after it."""
    late, good = (replace(CALM_MACHINE, decision_ms=ms) for ms in (5000.0, 200.0))
    assert [
        move.level for _, move in run([late] * 4 + [CALM_MACHINE] * 100 + [good] + [CALM_MACHINE] * 30)
    ] == [1, 0]


@given(
    measure=st.sampled_from(["decision_ms", "infer_share"]),
    value=st.floats(0, 10_000),
    seen=st.lists(st.booleans(), max_size=300),
)
def test_under_constant_pressure_the_ladder_moves_one_way_and_stays(
    measure: str, value: float, seen: list[bool]
) -> None:
    """Whenever it is measured, the same figure never leads down and then up."""
    pressed = (
        replace(CALM_MACHINE, decision_ms=value)
        if measure == "decision_ms"
        else replace(CALM_MACHINE, infer_share=value)
    )
    levels = [move.level for _, move in run([pressed if look else CALM_MACHINE for look in seen])]
    assert levels == sorted(levels)


measures = st.builds(
    Pressure,
    temp_c=st.none() | st.floats(-20, 130),
    throttled=st.none() | st.booleans(),
    infer_share=st.none() | st.floats(0, 10),
    decision_ms=st.none() | st.floats(0, 1e4),
    memory_bytes=st.none() | st.floats(0, 1e10),
)


@given(st.lists(measures, max_size=200))
def test_levels_move_one_at_a_time_within_the_ladder_and_never_fast(pressures: list[Pressure]) -> None:
    """Whatever the machine says, steps are single and apart."""
    moves = run(pressures)
    level, last_s = 0, -1e9
    for at_s, move in moves:
        assert abs(move.level - level) == 1
        assert 0 <= move.level <= TOP_LEVEL
        assert at_s - last_s >= LIMITS.degrade_after_s
        level, last_s = move.level, at_s


CAMERAS = {
    "front": Standing(Condition.OK, 6.0),
    "left": Standing(Condition.FROZEN, 9.0),
    "rear": Standing(Condition.DARK, 9.0),
    "right": Standing(Condition.OK, 7.0),
}


def test_the_last_level_looks_through_the_two_best_cameras() -> None:
    """Sound before faulty, then the sharpest; a cart of one camera keeps it."""
    assert pace_of(3, CAMERAS).cameras == frozenset({"front", "right"})
    assert best({name: CAMERAS[name] for name in ("left", "rear", "front")}) == {"front", "rear"}
    assert best({"left": CAMERAS["left"]}) == {"left"}


def test_chosen_cameras_stay_until_one_becomes_worse() -> None:
    """Sharpness that trembles from look to look changes nothing; a black camera does, and once."""
    rng = random.Random(1)
    pace, found = Pace(), list[frozenset[str] | None]()
    for look in range(200):
        cameras = {name: Standing(Condition.OK, rng.gauss(8.0, 0.05)) for name in ("front", "left", "right")}
        if look >= 100 and pace.cameras is not None:
            worse = found[0] is not None and min(found[0])
            cameras[str(worse)] = Standing(Condition.BLACK, 0.0)
        pace = pace_of(3, cameras, pace)
        found.append(pace.cameras)
    changes = [look for look in range(1, 200) if found[look] != found[look - 1]]
    assert changes == [100]


def test_each_level_looks_less_than_the_one_before() -> None:
    """Fewer inferences, then none while nothing moves, then fewer cameras."""
    paces = [pace_of(level, CAMERAS) for level in range(TOP_LEVEL + 1)]
    shares = [pace.active_share for pace in paces]
    assert shares == sorted(shares, reverse=True)
    assert [pace.idle for pace in paces] == [True, True, False, False]
    assert [pace.cameras is None for pace in paces] == [True, True, True, False]
    assert [pace.keeps("rear") for pace in paces] == [True, True, True, False]
