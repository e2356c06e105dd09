"""Rendered views of a rim camera: twenty groceries, hands, light, dirt and noise. NumPy and OpenCV only.

The package draws what a camera on the rim of a shopping cart sees: the aisle, the far rim, the basket's
content peeking out, and hands that bring items in or take them out. It feeds the detector's training, the
demo's cameras and tests.

A frame is a pure function of a ``SceneState`` and a NumPy generator (which only picks the noise)::

    import numpy as np
    from training.scenes import CAMERAS, CATALOGUE, Direction, Gesture, Light
    from training.scenes import SceneRenderer, SceneState, preload

    # Optional: no later frame waits for a sprite to be drawn (about 5 s of CPU for all items).
    preload([item.item_id for item in CATALOGUE])
    front = SceneRenderer(CAMERAS[0])  # 320 x 240; SceneRenderer(view, width=160) gives 160 x 120
    hand = Gesture("cola-zero", Direction.ADD, phase=0.3, yaw_deg=40, roll_deg=15, lane=-0.3, skin=2)
    state = SceneState(
        gestures=(hand,), basket=("eggs-ten",), light=Light(level=0.7, kelvin=4000), aisle=0.2
    )
    frame = front.render(state, np.random.default_rng(7))  # uint8 (240, 320, 3) BGR
    labelled = front.render_labelled(state, np.random.default_rng(7))  # .pixels and .boxes

The same ``SceneState`` given to the renderers of several cameras shows the same moment from several sides:
each ``CameraView`` adds its own turn to the item, so that one sees the front print and another the barcode.

A gesture runs from ``phase`` 0 to 1 in ``duration_s`` seconds. An added item is in the hand until 0.6 and
best in view from 0.15 to 0.45; a removed one from 0.4 on and best in view from 0.55 to 0.85. ``no gestures``
is a calm cart: such a frame costs about a quarter of a busy one because the background is kept.

Randomly drawn states, as the detector is trained on, come from ``sampling``.
"""

from training.scenes.catalogue import CATALOGUE, Item, ean13_check_digit, find_item, item_index
from training.scenes.renderer import LabelledFrame, SceneRenderer, TruthBox
from training.scenes.sampling import SceneSampler, random_gesture
from training.scenes.sprites import preload
from training.scenes.state import (
    CAMERAS,
    CARRIED_PART,
    CameraView,
    Direction,
    Gesture,
    LensState,
    Light,
    SceneState,
    Sensor,
)

__all__ = [
    "CAMERAS",
    "CARRIED_PART",
    "CATALOGUE",
    "CameraView",
    "Direction",
    "Gesture",
    "Item",
    "LabelledFrame",
    "LensState",
    "Light",
    "SceneRenderer",
    "SceneSampler",
    "SceneState",
    "Sensor",
    "TruthBox",
    "ean13_check_digit",
    "find_item",
    "item_index",
    "preload",
    "random_gesture",
]
