"""Flat prints: labels, packaging faces and skins, drawn once with OpenCV.

All colours are BGR. Every function is pure; what looks random is drawn from a fixed seed, so the same product
looks the same in training, in the demo and in tests.
"""

import cv2
import numpy as np

from training.scenes.surfaces import Image

Colour = tuple[int, int, int]

WHITE: Colour = (245, 247, 248)
INK: Colour = (40, 36, 34)
FONT = cv2.FONT_HERSHEY_DUPLEX


def plain(height: int, width: int, colour: Colour) -> Image:
    """Return a sheet of one colour."""
    return np.full((height, width, 3), colour, np.uint8)


def speckled(size: tuple[int, int], colour: Colour, spread: float, grain: int, seed: int) -> Image:
    """Return a sheet with soft blotches: peel, skin, pulp.

    Args:
        size: Rows and columns.
        colour: Mean colour.
        spread: Standard deviation of the brightness of a blotch, 0..255.
        grain: Size of a blotch in pixels.
        seed: Which sheet.
    """
    height, width = size
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0.0, spread, (max(2, height // grain), max(2, width // grain))).astype(np.float32)
    blotches = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    sheet = np.asarray(colour, np.float32) + blotches[..., None] * np.asarray([0.7, 1.0, 1.0], np.float32)
    return np.asarray(np.clip(sheet, 0, 255), np.uint8)


def write(sheet: Image, text: str, centre: tuple[float, float], height: float, colour: Colour) -> None:
    """Write text onto a sheet in place; centre and letter height are fractions of the sheet's size."""
    rows, columns = sheet.shape[:2]
    scale = height * rows / 22.0
    thickness = max(1, round(scale * 2.2))
    (width, tall), _ = cv2.getTextSize(text, FONT, scale, thickness)
    at = (int(centre[0] * columns - width / 2), int(centre[1] * rows + tall / 2))
    cv2.putText(sheet, text, at, FONT, scale, colour, thickness, cv2.LINE_AA)


def band(sheet: Image, top: float, bottom: float, colour: Colour) -> None:
    """Paint a band across a sheet in place; top and bottom are fractions of its height."""
    rows = sheet.shape[0]
    sheet[int(top * rows) : int(bottom * rows)] = colour


def disc(sheet: Image, centre: tuple[float, float], radius: float, colour: Colour) -> None:
    """Paint a disc onto a sheet in place; all sizes are fractions, the radius of the height."""
    rows, columns = sheet.shape[:2]
    at = (int(centre[0] * columns), int(centre[1] * rows))
    cv2.circle(sheet, at, int(radius * rows), colour, -1, cv2.LINE_AA)


def ring(sheet: Image, centre: tuple[float, float], radius: float, thickness: float, colour: Colour) -> None:
    """Paint a ring onto a sheet in place; all sizes are fractions, radius and thickness of the height."""
    rows, columns = sheet.shape[:2]
    at = (int(centre[0] * columns), int(centre[1] * rows))
    cv2.circle(sheet, at, int(radius * rows), colour, max(1, int(thickness * rows)), cv2.LINE_AA)


def small_print(sheet: Image, across: tuple[float, float], down: tuple[float, float], colour: Colour) -> None:
    """Draw grey lines like a table of ingredients, in place; the ranges are fractions."""
    rows, columns = sheet.shape[:2]
    left, right = across
    rng = np.random.default_rng(rows * 31 + columns)
    for y in np.arange(*down, 0.035):
        end = left + (right - left) * rng.uniform(0.55, 1.0)
        cv2.line(sheet, (int(left * columns), int(y * rows)), (int(end * columns), int(y * rows)), colour, 1)


def barcode(sheet: Image, left: float, right: float, top: float, bottom: float) -> None:
    """Draw bars on a white patch, in place; decoration only, no reader decodes it."""
    rows, columns = sheet.shape[:2]
    x0, x1, y0, y1 = int(left * columns), int(right * columns), int(top * rows), int(bottom * rows)
    sheet[y0:y1, x0:x1] = WHITE
    pattern = np.random.default_rng(13).random(max(1, x1 - x0 - 4)) < 0.5
    sheet[y0 + 2 : y1 - 2, x0 + 2 : x0 + 2 + len(pattern)][:, pattern] = INK


def wrap(around: int, sheets: list[tuple[float, Image]], ground: Image) -> Image:
    """Paste label sheets onto a ground that goes once around, each centred at a fraction of the turn."""
    out = ground.copy()
    for centre, sheet in sheets:
        columns = (np.arange(sheet.shape[1]) + int(centre * around) - sheet.shape[1] // 2) % around
        out[:, columns] = sheet
    return out
