"""Items as ready-made pictures: each pose is drawn once, then only moved, turned and scaled.

Twenty items x eight turns x two tilts, drawn the first time they are asked for (about 15 ms each) and kept
for the life of the process: a cart that has seen every item from every side holds about 20 MB of sprites.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from training.scenes import products
from training.scenes.surfaces import Floats, Image, Surface

# Turns about the vertical axis that are drawn. Fewer and an item seems to jump when it turns; more is
# start-up time.
YAW_STEPS = 8
# Downward looks that are drawn: held upright, and tipped towards the camera.
PITCHES_DEG: tuple[float, float] = (18.0, 48.0)
# Sprite resolution at scale 1 in a 320-pixel-wide frame; above scale 1.3 sprites begin to look soft.
PIXELS_PER_CM = 7.0
# Drawn this many times larger, then averaged down: smooth edges.
OVERSAMPLE = 2
# Small things are held nearer to the camera than large ones: on-screen size grows with size to this power.
NEARNESS = 0.55


@dataclass(frozen=True, slots=True)
class Sprite:
    """One pose of one item.

    Attributes:
        pixels: uint8 (h, w, 4), BGR premultiplied by alpha, and alpha.
        outline: float32 (k, 2), convex hull of the opaque part in pixels relative to the sprite's centre.
    """

    pixels: Image
    outline: Floats

    @property
    def half_size(self) -> tuple[float, float]:
        """Half width and half height in pixels."""
        return self.pixels.shape[1] / 2, self.pixels.shape[0] / 2


def item_sprite(item_id: str, yaw_deg: float, pitch_deg: float) -> Sprite:
    """Return the drawn pose nearest to the asked one.

    Args:
        item_id: Key of the catalogue.
        yaw_deg: Turn about the vertical axis; 0 shows the front, 180 the back.
        pitch_deg: How far the camera looks down onto the item.

    Raises:
        KeyError: Unknown item.
    """
    step = round(yaw_deg / (360 / YAW_STEPS)) % YAW_STEPS
    pitch = min(range(len(PITCHES_DEG)), key=lambda index: abs(PITCHES_DEG[index] - pitch_deg))
    return _drawn(item_id, step, pitch)


def preload(item_ids: Iterable[str]) -> None:
    """Draw every pose of these items now, so that no later frame waits for one (about 0.3 s per item)."""
    for item_id in item_ids:
        for step in range(YAW_STEPS):
            for pitch in range(len(PITCHES_DEG)):
                _drawn(item_id, step, pitch)


@lru_cache(maxsize=512)
def _drawn(item_id: str, step: int, pitch: int) -> Sprite:
    surface = _surface(item_id)
    return draw(surface, 360 / YAW_STEPS * step, PITCHES_DEG[pitch], _pixels_per_cm(surface))


@lru_cache(maxsize=4)
def _surface(item_id: str) -> Surface:
    return products.build(item_id)


def _pixels_per_cm(surface: Surface) -> float:
    reach = max(float(np.ptp(surface.points[:, axis])) for axis in range(3))
    return float(PIXELS_PER_CM * (reach / 14.0) ** (NEARNESS - 1.0))


def draw(surface: Surface, yaw_deg: float, pitch_deg: float, pixels_per_cm: float) -> Sprite:
    """Draw a surface by sorting its points by depth and writing them far to near."""
    points, normals = (
        _turned(surface.points, yaw_deg, pitch_deg),
        _turned(surface.normals, yaw_deg, pitch_deg),
    )
    facing = normals[:, 2] > -0.08
    points, normals = points[facing], normals[facing]
    colours = _lit(surface.colours[facing], normals, surface.gloss[facing])
    canvas = _splat(points, colours, pixels_per_cm * OVERSAMPLE)
    return _as_sprite(canvas)


def _turned(vectors: Floats, yaw_deg: float, pitch_deg: float) -> Floats:
    yaw, pitch = np.radians(yaw_deg), np.radians(pitch_deg)
    about_y = np.asarray(
        [[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]], np.float32
    )
    about_x = np.asarray(
        [[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]], np.float32
    )
    return (vectors @ about_y @ about_x).astype(np.float32)


def _lit(colours: Floats, normals: Floats, gloss: Floats) -> Image:
    lamp = np.asarray([-0.42, 0.72, 0.55], np.float32)
    half = np.asarray([-0.26, 0.45, 0.85], np.float32)
    diffuse = 0.52 + 0.58 * np.clip(normals @ lamp, 0, 1) + 0.10 * np.clip(normals[:, 0], 0, 1)
    shine = (
        215.0 * gloss * np.clip(normals @ (half / np.linalg.norm(half)), 0, 1) ** 28
    )  # a soft lamp, not a point
    lit: Image = np.clip(colours * diffuse[:, None] + shine[:, None], 0, 255).astype(np.uint8)
    return lit


def _splat(points: Floats, colours: Image, pixels_per_cm: float) -> Image:
    columns, width = _cells(points[:, 0] * pixels_per_cm)
    rows, height = _cells(points[:, 1] * -pixels_per_cm)
    canvas = np.zeros((height * width, 4), np.uint8)
    depth = points[:, 2] - points[:, 2].min()
    # 16-bit keys: NumPy then sorts by radix, ten times faster than sorting floats.
    order = np.argsort((depth * (65000.0 / max(float(depth.max()), 1e-6))).astype(np.uint16), kind="stable")
    index = (rows * width + columns)[order]
    canvas[index, :3], canvas[index, 3] = colours[order], 255
    return _closed(canvas.reshape(height, width, 4))


def _cells(along: Floats) -> tuple[NDArray[np.int32], int]:
    """Return cell numbers with a margin, and how many cells there are (a multiple of the oversampling)."""
    low = int(np.floor(along.min())) - 2 * OVERSAMPLE
    cells = (along - low).astype(np.int32)
    return cells, (int(cells.max()) // OVERSAMPLE + 3) * OVERSAMPLE


def _closed(canvas: Image) -> Image:
    """Fill pinholes between points with their neighbours' colours."""
    kernel = np.ones((3, 3), np.uint8)
    solid = cv2.morphologyEx(canvas[..., 3], cv2.MORPH_CLOSE, kernel)
    holes = (solid > 0) & (canvas[..., 3] == 0)
    grown = cv2.dilate(canvas, kernel)
    out = canvas.copy()
    out[holes] = grown[holes]
    return out


def _as_sprite(canvas: Image) -> Sprite:
    height, width = canvas.shape[0] // OVERSAMPLE, canvas.shape[1] // OVERSAMPLE
    pixels: Image = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return Sprite(pixels, outline_of(pixels[..., 3]))


def outline_of(alpha: NDArray[np.uint8]) -> Floats:
    """Return the convex hull of the opaque pixels, relative to the centre."""
    rows, columns = np.nonzero(alpha > 100)
    hull = cv2.convexHull(np.stack([columns, rows], 1).astype(np.int32))[:, 0].astype(np.float32)
    centre = np.asarray([alpha.shape[1] / 2 - 0.5, alpha.shape[0] / 2 - 0.5], np.float32)
    return np.asarray(hull - centre, np.float32)
