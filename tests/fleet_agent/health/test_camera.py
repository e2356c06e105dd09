"""Stories about judging a camera by its frames."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.health.camera import (
    LEAST_REPEATS,
    CameraState,
    Condition,
    Features,
    Limits,
    Sampler,
    step,
)
from fleet_agent.perception import Pixels

LIMITS = Limits(frozen_after_s=3.0)
FPS = 10.0


def shelf(width: int = 320, height: int = 240) -> Pixels:
    """Return a calm picture without noise: stripes of several levels."""
    columns = (np.arange(width) // 20 % 5 * 40 + 40).astype(np.uint8)
    return np.repeat(np.tile(columns, (height, 1))[:, :, None], 3, axis=2)


def live(rng: np.random.Generator, sigma: float, picture: Pixels) -> Pixels:
    """Return a picture as a sensor with so much noise gives it."""
    noise = rng.normal(0.0, sigma, picture.shape)
    levels: Pixels = np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)
    return levels


def watch(frames: list[Pixels], limits: Limits = LIMITS, fps: float = FPS) -> list[Condition]:
    """Return the condition after each frame."""
    sampler, state, found = Sampler(), CameraState(), []
    for ix, pixels in enumerate(frames):
        state = step(state, sampler.features(pixels, ix / fps), limits)
        found.append(state.condition)
    return found


@pytest.mark.parametrize("sigma", [0.25, 0.5, 1.0, 3.0])
def test_a_calm_live_picture_is_never_frozen(sigma: float) -> None:
    """A minute of an empty shelf through a good sensor, a quarter of a level of noise, is alive."""
    rng = np.random.default_rng(5)
    frames = [live(rng, sigma, shelf()) for _ in range(60 * 4)]
    assert set(watch(frames, fps=4.0)) == {Condition.OK}


@pytest.mark.parametrize("buffers", [1, 2, 3, 4])
def test_a_camera_that_repeats_its_last_buffers_is_frozen(buffers: int) -> None:
    """One picture again and again, or up to four in turn: frozen after the time set, not before."""
    rng = np.random.default_rng(6)
    kept = [live(rng, 1.0, shelf()) for _ in range(buffers)]
    frames = [live(rng, 1.0, shelf()) for _ in range(20)] + [kept[i % buffers] for i in range(60)]
    found = watch(frames)
    first = found.index(Condition.FROZEN)
    assert 20 + 3.0 * FPS <= first <= 20 + 3.0 * FPS + buffers + 1
    assert set(found[first:]) == {Condition.FROZEN}


def test_a_frozen_camera_with_a_running_clock_is_frozen() -> None:
    """The camera writes the time into a picture that stands still: a few white pixels change, no others."""
    rng = np.random.default_rng(11)
    stuck, frames = live(rng, 1.0, shelf()), list[Pixels]()
    for _ in range(60):
        stamped = stuck.copy()
        stamped[8:20, 280:304] = np.where(rng.random((12, 24, 1)) < 0.5, 255, 0)
        frames.append(stamped)
    assert watch(frames)[-1] is Condition.FROZEN


def test_a_frozen_camera_that_comes_back_is_well_again_at_once() -> None:
    """Two live frames are enough: an item may be in them."""
    rng = np.random.default_rng(7)
    stuck = live(rng, 1.0, shelf())
    found = watch([stuck] * 50 + [live(rng, 1.0, shelf()) for _ in range(3)])
    assert found[49] is Condition.FROZEN
    assert found[50:] == [Condition.FROZEN, Condition.OK, Condition.OK]


def test_a_slow_camera_needs_several_repeats() -> None:
    """A frame every two seconds: time alone is no proof, a few equal frames are."""
    stuck = live(np.random.default_rng(8), 1.0, shelf())
    found = watch([stuck] * 12, fps=0.5)
    assert found.index(Condition.FROZEN) == LEAST_REPEATS


@pytest.mark.parametrize(
    ("level", "condition"), [(0, Condition.BLACK), (4, Condition.BLACK), (255, Condition.OVEREXPOSED)]
)
def test_a_clipped_picture_is_named_for_what_it_is(level: int, condition: Condition) -> None:
    """Black and white pictures have no noise: they are not called frozen."""
    found = watch([np.full((120, 160, 3), level, np.uint8)] * 100)
    assert found[-1] is condition
    assert Condition.FROZEN not in found


def test_dark_is_not_black() -> None:
    """A dim lamp leaves evidence; a covered lens leaves none."""
    rng = np.random.default_rng(9)
    dim = watch([live(rng, 1.0, np.full((120, 160, 3), 18, np.uint8)) for _ in range(30)])
    assert dim[-1] is Condition.DARK
    assert Condition.DARK.believable
    assert not Condition.BLACK.believable


def test_one_black_frame_is_no_condition() -> None:
    """A hand that passes over the lens is not a fault."""
    rng = np.random.default_rng(10)
    frames = [live(rng, 1.0, shelf()) for _ in range(20)]
    frames[5:8] = [np.zeros_like(frames[0])] * 3
    assert set(watch(frames)) == {Condition.OK}


def test_brightness_near_the_limit_does_not_swing() -> None:
    """Between the limit and a quarter above it, what was stays."""
    state = CameraState()
    found = []
    for ix in range(400):
        brightness = 28.0 if ix < 100 else 32.0 if ix % 2 else 29.0
        seen = Features(ix / FPS, brightness, 0.0, repeats=False)
        state = step(state, seen, LIMITS)
        found.append(state.condition)
    assert found[-1] is Condition.DARK
    assert sum(a is not b for a, b in itertools.pairwise(found)) == 1


def test_blur_is_judged_where_it_was_measured() -> None:
    """Sharpness is measured in some frames; those between do not clear the verdict."""
    state = CameraState()
    for ix in range(30):
        sharpness = 1.0 if ix % 5 == 0 else None
        state = step(state, Features(ix / FPS, 100.0, 0.0, repeats=False, sharpness=sharpness), LIMITS)
    assert state.condition is Condition.BLURRED


def test_zero_seconds_never_judges_frozen() -> None:
    """The setting's 0 turns the judgement off."""
    stuck = shelf()
    assert set(watch([stuck] * 200, Limits(frozen_after_s=0.0))) == {Condition.OK}


