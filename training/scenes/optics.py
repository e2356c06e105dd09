"""From a clean picture to what a cheap rim camera delivers: light, colour, smear, noise, motion blur."""

from functools import lru_cache

import cv2
import numpy as np

from training.scenes.state import LensState, Light, Sensor
from training.scenes.surfaces import Floats, Image

# Standard deviation of an ordinary sensor's noise at gain 1, in grey levels.
NOISE_SD = 2.6
# Longest motion blur in pixels; a longer kernel costs more than the rest of the frame.
MAX_BLUR_PX = 21
_NOISE_BANK_SD = 32.0
_NOISE_MARGIN = 96


def gain_of(light: Light, sensor: Sensor) -> float:
    """Return how far the automatic gain lifts this light; 1 when there is enough."""
    return float(min(max(1.0 / max(light.level, 0.05), 1.0), sensor.max_gain))


def expose(picture: Image, light: Light, sensor: Sensor) -> Image:
    """Return the picture under this light as the sensor exposes it."""
    table = _exposure_table(round(light.level * gain_of(light, sensor), 3), round(light.kelvin / 50) * 50)
    exposed: Image = cv2.LUT(picture, table)
    return exposed


@lru_cache(maxsize=512)
def _exposure_table(brightness: float, kelvin: float) -> Image:
    warm = kelvin / 4800.0
    tint = np.asarray([warm**0.55, 1.0, warm**-0.35])
    level = np.arange(256)[:, None] * brightness * tint / tint.mean()
    # A soft shoulder instead of hard clipping: bright print keeps some colour.
    soft = np.where(level > 200, 200 + 55 * np.tanh((level - 200) / 70), level)
    return np.asarray(np.clip(soft, 0, 255), np.uint8)[:, None, :]


def add_noise(picture: Image, sd: float, rng: np.random.Generator) -> None:
    """Add normal noise in place, by a random cut of a fixed noise field."""
    if sd <= 0:
        return
    height, width = picture.shape[:2]
    row, column = rng.integers(0, _NOISE_MARGIN, 2)
    field = _noise_field(height, width)[row : row + height, column : column + width]
    share = sd / _NOISE_BANK_SD
    cv2.addWeighted(picture, 1.0, field, share, -128.0 * share, dst=picture)


@lru_cache(maxsize=4)
def _noise_field(height: int, width: int) -> Image:
    rng = np.random.default_rng(20)
    shape = (height + _NOISE_MARGIN, width + _NOISE_MARGIN)
    luma = rng.normal(0.0, 0.85 * _NOISE_BANK_SD, (*shape, 1))
    chroma = rng.normal(0.0, 0.55 * _NOISE_BANK_SD, (*shape, 3))
    return np.clip(128.0 + luma + chroma, 0, 255).astype(np.uint8)


def smear(picture: Image, lens: LensState) -> Image:
    """Return the picture as seen through a greasy print; a clean lens returns the same array."""
    if lens.smear <= 0.01:
        return picture
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 1.0 + 2.2 * min(lens.smear, 1.0))
    hazy = cv2.convertScaleAbs(small, alpha=0.82, beta=26.0)
    veil = cv2.resize(hazy, (width, height), interpolation=cv2.INTER_LINEAR)
    weight = np.minimum(
        _smear_mask(lens.seed, height, width) * np.float32(1.35 * lens.smear), np.float32(0.93)
    )
    smeared: Image = cv2.blendLinear(picture, veil, 1.0 - weight, weight)
    return smeared


@lru_cache(maxsize=64)
def _smear_mask(seed: int, height: int, width: int) -> Floats:
    rng = np.random.default_rng(500 + seed)
    mask = np.zeros((60, 80), np.float32)
    for _ in range(7):
        centre = (int(rng.integers(8, 72)), int(rng.integers(6, 54)))
        axes = (int(rng.integers(7, 24)), int(rng.integers(4, 13)))
        layer = np.zeros_like(mask)
        cv2.ellipse(layer, centre, axes, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(0.5, 1.0)), -1)
        mask = np.maximum(mask, layer)
    soft = cv2.GaussianBlur(mask, (0, 0), 3.5)
    return np.asarray(np.clip(cv2.resize(soft, (width, height)), 0, 1), np.float32)


def motion_kernel(travel: Floats) -> Floats | None:
    """Return a line kernel for a movement (pixels) during the exposure; ``None`` if too short to see."""
    length = float(np.hypot(travel[0], travel[1]))
    if length < 1.5:
        return None
    return _line_kernel(
        min(MAX_BLUR_PX, round(length)), round(float(np.degrees(np.arctan2(travel[1], travel[0]))) / 10)
    )


@lru_cache(maxsize=1024)
def _line_kernel(length: int, tens_of_degrees: int) -> Floats:
    size = length | 1
    kernel = np.zeros((size, size), np.float32)
    angle = np.radians(10.0 * tens_of_degrees)
    middle, reach = size // 2, (length - 1) / 2
    for part in np.linspace(-reach, reach, 2 * size):
        kernel[round(middle + part * np.sin(angle)), round(middle + part * np.cos(angle))] = 1.0
    return np.asarray(kernel / kernel.sum(), np.float32)
