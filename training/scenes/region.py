"""Rectangles of the frame: work is done only where something moves."""

from dataclasses import dataclass

import cv2
import numpy as np

from training.scenes.surfaces import Floats, Image


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of the frame in whole pixels; right and bottom are outside it."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def empty(self) -> bool:
        """Whether it holds no pixel."""
        return self.right <= self.left or self.bottom <= self.top

    def cut_to(self, corners: list[Floats]) -> "Region":
        """Return the part of this region that holds all the corners' pixels."""
        points = np.concatenate(corners)
        low, high = np.floor(points.min(axis=0)).astype(int) - 1, np.ceil(points.max(axis=0)).astype(int) + 2
        return Region(
            max(self.left, int(low[0])),
            max(self.top, int(low[1])),
            min(self.right, int(high[0])),
            min(self.bottom, int(high[1])),
        )

    def joined(self, other: "Region") -> "Region":
        """Return the smallest region around both; an empty one adds nothing."""
        if self.empty or other.empty:
            return other if self.empty else self
        return Region(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )

    def of(self, layer: Image, around: "Region") -> Image:
        """Return the view of a layer that covers ``around`` on this region."""
        rows = slice(self.top - around.top, self.bottom - around.top)
        view: Image = layer[rows, self.left - around.left : self.right - around.left]
        return view

    def warp(self, sprite: Image, matrix: Floats) -> Image:
        """Return what a placed sprite shows in this region."""
        shifted = matrix.copy()
        shifted[:, 2] -= (self.left, self.top)
        size = (self.right - self.left, self.bottom - self.top)
        warped: Image = cv2.warpAffine(sprite, shifted, size, flags=cv2.INTER_LINEAR)
        return warped


def corners_of(sprite: Image, matrix: Floats) -> Floats:
    """Return where an affine matrix puts a sprite's four corners, float32 (4, 2)."""
    height, width = sprite.shape[:2]
    corners = np.asarray([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], np.float32)
    return np.asarray(corners @ matrix.T, np.float32)
