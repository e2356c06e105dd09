"""Rendered frames with their boxes, as arrays in memory. No torch here: evaluation and tests use it too."""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.scenes import (
    CAMERAS,
    CameraView,
    SceneRenderer,
    SceneSampler,
    SceneState,
    TruthBox,
    item_index,
)

# The network's input: a 4:3 frame scaled to this width, with grey bars above and below.
INPUT_SIDE = 160
FRAME_HEIGHT = 120
# Input pixels per cell of the output maps. Halving it doubles the cost and only helps items below 16 pixels.
STRIDE = 8
BAR = (INPUT_SIDE - FRAME_HEIGHT) // 2
PAD_GREY = 114
# Room for items per frame; scenes hold at most two.
MAX_ITEMS = 3
# Backgrounds a camera reuses: drawing a new one for every frame would take most of the rendering time.
_PLACES_PER_VIEW = 40


@dataclass(frozen=True, slots=True)
class SceneSet:
    """Frames and truth.

    Attributes:
        images: uint8 (n, 120, 160, 3), RGB, without the grey bars.
        classes: int16 (n, 3), class index or -1 where there is no further item.
        boxes: float32 (n, 3, 4), cx, cy, w, h as fractions of the 160 x 160 input.
        visible: float32 (n, 3), share of the item that can be seen.
    """

    images: NDArray[np.uint8]
    classes: NDArray[np.int16]
    boxes: NDArray[np.float32]
    visible: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.images)

    def digest(self) -> str:
        """Return the SHA-256 of all arrays, hexadecimal: which data a model was trained on."""
        total = hashlib.sha256()
        for array in (self.images, self.classes, self.boxes, self.visible):
            total.update(f"{array.dtype.str} {array.shape}".encode())
            total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()


def varied_views(rng: np.random.Generator, extra: int = 12) -> list[CameraView]:
    """Return the four rim cameras and some mounted a little differently."""
    views = list(CAMERAS)
    views.extend(
        CameraView(
            name=f"varied-{number}",
            yaw_deg=float(rng.uniform(0, 360)),
            arm_deg=float(rng.uniform(-48, 48)),
            zoom=float(rng.uniform(0.85, 1.2)),
            rim_deg=float(rng.uniform(-5, 5)),
            aisle_seed=int(rng.integers(1, 14)),
        )
        for number in range(extra)
    )
    return views


def held_out_views() -> list[CameraView]:
    """Return the four rim cameras in front of aisles that no training frame shows."""
    return [dataclasses.replace(view, aisle_seed=100 + view.aisle_seed) for view in CAMERAS]


def render_set(
    sampler: SceneSampler, count: int, seed: int, views: Sequence[CameraView] | None = None
) -> SceneSet:
    """Render random scenes.

    Args:
        sampler: From what to draw.
        count: Number of frames.
        seed: The same seed gives the same frames.
        views: Cameras to look through; the rim cameras and varied ones when not given.
    """
    rng = np.random.default_rng(seed)
    cameras = varied_views(rng) if views is None else views
    renderers = [SceneRenderer(view, backgrounds_kept=_PLACES_PER_VIEW) for view in cameras]
    places = [_place(sampler.draw(rng)) for _ in range(_PLACES_PER_VIEW)]
    out = empty_set(count)
    for index in range(count):
        aisle, basket = places[int(rng.integers(len(places)))]
        drawn = sampler.draw(rng)
        state = SceneState(drawn.gestures, basket, drawn.light, drawn.lens, drawn.sensor, aisle)
        frame = renderers[int(rng.integers(len(renderers)))].render_labelled(state, rng)
        out.images[index] = shrink(frame.pixels)
        put_truth(out, index, frame.boxes)
    return out


def _place(state: SceneState) -> tuple[float, tuple[str, ...]]:
    return state.aisle, state.basket


def empty_set(count: int) -> SceneSet:
    """Return a set with room for frames."""
    return SceneSet(
        np.zeros((count, FRAME_HEIGHT, INPUT_SIDE, 3), np.uint8),
        np.full((count, MAX_ITEMS), -1, np.int16),
        np.zeros((count, MAX_ITEMS, 4), np.float32),
        np.zeros((count, MAX_ITEMS), np.float32),
    )


def shrink(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scale a BGR 4:3 frame to 160 x 120 RGB, as the cart's letterbox does."""
    small = cv2.resize(pixels, (INPUT_SIDE, FRAME_HEIGHT), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), np.uint8)


def put_truth(scenes: SceneSet, index: int, boxes: tuple[TruthBox, ...]) -> None:
    """Write the truth about one frame into a set, in place."""
    for place, truth in enumerate(boxes[:MAX_ITEMS]):
        scenes.classes[index, place] = item_index()[truth.item_id]
        scenes.boxes[index, place] = as_input_box(truth.box)
        scenes.visible[index, place] = truth.visible


def as_input_box(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Turn x0, y0, x1, y1 of a frame into cx, cy, w, h of the letterboxed input (all fractions)."""
    x0, y0, x1, y1 = box
    tall = FRAME_HEIGHT / INPUT_SIDE
    return (x0 + x1) / 2, BAR / INPUT_SIDE + (y0 + y1) / 2 * tall, x1 - x0, (y1 - y0) * tall


def as_input(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return frames (n, 120, 160, 3) as network input, float32 (n, 3, 160, 160) in 0..1 with grey bars."""
    full = np.full((len(images), 3, INPUT_SIDE, INPUT_SIDE), PAD_GREY / 255, np.float32)
    full[:, :, BAR : BAR + FRAME_HEIGHT] = images.transpose(0, 3, 1, 2) * np.float32(1 / 255)
    return full
