"""Bottles, cartons, tins and jars: pairs share their shape and differ in print."""

from collections.abc import Callable

import numpy as np

from training.scenes import labels
from training.scenes.labels import INK, WHITE, Colour
from training.scenes.surfaces import Image, Surface, box, join, lathe, panel

METAL: Colour = (190, 192, 190)


def _bottle(label: Image, liquid: Colour, cap: Colour, gloss: float) -> Surface:
    body = [(0, 2.4), (0.5, 3.1), (8, 3.1), (12, 3.1), (14.5, 2.7), (17, 1.5), (18.2, 1.3), (19.2, 1.3)]
    sheet = labels.speckled((400, 400), liquid, 3, 40, 9)
    sheet[150:268] = np.resize(label, (118, 400, 3)) if label.shape != (118, 400, 3) else label
    top = lathe([(19.2, 1.5), (21.0, 1.5), (21.1, 0.0)], labels.plain(4, 4, cap), 0.3)
    return join([lathe(body, sheet, gloss), top])


def _cola_label(ground: Colour, text: Colour, word: str) -> Image:
    sheet = labels.plain(118, 400, ground)
    front = labels.plain(118, 150, ground)
    labels.write(front, "cola", (0.5, 0.40), 0.34, text)
    labels.write(front, word, (0.5, 0.78), 0.15, text)
    back = labels.plain(118, 90, ground)
    labels.small_print(back, (0.1, 0.9), (0.15, 0.6), text)
    labels.barcode(back, 0.15, 0.85, 0.62, 0.95)
    sheet = labels.wrap(400, [(0.0, front), (0.5, back)], sheet)
    labels.band(sheet, 0.0, 0.06, text)
    labels.band(sheet, 0.94, 1.0, text)
    return sheet


def _cola_classic() -> Surface:
    return _bottle(_cola_label((36, 28, 200), WHITE, "classic"), (20, 22, 40), (36, 28, 200), 0.9)


def _cola_zero() -> Surface:
    return _bottle(_cola_label((38, 36, 36), (60, 60, 230), "zero"), (20, 22, 40), (34, 32, 32), 0.9)


def _water() -> Surface:
    label = labels.plain(118, 400, (196, 138, 40))
    front = labels.plain(118, 150, (196, 138, 40))
    labels.write(front, "aqua", (0.5, 0.38), 0.32, WHITE)
    labels.write(front, "still", (0.5, 0.74), 0.16, WHITE)
    label = labels.wrap(400, [(0.0, front)], label)
    labels.band(label, 0.88, 1.0, (230, 210, 150))
    return _bottle(label, (226, 214, 198), (200, 120, 40), 1.0)


def _carton(main: Colour, accent: Colour, word: str) -> Surface:
    front = labels.plain(330, 140, WHITE)
    labels.band(front, 0.55, 1.0, main)
    labels.disc(front, (0.5, 0.58), 0.13, WHITE)
    labels.disc(front, (0.5, 0.60), 0.075, accent)
    labels.write(front, "MILK", (0.5, 0.20), 0.10, main)
    labels.write(front, word, (0.5, 0.36), 0.06, INK)
    labels.write(front, "1 l", (0.5, 0.88), 0.07, WHITE)
    side = labels.plain(330, 140, WHITE)
    labels.band(side, 0.55, 1.0, main)
    labels.small_print(side, (0.12, 0.88), (0.08, 0.48), (130, 130, 130))
    labels.barcode(side, 0.18, 0.82, 0.66, 0.86)
    top = labels.plain(40, 140, main)
    w, h, d, roof = 7.2, 16.5, 7.2, 3.2
    parts = [
        box((w, h, d), [front, side, front, side, top]),
        panel((-w / 2, h + roof, 0), (w, 0, 0), (0, -roof, d / 2), labels.plain(60, 140, main), 0.2),
        panel((w / 2, h + roof, 0), (-w, 0, 0), (0, -roof, -d / 2), labels.plain(60, 140, main), 0.2),
        panel((-w / 2, h + roof + 1.5, 0.15), (w, 0, 0), (0, -1.6, 0), labels.plain(8, 8, WHITE), 0.2),
        panel((w / 2, h + roof + 1.5, -0.15), (-w, 0, 0), (0, -1.6, 0), labels.plain(8, 8, WHITE), 0.2),
        *(
            panel((s * w / 2, h + roof, 0), (0, -roof, s * -d / 2), (0, -roof, s * d / 2), side[:60], 0.1)
            for s in (1.0, -1.0)
        ),
    ]
    return join(parts)


def _milk_whole() -> Surface:
    return _carton((176, 86, 30), (60, 60, 200), "whole 3.8 %")


