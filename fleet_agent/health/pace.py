"""What each level of the degrade ladder means for looking.

The network's input has a fixed size, so a smaller picture does not make inference cheaper; what makes a
cart cooler is looking less often, with fewer cameras, and holding smaller frames:

| level | while the weight moves | while nothing moves | cameras | frames |
|---|---|---|---|---|
| 0 | as configured | as configured | all | as captured |
| 1 | half as often | as configured | all | as captured |
| 2 | half as often | no look at all | all | as captured |
| 3 | a third as often | no look at all | the best two | half width and height |
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from fleet_agent.health.camera import Condition
from fleet_agent.perception import Frame

# Cameras of the highest level: with one, a hand in front of it hides the item.
FEWEST_CAMERAS = 2
# A frame that is already this small is not made smaller: the network's input is about as wide.
LEAST_WIDTH = 320


@dataclass(frozen=True, slots=True)
class Pace:
    """How much a cart looks.

    Attributes:
        active_share: Of the configured inferences while the weight moves, 0..1.
        idle: Whether it looks while nothing moves.
        cameras: Names of those it looks through; None: all.
        halved: Frames are kept at half their width and height.
    """

    active_share: float = 1.0
    idle: bool = True
    cameras: frozenset[str] | None = None
    halved: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """What a camera is like, for choosing the best.

    Attributes:
        condition: Its condition.
        sharpness: Of its latest measured frame.
    """

    condition: Condition
    sharpness: float


def pace_of(level: int, cameras: Mapping[str, Standing]) -> Pace:
    """Return what a level of the ladder means for a cart with these cameras."""
    if level <= 0:
        return Pace()
    if level == 1:
        return Pace(active_share=0.5)
    if level == 2:
        return Pace(active_share=0.5, idle=False)
    return Pace(active_share=1 / 3, idle=False, cameras=best(cameras), halved=True)


def best(cameras: Mapping[str, Standing], most: int = FEWEST_CAMERAS) -> frozenset[str]:
    """Return the names of the best cameras: sound before faulty, then the sharpest, then by name."""
    ranked = sorted(cameras, key=lambda name: (_rank(cameras[name]), -cameras[name].sharpness, name))
    return frozenset(ranked[:most])


def _rank(standing: Standing) -> int:
    """0 for a sound camera, 1 for one that sees badly, 2 for one that shows nothing."""
    if standing.condition is Condition.OK:
        return 0
    return 1 if standing.condition.believable and standing.condition is not Condition.LOST else 2


def halved(frame: Frame) -> Frame:
    """Return a frame of half width and height; small ones as they are."""
    height, width = frame.pixels.shape[:2]
    if width < 2 * LEAST_WIDTH:
        return frame
    small = cv2.resize(frame.pixels, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return Frame(frame.camera, np.asarray(small, np.uint8), frame.captured_s)
