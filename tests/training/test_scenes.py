"""What the rim cameras see."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.scenes import (
    CAMERAS,
    CATALOGUE,
    Direction,
    Gesture,
    LabelledFrame,
    LensState,
    Light,
    SceneRenderer,
    SceneSampler,
    SceneState,
    Sensor,
)

ITEMS = [item.item_id for item in CATALOGUE]
CARRYING = SceneState(gestures=(Gesture("cola-classic", phase=0.28),), basket=("eggs-ten", "milk-skim"))


@pytest.fixture(scope="module")
def front() -> SceneRenderer:
    """The camera at the front rim."""
    return SceneRenderer(CAMERAS[0])


def shot(renderer: SceneRenderer, state: SceneState, seed: int = 1) -> LabelledFrame:
    """Render with a fresh generator."""
    return renderer.render_labelled(state, np.random.default_rng(seed))


def sharpness(frame: LabelledFrame) -> float:
    """Mean squared difference of neighbouring pixels."""
    grey = frame.pixels.astype(np.float64).mean(axis=2)
    return float((np.diff(grey, axis=0) ** 2).mean() + (np.diff(grey, axis=1) ** 2).mean())


def test_same_seed_same_frame(front: SceneRenderer) -> None:
    """A frame is a pure function of state and seed, whichever renderer draws it, whatever it drew before."""
    first = shot(front, CARRYING)
    shot(front, SceneState(gestures=(Gesture("tuna-can", phase=0.2),)))
    again = shot(SceneRenderer(CAMERAS[0]), CARRYING)
    assert np.array_equal(first.pixels, again.pixels)
    assert first.boxes == again.boxes
    assert not np.array_equal(first.pixels, shot(front, CARRYING, seed=2).pixels)


def test_a_frame_is_what_a_camera_delivers(front: SceneRenderer) -> None:
    """Frames are 8-bit colour pictures of the asked size."""
    pixels = shot(front, CARRYING).pixels
    assert pixels.shape == (240, 320, 3)
    assert pixels.dtype == np.uint8
    assert shot(SceneRenderer(CAMERAS[1], width=160), CARRYING).pixels.shape == (120, 160, 3)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), camera=st.sampled_from(CAMERAS))
def test_boxes_stay_inside_the_frame(seed: int, camera: object) -> None:
    """Whatever scene is drawn, every box lies inside the frame, has an area and a visible share of 0 to 1."""
    rng = np.random.default_rng(seed)
    frame = SceneRenderer(next(view for view in CAMERAS if view is camera)).render_labelled(
        SceneSampler().draw(rng), rng
    )
    for truth in frame.boxes:
        x0, y0, x1, y1 = truth.box
        assert 0 <= x0 < x1 <= 1
        assert 0 <= y0 < y1 <= 1
        assert 0 <= truth.visible <= 1
        assert truth.item_id in ITEMS


@pytest.mark.parametrize("item_id", ITEMS)
def test_every_item_shows_where_its_box_says(front: SceneRenderer, item_id: str) -> None:
    """With and without the item, the picture differs inside the box; far from hand and box it does not."""
    quiet = Sensor(noise=0.0, exposure_s=0.0)
    state = SceneState(gestures=(Gesture(item_id, phase=0.3, grip=0.1),), sensor=quiet)
    frame = shot(front, state)
    (truth,) = frame.boxes
    calm = shot(front, SceneState(sensor=quiet)).pixels
    changed = np.abs(frame.pixels.astype(int) - calm).max(axis=2) > 8
    x0, y0, x1, y1 = (int(side * size) for side, size in zip(truth.box, (320, 240, 320, 240), strict=True))
    assert changed[y0:y1, x0:x1].mean() > 0.4
    assert not changed[y1 + 12 :].any()
    assert truth.visible > 0.3


def test_dimmer_light_gives_a_darker_frame(front: SceneRenderer) -> None:
    """A failing lamp shows in the picture's brightness, monotonically, although the gain fights it."""
    levels = [1.0, 0.6, 0.4, 0.25]
    brightness = [shot(front, replace(CARRYING, light=Light(level))).pixels.mean() for level in levels]
    assert brightness == sorted(brightness, reverse=True)
    assert brightness[-1] < 0.6 * brightness[0]


