"""Stories about keeping frames at the size that the network looks at."""

import numpy as np
import pytest

from fleet_agent.manifest import InputSpec
from fleet_agent.perception import Frame, Tensor
from fleet_agent.preprocess import Preprocessor
from fleet_agent.shrink import Shrinker


def spec(*, letterbox: bool) -> InputSpec:
    """Return an input of 160 x 160."""
    return InputSpec(
        name="images",
        width=160,
        height=160,
        layout="NCHW",
        color="RGB",
        scale=1 / 255,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        letterbox=letterbox,
        pad=114,
    )


@pytest.mark.parametrize(
    "size", [(640, 480), (1280, 720), (1920, 1080), (641, 479), (161, 3), (160, 160), (96, 72)]
)
@pytest.mark.parametrize("letterbox", [True, False])
def test_the_network_sees_the_same_as_if_the_frame_had_been_kept_whole(
    size: tuple[int, int], *, letterbox: bool
) -> None:
    """To the last bit, and in the same place."""
    rng = np.random.default_rng(1)
    frame = Frame("front", rng.integers(0, 255, (size[1], size[0], 3), np.uint8), 1.5)
    small = Shrinker(spec(letterbox=letterbox)).shrunk(frame)
    inputs: list[Tensor] = [np.zeros((1, 3, 160, 160), np.float32) for _ in range(2)]
    placed = [
        Preprocessor(spec(letterbox=letterbox), batch).fill([pixels])
        for batch, pixels in zip(inputs, (frame.pixels, small.pixels), strict=True)
    ]
    assert np.array_equal(inputs[0], inputs[1])
    assert placed[0] == placed[1]
    assert small.pixels.size <= max(frame.pixels.size, 1)
    assert (small.camera, small.captured_s) == ("front", 1.5)


def test_frames_own_their_pixels_and_may_change_their_size() -> None:
    """The next frame does not paint over the one before, whatever its size."""
    shrinker = Shrinker(spec(letterbox=True))
    levels = (10, 20, 30)
    sizes = ((480, 640, 3), (480, 640, 3), (720, 1280, 3))
    kept = [
        shrinker.shrunk(Frame("front", np.full(size, level, np.uint8), 0.0))
        for size, level in zip(sizes, levels, strict=True)
    ]
    assert [int(frame.pixels.mean()) for frame in kept] == list(levels)
    assert [frame.pixels.shape for frame in kept] == [(120, 160, 3), (120, 160, 3), (90, 160, 3)]
