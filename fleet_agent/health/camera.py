"""Is a camera worth believing? Cheap features per frame, and a reducer that names its condition.

A sensor has noise: two frames of a calm shelf differ in many pixels, by little. A camera that repeats a
buffer gives frames that differ in none. So *frozen* is asked of pixels taken as they are (averaging
would take the noise away), and only of pictures that are not clipped to black or white, where a live
sensor has no noise either. Compressed streams may repeat a calm picture until the next key frame, so a
repetition counts only after some seconds.

A condition begins when it has lasted, and ends when frames of another kind have come: `Limits`.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from fleet_agent.perception import Pixels

# Pixels looked at, as columns and rows spread over the frame: 9 kB, 15 microseconds. Fewer would miss
# the noise of a good sensor; more costs CPU on every frame.
COLUMNS, ROWS = 64, 48
# Of their values, so many are compared first: where more of these differ than may in all, the rest is not
# looked at. Fewer seldom decide; more are the whole comparison.
PROBED = 1024
# Two frames are the same when a smaller share of their values differs. The noise of a good sensor changes
# a twentieth; a repeated buffer changes none, and a clock that the camera writes into it a hundredth at most.
# Higher takes well-lit calm shelves for frozen. How much values differ does not matter: clocks are white.
SAME_BELOW = 0.01
# Pictures that a new one is compared with, 9 kB each. Drivers that hang go round the buffers they have, four
# as a rule: fewer would miss such a ring.
REMEMBERED = 8
# Pixels from this level on are white: nothing can be told from them.
WHITE = 250
# Repeats that make a frozen camera, however slow it is: two equal frames may be chance of an encoder.
LEAST_REPEATS = 4
# A condition other than frozen begins after this long and this many frames in a row.
LASTING_S = 1.0
LASTING_FRAMES = 3
# Good frames in a row that end a condition; one may be a flash of light.
RECOVERED_FRAMES = 2
# Once black, dark or overexposed, brightness must leave the limit by this share before it is over.
HYSTERESIS = 1.25


class Condition(IntEnum):
    """What a camera is like; the numbers are the gauge `camera_bad` and never change."""

    OK = 0
    FROZEN = 1
    BLACK = 2
    DARK = 3
    OVEREXPOSED = 4
    BLURRED = 5
    LOST = 6

    @property
    def believable(self) -> bool:
        """Whether frames in this condition are evidence of anything."""
        return self not in (Condition.FROZEN, Condition.BLACK)


@dataclass(frozen=True, slots=True)
class Limits:
    """When a picture is bad.

    Attributes:
        frozen_after_s: A repeated picture is frozen after this long; 0 never.
        black_below: Mean brightness of 255.
        dark_below: Mean brightness of 255.
        overexposed_share: Of white pixels.
        blurred_below: log2 of the variance of the Laplacian.
    """

    frozen_after_s: float = 12.0
    black_below: float = 6.0
    dark_below: float = 30.0
    overexposed_share: float = 0.5
    blurred_below: float = 4.0


@dataclass(frozen=True, slots=True)
class Features:
    """What the reducer knows of one frame.

    Attributes:
        at_s: When it was captured.
        brightness: Mean level, 0..255.
        white_share: Share of white pixels.
        repeats: It is the picture of one of the frames before.
        sharpness: log2 of the variance of the Laplacian; None when it was not measured.
    """

    at_s: float
    brightness: float
    white_share: float
    repeats: bool
    sharpness: float | None = None


class Sampler:
    """Takes features of one camera's frames. One thread owns it."""

    def __init__(self) -> None:
        self._last: NDArray[np.uint8] = np.zeros((REMEMBERED, ROWS * COLUMNS * 3), np.uint8)
        self._seen = 0

    def features(self, pixels: Pixels, at_s: float, sharpness: float | None = None) -> Features:
        """Measure a frame (uint8, height x width x 3) against those before it."""
        sample = sample_of(pixels)
        values = sample.reshape(-1)
        features = Features(
            at_s=at_s,
            brightness=sum(cv2.mean(sample)[:3]) / 3.0,
            white_share=np.count_nonzero(sample >= WHITE) / sample.size,
            repeats=self._repeats(values),
            sharpness=sharpness,
        )
        self._last[self._seen % REMEMBERED] = values
        self._seen += 1
        return features

    def _repeats(self, values: NDArray[np.uint8]) -> bool:
        """Whether a sample is one of those before but for what no sensor would have made."""
        last = self._last[: self._seen]
        most = SAME_BELOW * values.size
        differing = (last[:, :PROBED] != values[:PROBED]).sum(axis=1)
        return any(
            np.count_nonzero(last[ix] != values) < most for ix in (differing < most).nonzero()[0].tolist()
        )

    def forget(self) -> None:
        """Begin again: the next frame is compared with none."""
        self._seen = 0


