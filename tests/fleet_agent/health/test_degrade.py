"""Stories about the ladder of looking less."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.health.camera import Condition
from fleet_agent.health.degrade import TOP_LEVEL, Ladder, LadderLimits, Move, Pressure, climb
from fleet_agent.health.pace import Standing, best, pace_of

LIMITS = LadderLimits(degrade_after_s=15.0, recover_after_s=120.0)
CALM = Pressure(temp_c=50.0, throttled=False, infer_share=0.2, decision_ms=100.0, memory_bytes=2e9)


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


def test_each_level_looks_less_than_the_one_before() -> None:
    """Fewer inferences, then none while nothing moves, then fewer cameras."""
    paces = [pace_of(level, CAMERAS) for level in range(TOP_LEVEL + 1)]
    shares = [pace.active_share for pace in paces]
    assert shares == sorted(shares, reverse=True)
    assert [pace.idle for pace in paces] == [True, True, False, False]
    assert [pace.cameras is None for pace in paces] == [True, True, True, False]
    assert [pace.keeps("rear") for pace in paces] == [True, True, True, False]
