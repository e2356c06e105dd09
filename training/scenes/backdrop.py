"""What stands still: the aisle behind the cart, the far rim, the basket, the near rim.

Drawn once per camera and cart position and then reused, so a frame with nothing moving costs almost nothing.
"""

from functools import lru_cache

import cv2
import numpy as np

from training.scenes.sprites import item_sprite
from training.scenes.state import CameraView
from training.scenes.surfaces import Floats, Image

# The design size of a frame; every other size is a scaled copy.
FRAME_WIDTH, FRAME_HEIGHT = 320, 240
PANORAMA_WIDTH = 1280
# Upper edge of the far rim in the middle of the picture; what is below it is the inside of the cart.
RIM_TOP = 172
# Height of the out-of-focus near rim at the lower edge.
NEAR_RIM = 13
# How many of the last items in the basket peek out; more would cover the opening.
BASKET_SHOWN = 5
_BASKET_TOP = RIM_TOP + 16


@lru_cache(maxsize=16)
def aisle(seed: int) -> Image:
    """Return a wide, out-of-focus picture of shelves, uint8 (240, 1280, 3) BGR, that repeats at its ends."""
    rng = np.random.default_rng(1000 + seed)
    wall = np.empty((FRAME_HEIGHT, PANORAMA_WIDTH, 3), np.uint8)
    wall[:] = np.linspace(188, 120, FRAME_HEIGHT)[:, None, None] * np.asarray([0.96, 0.99, 1.0])
    for bottom in (64, 124, 184):
        _shelf(wall, bottom, rng)
    wall[190:] = (np.linspace(150, 105, FRAME_HEIGHT - 190)[:, None, None]).astype(np.uint8)
    for x in range(40, PANORAMA_WIDTH, 320):
        cv2.rectangle(wall, (x, 0), (x + 150, 7), (250, 252, 252), -1)
    doubled = np.concatenate([wall[:, -40:], wall, wall[:, :40]], axis=1)
    soft: Image = cv2.GaussianBlur(doubled, (0, 0), 3.2)[:, 40:-40]
    return np.ascontiguousarray(soft)


