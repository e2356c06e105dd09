"""Brightness and sharpness of a frame, cheaply: what tells a dim lamp and a smeared lens."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from fleet_agent.perception import Pixels

# Measured at this width: 0.1 ms a frame. Sharpness depends on it, so it never changes: bins of
# different years must mean the same.
WIDTH = 160
# Sharpness of a frame without any edge; the logarithm of zero has no bin.
LEAST_VARIANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Quality:
    """How a frame looks.

    Attributes:
        brightness: Mean of gray, 0..255.
        sharpness: log2 of the variance of the Laplacian of gray.
    """

    brightness: float
    sharpness: float


def measure(pixels: Pixels) -> Quality:
    """Measure a frame of any size; it is shrunk to 160 pixels of width first."""
    height, width = pixels.shape[:2]
    size = (WIDTH, max(1, round(height * WIDTH / width)))
    small = pixels if width == WIDTH else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    gray = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    variance = float(np.var(cv2.Laplacian(gray, cv2.CV_16S)))
    return Quality(float(gray.mean()), math.log2(max(variance, LEAST_VARIANCE)))