def sample_of(pixels: Pixels) -> Pixels:
    """Return pixels spread over the frame, as they are, 48 x 64 x 3."""
    # Nothing is averaged: that would take away the noise by which a live sensor is known.
    return np.asarray(cv2.resize(pixels, (COLUMNS, ROWS), interpolation=cv2.INTER_NEAREST), np.uint8)


@dataclass(frozen=True, slots=True)
class CameraState:
    """What is remembered between frames.

    Attributes:
        condition: What the camera is like.
        candidate: What the latest frames look like.
        since_s: Since when they do.
        frames: How many in a row do.
        same_since_s: First capture time of the picture that is being repeated; None when it is not.
        repeats: How often it was repeated.
    """

    condition: Condition = Condition.OK
    candidate: Condition = Condition.OK
    since_s: float = 0.0
    frames: int = 0
    same_since_s: float | None = None
    repeats: int = 0


def step(state: CameraState, seen: Features, limits: Limits) -> CameraState:
    """Take one frame; the condition of the returned state is what the camera is now."""
    state = _repetition(state, seen)
    looks = _looks(state, seen, limits)
    if looks is state.candidate:
        state = replace(state, frames=state.frames + 1)
    else:
        state = replace(state, candidate=looks, since_s=seen.at_s, frames=1)
    if looks is state.condition or not _lasting(state, seen.at_s):
        return state
    return replace(state, condition=looks)


def _repetition(state: CameraState, seen: Features) -> CameraState:
    if not seen.repeats:
        return replace(state, same_since_s=None, repeats=0)
    since_s = seen.at_s if state.same_since_s is None else state.same_since_s
    return replace(state, same_since_s=since_s, repeats=state.repeats + 1)


def _looks(state: CameraState, seen: Features, limits: Limits) -> Condition:
    """Return what one frame looks like on its own, the harder fault first."""
    if seen.brightness < _eased(limits.black_below, state.condition is Condition.BLACK):
        return Condition.BLACK
    overexposed = state.condition is Condition.OVEREXPOSED
    if seen.white_share >= limits.overexposed_share / (HYSTERESIS if overexposed else 1.0):
        return Condition.OVEREXPOSED
    if _frozen(state, seen, limits):
        return Condition.FROZEN
    if seen.brightness < _eased(limits.dark_below, state.condition is Condition.DARK):
        return Condition.DARK
    if seen.sharpness is None:  # not measured in this frame: as before
        return Condition.BLURRED if state.candidate is Condition.BLURRED else Condition.OK
    return Condition.BLURRED if seen.sharpness < limits.blurred_below else Condition.OK


def _eased(limit: float, inside: bool) -> float:  # noqa: FBT001  # a fact, not a switch
    return limit * HYSTERESIS if inside else limit


def _frozen(state: CameraState, seen: Features, limits: Limits) -> bool:
    if not limits.frozen_after_s or state.same_since_s is None:
        return False
    lasted_s = seen.at_s - state.same_since_s
    return state.repeats >= LEAST_REPEATS and lasted_s >= limits.frozen_after_s


def _lasting(state: CameraState, now_s: float) -> bool:
    if state.candidate is Condition.FROZEN:
        return True  # it has lasted already
    if state.candidate is Condition.OK:
        return state.frames >= RECOVERED_FRAMES
    return state.frames >= LASTING_FRAMES and now_s - state.since_s >= LASTING_S