def _shelf(wall: Image, bottom: int, rng: np.random.Generator) -> None:
    x = 0
    while x < PANORAMA_WIDTH:
        width, height = int(rng.integers(9, 30)), int(rng.integers(22, 46))
        colour = [int(value) for value in rng.uniform(35, 215, 3)]
        facings = int(rng.integers(2, 6))
        for facing in range(facings):
            left = x + facing * (width + 1)
            cv2.rectangle(wall, (left, bottom - height), (left + width - 1, bottom), colour, -1)
            stripe = [min(255, int(value * 1.35 + 25)) for value in colour]
            cv2.rectangle(
                wall, (left + 2, bottom - height // 2), (left + width - 3, bottom - height // 3), stripe, -1
            )
        x += facings * (width + 1) + int(rng.integers(0, 7))
    cv2.rectangle(wall, (0, bottom + 1), (PANORAMA_WIDTH, bottom + 6), (206, 208, 208), -1)
    for left in range(6, PANORAMA_WIDTH, 34):
        cv2.rectangle(wall, (left, bottom + 2), (left + 12, bottom + 5), (90, 220, 245), -1)


def standing_picture(view: CameraView, basket: tuple[str, ...], pan: int) -> Image:
    """Return aisle, far rim and basket as uint8 (240, 320, 3) BGR.

    Args:
        view: Whose picture.
        basket: Items lying in the cart; the last few are drawn, cut off by the lower edge.
        pan: Columns of the panorama to the left of the picture.
    """
    columns = np.arange(pan, pan + FRAME_WIDTH) % PANORAMA_WIDTH
    picture = np.ascontiguousarray(aisle(view.aisle_seed)[:, columns])
    cv2.copyTo(*_inside(view), picture)
    _basket(picture, basket, hash_of(view.name))
    _far_rim(picture, view)
    shaded: Image = cv2.multiply(picture, _vignette(), scale=1 / 255)
    return shaded


@lru_cache(maxsize=1)
def _vignette() -> Image:
    y, x = np.mgrid[0:FRAME_HEIGHT, 0:FRAME_WIDTH].astype(np.float32)
    distance = np.hypot((x - 160) / 160, (y - 120) / 120)
    shade = 255.0 * (1.0 - 0.17 * distance[..., None] ** 2.4)
    return np.repeat(shade.clip(0, 255).astype(np.uint8), 3, axis=2)


def _rim_line(view: CameraView) -> tuple[int, int]:
    rise = np.tan(np.radians(view.rim_deg)) * FRAME_WIDTH / 2
    return int(RIM_TOP - rise), int(RIM_TOP + rise)


@lru_cache(maxsize=16)
def _inside(view: CameraView) -> tuple[Image, Image]:
    """Return the empty cart from within and the mask (0 or 255) of where it covers the aisle."""
    left, right = _rim_line(view)
    corners = np.asarray(
        [[0, left], [FRAME_WIDTH, right], [FRAME_WIDTH, FRAME_HEIGHT], [0, FRAME_HEIGHT]], np.int32
    )
    deep = np.full((FRAME_HEIGHT, FRAME_WIDTH, 3), (58, 60, 60), np.uint8)
    for x in range(-10, FRAME_WIDTH + 20, 22):
        cv2.line(
            deep, (x, min(left, right)), (x + (x - 160) // 7, FRAME_HEIGHT), (96, 100, 100), 2, cv2.LINE_AA
        )
    for step in (16, 38):
        cv2.line(deep, (0, left + step), (FRAME_WIDTH, right + step), (90, 94, 94), 2, cv2.LINE_AA)
    mask = np.zeros(deep.shape[:2], np.uint8)
    cv2.fillPoly(mask, [corners], 255)
    return cv2.GaussianBlur(deep, (0, 0), 1.1), mask


def _basket(picture: Image, basket: tuple[str, ...], side: int) -> None:
    strip = picture[_BASKET_TOP:]
    # What reaches up too far fades into the shade below the rim.
    shade = np.linspace(0, 2.2, strip.shape[0], dtype=np.float32).clip(0, 1)[:, None, None]
    for place, item_id in enumerate(basket[-BASKET_SHOWN:]):
        turn = (hash_of(item_id) + 47 * place + side) % 360
        sprite = item_sprite(item_id, turn, 48.0).pixels
        centre = (34 + (place * 67 + turn % 23) % 260, 247 + turn % 9 - _BASKET_TOP)
        matrix = cv2.getRotationMatrix2D((sprite.shape[1] / 2, sprite.shape[0] / 2), 62.0 + turn % 60, 0.82)
        matrix[:, 2] += (centre[0] - sprite.shape[1] / 2, centre[1] - sprite.shape[0] / 2)
        layer = cv2.warpAffine(sprite, matrix, (FRAME_WIDTH, strip.shape[0]), flags=cv2.INTER_LINEAR)
        layer = np.asarray(cv2.GaussianBlur(layer, (0, 0), 1.5) * shade, np.uint8)
        opened = cv2.merge([cv2.bitwise_not(layer[..., 3])] * 3)
        strip[:] = cv2.add(
            cv2.multiply(strip, opened, scale=1 / 255), cv2.convertScaleAbs(layer[..., :3], alpha=0.55)
        )


def hash_of(item_id: str) -> int:
    """Return a small number that is the same in every process (Python's own ``hash`` is not)."""
    return sum((place + 1) * ord(letter) for place, letter in enumerate(item_id))


def _far_rim(picture: Image, view: CameraView) -> None:
    left, right = _rim_line(view)
    for offset, thickness, colour in ((3, 11, (52, 52, 54)), (2, 8, (52, 44, 168)), (0, 3, (96, 92, 222))):
        cv2.line(
            picture, (-5, left + offset), (FRAME_WIDTH + 5, right + offset), colour, thickness, cv2.LINE_AA
        )


@lru_cache(maxsize=4)
def near_rim(width: int, height: int) -> tuple[Image, Floats]:
    """Return the colours and the cover (0..1) of the strip that hides the lower edge of a frame."""
    rows = max(2, round(NEAR_RIM * height / FRAME_HEIGHT))
    cover = np.clip(np.linspace(0.0, 2.2, rows, dtype=np.float32), 0, 1)
    colour = np.empty((rows, width, 3), np.uint8)
    colour[:] = (np.linspace(70, 36, rows)[:, None, None] * np.asarray([0.55, 0.5, 1.5])).clip(0, 255)
    return colour, np.ascontiguousarray(np.broadcast_to(cover[:, None], (rows, width)))