def _milk_skim() -> Surface:
    return _carton((206, 170, 84), (110, 180, 70), "skim 0.1 %")


def _can(radius: float, height: float, print_sheet: Image) -> Surface:
    rim = labels.plain(4, 4, METAL)
    r = radius
    return join(
        [
            lathe([(0, r * 0.96), (0.2, r * 1.02), (0.4, r)], rim, 0.8),
            lathe([(0.4, r), (height - 0.4, r)], print_sheet, 0.35),
            lathe([(height - 0.4, r), (height - 0.2, r * 1.02), (height, r)], rim, 0.8),
            lathe(
                [(height - 0.25, r * 0.92), (height - 0.24, 0.0)], labels.plain(4, 4, (205, 206, 204)), 0.6
            ),
            lathe(
                [(height - 0.2, r * 0.62), (height - 0.19, r * 0.5)], labels.plain(4, 4, (150, 152, 150)), 0.6
            ),
        ]
    )


def _tin_label(ground: Colour, accent: Colour, word: str, dots: Colour) -> Image:
    sheet = labels.plain(200, 460, ground)
    front = labels.plain(200, 190, ground)
    labels.disc(front, (0.5, 0.62), 0.24, accent)
    rng = np.random.default_rng(len(word))
    for x, y in rng.uniform(-1, 1, (14, 2)):
        labels.disc(front, (0.5 + 0.16 * x, 0.62 + 0.15 * y), 0.055, dots)
    labels.write(front, word, (0.5, 0.2), 0.17, WHITE)
    back = labels.plain(200, 120, WHITE)
    labels.small_print(back, (0.08, 0.92), (0.1, 0.6), (120, 120, 120))
    labels.barcode(back, 0.15, 0.85, 0.66, 0.92)
    sheet = labels.wrap(460, [(0.0, front), (0.5, back)], sheet)
    labels.band(sheet, 0.0, 0.05, accent)
    labels.band(sheet, 0.95, 1.0, accent)
    return sheet


def _beans() -> Surface:
    return _can(3.7, 10.8, _tin_label((150, 128, 24), (214, 206, 120), "BEANS", (30, 96, 206)))


def _tomatoes() -> Surface:
    return _can(3.7, 10.8, _tin_label((40, 44, 178), (196, 224, 232), "TOMATO", (36, 40, 214)))


def _tuna() -> Surface:
    sheet = labels.plain(90, 520, (140, 66, 22))
    front = labels.plain(90, 200, (140, 66, 22))
    labels.write(front, "TUNA", (0.5, 0.5), 0.5, (60, 214, 244))
    sheet = labels.wrap(520, [(0.0, front), (0.5, front)], sheet)
    labels.band(sheet, 0.0, 0.12, (60, 214, 244))
    lid = lathe([(4.10, 4.0), (4.11, 0.0)], labels.plain(4, 4, (120, 58, 22)), 0.5)
    spot = lathe([(4.20, 2.1), (4.21, 0.0)], labels.plain(4, 4, (60, 214, 244)), 0.4)
    return join([_can(4.25, 4.0, sheet), lid, spot])


def _jam() -> Surface:
    glass = labels.speckled((220, 420), (44, 30, 150), 16, 14, 11)
    label = labels.plain(110, 170, (226, 240, 246))
    labels.write(label, "jam", (0.5, 0.26), 0.26, (50, 40, 160))
    labels.disc(label, (0.38, 0.68), 0.17, (48, 40, 205))
    labels.disc(label, (0.58, 0.70), 0.15, (60, 60, 225))
    labels.disc(label, (0.48, 0.50), 0.07, (70, 160, 60))
    glass[70:180] = labels.wrap(420, [(0.0, label), (0.5, label)], glass[70:180])
    lid = labels.plain(20, 60, WHITE)
    lid[:, ::6] = lid[:, 1::6] = lid[:, 2::6] = (50, 44, 200)
    body = lathe([(0, 3.2), (0.5, 3.8), (9.0, 3.8), (9.9, 3.3), (10.3, 3.3)], glass, 1.0)
    cap = lathe([(10.2, 3.6), (11.8, 3.6), (11.9, 3.4), (12.0, 0.0)], lid, 0.5)
    return join([body, cap])


CONTAINERS: dict[str, Callable[[], Surface]] = {
    "cola-classic": _cola_classic,
    "cola-zero": _cola_zero,
    "water-still": _water,
    "milk-whole": _milk_whole,
    "milk-skim": _milk_skim,
    "beans-can": _beans,
    "tomato-can": _tomatoes,
    "tuna-can": _tuna,
    "jam-strawberry": _jam,
}