def test_a_clock_in_the_picture_does_not_hide_that_it_is_repeated() -> None:
    """Some values change with each frame, wherever they are: that is no sensor."""
    for first_row in (0, 20, 44):
        sampler = Sampler()
        stuck = shelf()
        found = []
        for ix in range(6):
            stamped = stuck.copy()
            height = len(stuck) // 48
            stamped[first_row * height : (first_row + 1) * height, : 20 * (stuck.shape[1] // 64)] = ix * 40
            found.append(sampler.features(stamped, ix / FPS).repeats)
        assert found == [False, *[True] * 5], first_row


def test_a_new_resolution_is_no_repetition_and_nothing_is_remembered_after_a_loss() -> None:
    """What is compared are pictures of one camera in one go."""
    sampler = Sampler()
    still = shelf()
    assert [sampler.features(still, at_s).repeats for at_s in (0.0, 0.1)] == [False, True]
    assert not sampler.features(shelf(640, 480)[:, :400], 0.2).repeats
    sampler.forget()
    assert not sampler.features(still, 0.3).repeats


def test_a_ring_of_buffers_is_found_and_a_longer_one_is_not() -> None:
    """Eight pictures are remembered: a driver that goes round eight repeats itself, nine are always new."""
    rng = np.random.default_rng(9)
    for buffers, found in ((8, True), (9, False)):
        sampler = Sampler()
        pictures = [live(rng, 1.0, shelf()) for _ in range(buffers)]
        seen = [sampler.features(pictures[ix % buffers], ix / FPS).repeats for ix in range(3 * buffers)]
        assert seen == [False] * buffers + [found] * (2 * buffers)


@given(
    st.lists(
        st.builds(
            Features,
            at_s=st.floats(0, 1e6),
            brightness=st.floats(0, 255),
            white_share=st.floats(0, 1),
            repeats=st.booleans(),
            sharpness=st.none() | st.floats(-10, 14),
        ),
        max_size=60,
    )
)
def test_no_frames_leave_a_camera_lost_or_frozen_without_repeats(seen: list[Features]) -> None:
    """Whatever comes, even with times that jump: frozen needs repeats, and frames alone never say lost."""
    state = CameraState()
    for features in seen:
        state = step(state, features, LIMITS)
        assert state.condition is not Condition.LOST
        if state.candidate is Condition.FROZEN:
            assert state.repeats >= LEAST_REPEATS