def test_warm_light_is_redder_and_cold_light_bluer(front: SceneRenderer) -> None:
    """The colour temperature moves the balance of blue and red."""
    warm, cold = (
        shot(front, replace(CARRYING, light=Light(kelvin=kelvin))).pixels.mean(axis=(0, 1))
        for kelvin in (3000, 7000)
    )
    assert warm[2] / warm[0] > 1.3 * cold[2] / cold[0]


def test_a_smeared_lens_blurs(front: SceneRenderer) -> None:
    """A greasy print takes sharpness away, more of it takes more."""
    quiet = replace(CARRYING, sensor=Sensor(noise=0.0))
    values = [sharpness(shot(front, replace(quiet, lens=LensState(smear, 3)))) for smear in (0.0, 0.35, 0.8)]
    assert values[0] > values[1] > values[2]


def test_a_long_exposure_blurs_what_moves(front: SceneRenderer) -> None:
    """The hand is blurred along its way when the shutter is slow; the aisle behind it is not."""
    moving = SceneState(gestures=(Gesture("cereal-honey", phase=0.12, duration_s=1.1),))
    fast = shot(front, replace(moving, sensor=Sensor(noise=0.0, exposure_s=0.0)))
    slow = shot(front, replace(moving, sensor=Sensor(noise=0.0, exposure_s=0.03)))
    assert sharpness(slow) < sharpness(fast)
    assert np.array_equal(fast.pixels[200:, :20], slow.pixels[200:, :20])


def test_more_noise_is_more_noise(front: SceneRenderer) -> None:
    """The difference to a silent sensor grows with the noise factor and with the gain in dim light."""

    def noise(factor: float, level: float) -> float:
        state = SceneState(light=Light(level), sensor=Sensor(noise=factor))
        silent = shot(front, replace(state, sensor=Sensor(noise=0.0))).pixels
        return float(np.std(shot(front, state).pixels.astype(int) - silent))

    assert 0 < noise(0.5, 1.0) < noise(2.0, 1.0) < noise(2.0, 0.4)


def test_an_added_item_is_gone_after_it_was_put_down(front: SceneRenderer) -> None:
    """The hand comes with the item and leaves without it; a removal is the same film backwards."""

    def carried(direction: Direction, phase: float) -> bool:
        return Gesture("tuna-can", direction, phase).carries_item

    assert [carried(Direction.ADD, phase) for phase in (0.1, 0.5, 0.7, 0.95)] == [True, True, False, False]
    assert [carried(Direction.REMOVE, phase) for phase in (0.1, 0.3, 0.5, 0.9)] == [False, False, True, True]
    leaving = shot(front, SceneState(gestures=(Gesture("tuna-can", phase=0.8),)))
    assert leaving.boxes == ()


def test_begin_and_end_of_a_gesture_are_outside_the_picture() -> None:
    """Nothing pops up or vanishes in view: at phase 0 and 1 no camera sees the item."""
    for view in CAMERAS:
        for phase in (0.0, 1.0):
            assert (
                shot(SceneRenderer(view), SceneState(gestures=(Gesture("tuna-can", phase=phase),))).boxes
                == ()
            )


def test_cameras_see_different_sides() -> None:
    """The same moment looks different from the front and from the rear."""
    boxes = {}
    for view in CAMERAS:
        frame = shot(SceneRenderer(view), CARRYING)
        boxes[view.name] = frame.boxes[0].box
    assert len(set(boxes.values())) == len(CAMERAS)


def test_an_unknown_item_is_refused(front: SceneRenderer) -> None:
    """A typo in an item's name is an error, not an empty picture."""
    with pytest.raises(KeyError):
        shot(front, SceneState(gestures=(Gesture("durian"),)))


def test_the_renderer_needs_no_torch() -> None:
    """The demo's cameras run where torch is not installed."""
    code = "import sys, training.scenes; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
