"""Boxes and bags: large faces full of print, thin sides with none."""

from collections.abc import Callable

import cv2
import numpy as np

from training.scenes import labels
from training.scenes.labels import WHITE, Colour
from training.scenes.surfaces import Surface, box, pillow


def _cereal(main: Colour, rings: Colour, word: str) -> Surface:
    front = labels.plain(330, 220, main)
    labels.disc(front, (0.5, 0.70), 0.22, WHITE)
    labels.disc(front, (0.5, 0.70), 0.19, (226, 236, 240))
    rng = np.random.default_rng(17)
    for x, y in rng.normal(0, 0.5, (26, 2)):
        labels.ring(front, (0.5 + 0.20 * x, 0.70 + 0.13 * y), 0.032, 0.018, rings)
    labels.write(front, word, (0.5, 0.17), 0.12, WHITE)
    labels.write(front, "rings", (0.5, 0.33), 0.09, (70, 224, 250))
    back = labels.plain(330, 220, main)
    back[30:300, 16:204] = WHITE
    labels.small_print(back, (0.14, 0.86), (0.15, 0.6), (120, 120, 120))
    labels.ring(back, (0.5, 0.76), 0.07, 0.03, rings)
    side = labels.plain(330, 60, main)
    labels.small_print(side, (0.15, 0.85), (0.2, 0.55), WHITE)
    labels.barcode(side, 0.12, 0.88, 0.7, 0.85)
    return box((15.0, 22.0, 5.2), [front, side, back, side, labels.plain(60, 220, main)])


def _honey() -> Surface:
    return _cereal((30, 160, 236), (40, 140, 206), "honey")


def _choco() -> Surface:
    return _cereal((44, 70, 122), (30, 50, 84), "choco")


def _pasta() -> Surface:
    front = labels.plain(300, 200, (168, 60, 26))
    front[96:214, 22:178] = (140, 206, 236)
    rng = np.random.default_rng(19)
    for x, y, tilt in rng.uniform(-1, 1, (40, 3)):
        at = (int(100 + 68 * x), int(155 + 50 * y))
        along = np.asarray([np.cos(3 * tilt), np.sin(3 * tilt)]) * 13
        end = (int(at[0] + along[0]), int(at[1] + along[1]))
        cv2.line(front, at, end, (70, 172, 226), 7, cv2.LINE_AA)
        cv2.line(front, at, end, (120, 208, 244), 3, cv2.LINE_AA)
    labels.write(front, "PENNE", (0.5, 0.17), 0.13, WHITE)
    labels.write(front, "500 g", (0.5, 0.86), 0.07, WHITE)
    side = labels.plain(300, 80, (168, 60, 26))
    labels.small_print(side, (0.15, 0.85), (0.3, 0.7), WHITE)
    back = labels.plain(300, 200, (168, 60, 26))
    labels.small_print(back, (0.1, 0.9), (0.12, 0.6), WHITE)
    labels.barcode(back, 0.25, 0.75, 0.7, 0.9)
    return box((11.0, 17.0, 5.0), [front, side, back, side, labels.plain(40, 200, (140, 46, 18))])


def _chips() -> Surface:
    front = labels.plain(330, 240, (52, 60, 224))
    labels.band(front, 0.0, 0.07, (60, 190, 246))
    labels.band(front, 0.93, 1.0, (60, 190, 246))
    labels.disc(front, (0.5, 0.36), 0.2, (60, 206, 250))
    labels.write(front, "chips", (0.5, 0.36), 0.14, (40, 40, 170))
    rng = np.random.default_rng(23)
    for x, y in rng.uniform(-1, 1, (9, 2)):
        labels.disc(front, (0.5 + 0.3 * x, 0.74 + 0.11 * y), 0.07, (90, 200, 244))
    back = labels.plain(330, 240, (52, 60, 224))
    back[70:250, 40:200] = WHITE
    labels.small_print(back, (0.22, 0.78), (0.25, 0.6), (110, 110, 110))
    labels.barcode(back, 0.32, 0.68, 0.62, 0.74)
    return pillow((15.5, 20.5, 6.0), front, back)


PACKETS: dict[str, Callable[[], Surface]] = {
    "cereal-honey": _honey,
    "cereal-choco": _choco,
    "pasta-penne": _pasta,
    "chips-paprika": _chips,
}
