"""Stories about frames on their way into the network's input."""

from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_agent.errors import EngineError
from fleet_agent.letterbox import WHOLE, Letterbox
from fleet_agent.manifest import InputSpec
from fleet_agent.preprocess import Preprocessor, is_picture
from tests.fleet_agent.worlds import manifest

Array = np.ndarray[Any, Any]
GREY_LEVEL = 1 / 255

PLAIN = manifest().input
IMAGENET = msgspec.structs.replace(
    PLAIN, width=48, height=32, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)
BLUE_FIRST = msgspec.structs.replace(
    IMAGENET, color="BGR", scale=1.0, mean=(104.0, 117.0, 123.0), std=(1.0, 1.0, 1.0)
)
STRETCHED = msgspec.structs.replace(PLAIN, letterbox=False, width=48)


def plainly(spec: InputSpec, frame: Array) -> tuple[Array, Letterbox]:
    """Letterbox and normalise as one would write it down: resize, pad, colours, formula."""
    height, width = frame.shape[:2]
    scale = min(spec.width / width, spec.height / height)
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    x, y = (spec.width - w) // 2, (spec.height - h) // 2
    if not spec.letterbox:
        w, h, x, y = spec.width, spec.height, 0, 0
    shrinks = width >= w and height >= h
    small = cv2.resize(frame, (w, h), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    canvas = np.full((spec.height, spec.width, 3), spec.pad, np.uint8)
    canvas[y : y + h, x : x + w] = small
    ordered = canvas[..., ::-1] if spec.color == "RGB" else canvas
    values = (ordered.astype(np.float64) * spec.scale - spec.mean) / spec.std
    box = Letterbox(x / spec.width, y / spec.height, w / spec.width, h / spec.height)
    return values.transpose(2, 0, 1), box


def noise(seed: int, height: int, width: int) -> Array:
    """Return a frame of noise: what shrinking gets wrong shows in it most."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@settings(max_examples=60)
@given(
    spec=st.sampled_from([PLAIN, IMAGENET, BLUE_FIRST, STRETCHED]),
    sizes=st.lists(st.tuples(st.integers(1, 127), st.integers(1, 127)), min_size=1, max_size=4),
    seed=st.integers(0, 2**31),
)
def test_frames_of_any_size_are_written_as_the_formula_says(
    spec: InputSpec, sizes: list[tuple[int, int]], seed: int
) -> None:
    """Four cameras of different sizes at once: every value is the formula's."""
    batch = np.full((4, 3, spec.height, spec.width), np.nan, np.float32)
    frames = [noise(seed + ix, *size) for ix, size in enumerate(sizes)]
    boxes = Preprocessor(spec, batch).fill(frames)
    for ix, frame in enumerate(frames):
        wanted, box = plainly(spec, frame)
        np.testing.assert_allclose(batch[ix], wanted, rtol=2e-6, atol=2e-6 * np.abs(wanted).max())
        assert boxes[ix] == box
    pads = np.broadcast_to(spec.pad, (3, 1, 1)) * spec.scale
    empty = (pads - np.reshape(spec.mean, (3, 1, 1))) / np.reshape(spec.std, (3, 1, 1))
    for row in batch[len(frames) :]:
        np.testing.assert_allclose(row, np.broadcast_to(empty, row.shape), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(
    "size", [(240, 320), (480, 640), (720, 1280), (1080, 1920), (600, 800), (1200, 1600)]
)
def test_large_frames_are_halved_first_and_stay_within_a_grey_level(size: tuple[int, int]) -> None:
    """Halving twice is the mean of four by four, but for the rounding in between."""
    spec = msgspec.structs.replace(PLAIN, width=160, height=160)
    batch = np.zeros((1, 3, 160, 160), np.float32)
    frame = noise(7, *size)
    Preprocessor(spec, batch).fill([frame])
    wanted, _ = plainly(spec, frame)
    assert np.abs(batch[0] - wanted).max() <= 1.01 * GREY_LEVEL


def test_a_camera_that_changes_its_resolution_leaves_nothing_behind() -> None:
    """Each new letterbox is padded anew; the same one again is not touched beside the frame."""
    batch = np.zeros((1, 3, 32, 32), np.float32)
    preprocessor = Preprocessor(PLAIN, batch)
    for size in [(32, 32), (64, 32), (32, 64), (5, 90), (64, 32), (1, 1), (32, 64)]:
        frame = noise(1, *size)
        box = preprocessor.fill([frame])
        fresh = np.zeros_like(batch)
        assert box == Preprocessor(PLAIN, fresh).fill([frame])
        np.testing.assert_array_equal(batch, fresh)


def test_a_row_without_a_frame_is_padded_and_filled_again() -> None:
    """A camera that is away leaves the pad colour, not its last picture; when it is back, it is seen."""
    batch = np.zeros((2, 3, 32, 32), np.float32)
    preprocessor = Preprocessor(PLAIN, batch)
    frames = [noise(1, 40, 40), noise(2, 40, 30)]
    preprocessor.fill(frames)
    both = batch.copy()
    preprocessor.fill(frames[:1])
    np.testing.assert_array_equal(batch[0], both[0])
    np.testing.assert_allclose(batch[1], PLAIN.pad / 255, atol=1e-6)
    preprocessor.fill(frames)
    np.testing.assert_array_equal(batch, both)
    assert preprocessor.fill([]) == []
    np.testing.assert_allclose(batch, PLAIN.pad / 255, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (3, 3), (4001, 6007)])
def test_tiny_and_huge_frames_find_their_place(size: tuple[int, int]) -> None:
    """From a single pixel to twenty-four million: within the input, and not larger than it."""
    batch = np.zeros((1, 3, 32, 32), np.float32)
    (box,) = Preprocessor(PLAIN, batch).fill([np.full((*size, 3), 200, np.uint8)])
    assert 0 < box.width <= 1 >= box.height > 0
    x, y = round(box.x * 32), round(box.y * 32)
    w, h = round(box.width * 32), round(box.height * 32)
    np.testing.assert_allclose(batch[0, :, y : y + h, x : x + w], 200 / 255, atol=1e-6)


def test_arrays_that_are_not_in_one_piece_are_read_right() -> None:
    """A crop, a mirrored and a colour-swapped view of a larger picture are frames too."""
    whole = noise(3, 90, 120)
    views = [whole[10:70, 20:100], whole[:, ::-1], whole[::-1], whole[..., ::-1], whole[::2, ::3]]
    for view in views:
        batch, copied = np.zeros((2, 1, 3, 32, 32), np.float32)
        Preprocessor(PLAIN, batch).fill([view])
        Preprocessor(PLAIN, copied).fill([np.ascontiguousarray(view)])
        np.testing.assert_array_equal(batch, copied)


def test_an_uniform_frame_is_uniform() -> None:
    """Black, grey and white come out as their share of white, without a seam to the bars."""
    batch = np.zeros((3, 3, 32, 32), np.float32)
    boxes = Preprocessor(STRETCHED, np.zeros((3, 3, 32, 48), np.float32)).fill([])
    assert boxes == []
    Preprocessor(PLAIN, batch).fill([np.full((32, 32, 3), level, np.uint8) for level in (0, 114, 255)])
    for row, level in zip(batch, (0, 114, 255), strict=True):
        np.testing.assert_allclose(row, level / 255, atol=1e-7)
    (box,) = Preprocessor(STRETCHED, np.zeros((1, 3, 32, 48), np.float32)).fill([noise(1, 9, 99)])
    assert box == WHOLE


def test_more_frames_than_rows_are_refused() -> None:
    """Nothing is dropped in silence."""
    batch = np.zeros((1, 3, 32, 32), np.float32)
    with pytest.raises(EngineError, match="2 frames for an input of 1"):
        Preprocessor(PLAIN, batch).fill([noise(1, 8, 8)] * 2)


def test_what_is_a_picture() -> None:
    """Bytes, three colours, at least one pixel: anything else is left to be counted."""
    assert is_picture(noise(1, 1, 1))
    for wrong in (
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 3), np.float32),
    ):
        assert not is_picture(wrong)  # type: ignore[arg-type]
