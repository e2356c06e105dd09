"""What a rim camera could be looking at: plain frozen values, no pixels.

Lengths are in pixels of a 320 x 240 frame; other frame sizes scale them.
"""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from training.scenes.surfaces import Floats

# Part of a gesture during which the item is in the hand. The hand travels alone for the rest of it.
CARRIED_PART = 0.6


class Direction(StrEnum):
    """Which way the item moves."""

    ADD = "add"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class CameraView:
    """Where one camera sits on the rim and how it looks across the opening.

    Attributes:
        name: As the cart's configuration calls it.
        yaw_deg: Seen from here an item shows the side that is this far around from its front.
        arm_deg: Direction an arm points in the picture; 0 is straight down, positive leans to the right.
        zoom: Size of things relative to the plain view.
        rim_deg: Slant of the far rim in the picture.
        aisle_seed: Which shelves stand behind the cart.
    """

    name: str
    yaw_deg: float = 0.0
    arm_deg: float = 0.0
    zoom: float = 1.0
    rim_deg: float = 0.0
    aisle_seed: int = 1


CAMERAS: tuple[CameraView, ...] = (
    CameraView("front", yaw_deg=0.0, arm_deg=-6.0, zoom=1.0, rim_deg=0.8, aisle_seed=1),
    CameraView("left", yaw_deg=90.0, arm_deg=34.0, zoom=1.05, rim_deg=-3.0, aisle_seed=2),
    CameraView("right", yaw_deg=270.0, arm_deg=-38.0, zoom=0.97, rim_deg=3.5, aisle_seed=3),
    CameraView("rear", yaw_deg=180.0, arm_deg=14.0, zoom=1.1, rim_deg=-1.0, aisle_seed=4),
)


@dataclass(frozen=True, slots=True)
class Light:
    """The shop's lamps.

    Attributes:
        level: 1 is a well-lit shop, 0.25 a failing lamp.
        kelvin: Colour temperature; 3000 is yellowish, 4800 neutral, 7000 bluish.
    """

    level: float = 1.0
    kelvin: float = 4800.0


@dataclass(frozen=True, slots=True)
class LensState:
    """What sticks to the glass.

    Attributes:
        smear: 0 clean .. 1 a greasy hand print over most of the lens.
        seed: Which print.
    """

    smear: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Sensor:
    """The camera's electronics.

    Attributes:
        noise: Noise relative to an ordinary sensor; 0 is silent.
        exposure_s: Shutter time; with the hand's speed it gives the motion blur.
        max_gain: How far the automatic gain may lift a dark picture; the lift amplifies noise too.
    """

    noise: float = 1.0
    exposure_s: float = 0.010
    max_gain: float = 1.6


@dataclass(frozen=True, slots=True)
class Gesture:
    """One hand bringing an item in or taking one out, at one moment.

    Attributes:
        item_id: What the hand carries while it carries; ``None`` for an empty hand.
        direction: Into the cart or out of it.
        phase: 0 begins outside the picture, 1 ends outside the picture. An added item is in the hand
            until 0.6, a removed one from 0.4 on.
        yaw_deg: How the item is turned in the hand, about its own upright axis.
        pitch_deg: How far it is tipped towards the camera.
        roll_deg: How far it is tilted in the picture.
        lane: -1 left .. 1 right end of the opening.
        grip: 0 fingertips only .. 1 the hand covers much of the item.
        nearness: Size factor: 1.2 is near to the camera.
        skin: Which skin tone (index, taken modulo the number of tones).
        sleeve: Which sleeve (index, modulo).
        duration_s: Time from phase 0 to phase 1; gives the speed for motion blur.
    """

    item_id: str | None
    direction: Direction = Direction.ADD
    phase: float = 0.3
    yaw_deg: float = 0.0
    pitch_deg: float = 18.0
    roll_deg: float = 0.0
    lane: float = 0.0
    grip: float = 0.4
    nearness: float = 1.0
    skin: int = 0
    sleeve: int = 0
    duration_s: float = 1.6

    @property
    def path_part(self) -> float:
        """How far along the way into the cart the hand is: 0 outside, 1 down in the cart."""
        phase = min(max(self.phase, 0.0), 1.0)
        inward = phase if self.direction is Direction.ADD else 1.0 - phase
        return inward / CARRIED_PART if inward < CARRIED_PART else (1.0 - inward) / (1.0 - CARRIED_PART)

    @property
    def carries_item(self) -> bool:
        """Whether the item is in the hand at this phase."""
        inward = self.phase if self.direction is Direction.ADD else 1.0 - self.phase
        return self.item_id is not None and 0.0 <= inward < CARRIED_PART


@dataclass(frozen=True, slots=True)
class SceneState:
    """Everything one frame shows.

    Attributes:
        gestures: Hands, drawn in this order.
        basket: ``item_id`` of things that already lie in the cart; the last few peek out at the lower edge.
        light: The shop's lamps.
        lens: What sticks to the glass.
        sensor: The camera's electronics.
        aisle: 0..1, where along the shelves the cart stands.
    """

    gestures: tuple[Gesture, ...] = ()
    basket: tuple[str, ...] = ()
    light: Light = field(default_factory=Light)
    lens: LensState = field(default_factory=LensState)
    sensor: Sensor = field(default_factory=Sensor)
    aisle: float = 0.0


def arm_vector(view: CameraView, gesture: Gesture) -> Floats:
    """Return the unit vector (x right, y down) along which this arm points in the picture."""
    angle = np.radians(view.arm_deg + 8.0 * gesture.lane)
    return np.asarray([np.sin(angle), np.cos(angle)], np.float32)


def hand_position(view: CameraView, gesture: Gesture) -> Floats:
    """Return where the middle of the carried item is, in pixels of a 320 x 240 frame.

    A smooth curve from outside the picture through its middle down below the lower edge; slow in the middle.
    """
    arm = arm_vector(view, gesture)
    middle = np.asarray([160.0 + 62.0 * gesture.lane, 106.0], np.float32)
    start = middle - 215.0 * arm
    end = np.asarray([middle[0] + 26.0 * arm[0] - 8.0 * gesture.lane, 322.0], np.float32)
    control = 2.0 * middle - 0.5 * (start + end)
    offset = 2.0 * gesture.path_part - 1.0
    t = 0.5 + 0.5 * np.sign(offset) * abs(offset) ** 1.5
    return np.asarray((1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end, np.float32)


def hand_speed(view: CameraView, gesture: Gesture) -> Floats:
    """Return the velocity of the hand in pixels per second of a 320 x 240 frame."""
    step = 0.01
    before = _at_phase(gesture, max(0.0, gesture.phase - step))
    after = _at_phase(gesture, min(1.0, gesture.phase + step))
    moved = hand_position(view, after) - hand_position(view, before)
    return np.asarray(moved / ((after.phase - before.phase) * gesture.duration_s), np.float32)


def _at_phase(gesture: Gesture, phase: float) -> Gesture:
    return Gesture(
        gesture.item_id, gesture.direction, phase, lane=gesture.lane, duration_s=gesture.duration_s
    )
