"""A hand in two layers: arm and palm go behind the item, the fingers in front of it.

Drawn once per skin tone and sleeve, pointing straight down; the renderer turns and places both layers.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from training.scenes.labels import Colour
from training.scenes.surfaces import Image

SKIN_TONES: tuple[Colour, ...] = (
    (160, 188, 232),
    (132, 168, 222),
    (110, 148, 204),
    (84, 118, 176),
    (58, 84, 134),
    (42, 60, 98),
)
# ``None`` is a bare arm.
SLEEVES: tuple[Colour | None, ...] = (
    (92, 62, 40),
    (60, 60, 64),
    None,
    (54, 46, 150),
    (120, 130, 136),
    (72, 108, 66),
    (196, 190, 184),
)

# Size of the drawn layers in pixels of a 320 x 240 frame, and where the middle of the palm is in them.
WIDTH, LENGTH = 104, 330
PALM = (52.0, 282.0)
# The fingers' layer is cut to the rows they are in.
_FINGER_ROWS = (258, 326)
FINGERS_PALM = (PALM[0], PALM[1] - _FINGER_ROWS[0])
_DRAWN_AT = 2


@dataclass(frozen=True, slots=True)
class HandSprite:
    """Both layers of one hand, uint8 (rows, WIDTH, 4), BGR premultiplied by alpha, and alpha.

    Attributes:
        behind: Arm and palm, LENGTH rows, the palm at ``PALM``.
        fingers: Only the rows with fingers, the palm at ``FINGERS_PALM``.
    """

    behind: Image
    fingers: Image


def hand_sprite(skin: int, sleeve: int) -> HandSprite:
    """Return the hand with this skin tone and sleeve; both indices are taken modulo what exists."""
    return _drawn(skin % len(SKIN_TONES), sleeve % len(SLEEVES))


@lru_cache(maxsize=64)
def _drawn(skin: int, sleeve: int) -> HandSprite:
    tone = SKIN_TONES[skin]
    behind, fingers = _blank(), _blank()
    _arm(behind, tone)
    _sleeve(behind, SLEEVES[sleeve])
    for x, reach in ((-19, 24), (-6.5, 31), (6.5, 30), (18.5, 23)):
        _limb(fingers, [(x * 0.9, -8), (x, 8), (x * 0.96, reach)], 6.4, tone)
        _nail(fingers, (x * 0.96, reach + 1.5), tone)
    first, last = _FINGER_ROWS
    return HandSprite(_finished(behind), np.ascontiguousarray(_finished(fingers)[first:last]))


def _blank() -> Image:
    return np.zeros((LENGTH * _DRAWN_AT, WIDTH * _DRAWN_AT, 4), np.uint8)


def _at(x: float, y: float) -> tuple[int, int]:
    return int((PALM[0] + x) * _DRAWN_AT), int((PALM[1] + y) * _DRAWN_AT)


def _shade(tone: Colour, factor: float) -> tuple[int, int, int, int]:
    blue, green, red = (min(255, int(channel * factor)) for channel in tone)
    return blue, green, red, 255


def _limb(layer: Image, path: list[tuple[float, float]], radius: float, tone: Colour) -> None:
    """Draw a rounded limb with a dark edge and a lit left side."""
    for shrink, shift, factor in ((1.0, 0.0, 0.62), (0.86, -0.4, 0.92), (0.5, -1.6, 1.08)):
        points = np.asarray([_at(x + shift, y) for x, y in path], np.int32)
        thickness = max(1, int(2 * radius * shrink * _DRAWN_AT))
        cv2.polylines(
            layer,
            [points],
            isClosed=False,
            color=_shade(tone, factor),
            thickness=thickness,
            lineType=cv2.LINE_AA,
        )


def _nail(layer: Image, at: tuple[float, float], tone: Colour) -> None:
    axes = (int(2.8 * _DRAWN_AT), int(3.2 * _DRAWN_AT))
    cv2.ellipse(layer, _at(*at), axes, 0, 0, 360, _shade(tone, 1.22), -1, cv2.LINE_AA)


def _arm(layer: Image, tone: Colour) -> None:
    for shrink, shift, factor in ((1.0, 0.0, 0.62), (0.9, -1.0, 0.86), (0.62, -4.0, 1.0)):
        upper, wrist = 27.0 * shrink, 18.5 * shrink
        outline = [(-upper + shift, -290), (upper + shift, -290), (wrist + shift, -30), (-wrist + shift, -30)]
        cv2.fillPoly(
            layer, [np.asarray([_at(x, y) for x, y in outline], np.int32)], _shade(tone, factor), cv2.LINE_AA
        )
        axes = (int(26 * shrink * _DRAWN_AT), int(35 * shrink * _DRAWN_AT))
        cv2.ellipse(layer, _at(shift, -12), axes, 0, 0, 360, _shade(tone, factor), -1, cv2.LINE_AA)
    _limb(layer, [(20, -22), (31, -4), (33, 14)], 7.4, tone)


def _sleeve(layer: Image, cloth: Colour | None) -> None:
    if cloth is None:
        return
    for shrink, shift, factor in ((1.0, 0.0, 0.66), (0.88, -1.5, 0.95), (0.5, -7.0, 1.15)):
        upper, cuff = 38.0 * shrink, 28.0 * shrink
        outline = [(-upper + shift, -290), (upper + shift, -290), (cuff + shift, -74), (-cuff + shift, -74)]
        cv2.fillPoly(
            layer, [np.asarray([_at(x, y) for x, y in outline], np.int32)], _shade(cloth, factor), cv2.LINE_AA
        )
    cv2.line(layer, _at(-27, -79), _at(27, -79), _shade(cloth, 0.55), 3 * _DRAWN_AT, cv2.LINE_AA)


def _finished(layer: Image) -> Image:
    soft = cv2.GaussianBlur(layer, (0, 0), 1.4)
    small = cv2.resize(soft, (WIDTH, LENGTH), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small)
