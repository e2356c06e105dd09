"""Shape and print of each of the twenty groceries.

Pairs that a shopper could confuse (the two colas, the two milks, the two cereals, the two tins) share their
shape and most of their print and differ in colour only.
"""

from collections.abc import Callable

import cv2
import numpy as np

from training.scenes import labels
from training.scenes.labels import INK, WHITE, Colour
from training.scenes.surfaces import (
    Image,
    Surface,
    bent_tube,
    box,
    join,
    laid_down,
    lathe,
    moved,
    panel,
    pillow,
)

METAL: Colour = (190, 192, 190)


def build(item_id: str) -> Surface:
    """Return the coloured points of one item, standing on y = 0 with its front towards +z.

    Raises:
        KeyError: No product of this name is drawn here.
    """
    return _PRODUCTS[item_id]()


def _ball_profile(radius: float, dent: float = 0.0, steps: int = 40) -> list[tuple[float, float]]:
    """Half circle from foot to crown; ``dent`` (0..1) pulls both poles in, like an apple's."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, steps)
    heights = radius * np.sin(angles) * (1 - dent * np.abs(np.sin(angles)) ** 6)
    heights = np.maximum.accumulate(heights + np.linspace(0, 1e-3, steps))
    return [(float(h + radius), float(radius * np.cos(a))) for h, a in zip(heights, angles, strict=True)]


def _stem(height: float, at: float, colour: Colour, radius: float = 0.22) -> Surface:
    return moved(lathe([(0, radius), (height, radius * 0.8)], labels.plain(4, 4, colour)), y=at)


def _apple(skin: Image) -> Surface:
    body = lathe(_ball_profile(3.8, dent=0.16), skin, gloss=0.45)
    return join([body, _stem(1.5, 5.7, (40, 60, 84))])


def _gala() -> Surface:
    skin = labels.speckled((160, 360), (48, 42, 196), 10, 6, 1)
    streaks = np.random.default_rng(4).normal(0, 1, (1, 360, 1)).repeat(160, 0)
    fade = np.linspace(-0.3, 1.0, 160)[:, None, None] ** 2
    warm = np.clip((streaks * 0.28 + fade * 0.5), 0, 0.85)
    mixed = skin * (1 - warm) + np.asarray((92, 196, 232)) * warm
    return _apple(mixed.astype(np.uint8))


def _granny() -> Surface:
    skin = labels.speckled((160, 360), (62, 190, 138), 7, 5, 2)
    dots = np.random.default_rng(5).random((160, 360)) > 0.992
    skin[dots] = (150, 230, 205)
    return _apple(skin)


def _orange() -> Surface:
    peel = labels.speckled((200, 420), (22, 132, 244), 8, 3, 3)
    labels.disc(peel, (0.04, 0.42), 0.10, (70, 60, 190))
    labels.disc(peel, (0.04, 0.42), 0.06, WHITE)
    return join([lathe(_ball_profile(4.2), peel, gloss=0.25), _stem(0.15, 8.3, (60, 110, 90), 0.5)])


def _avocado() -> Surface:
    skin = labels.speckled((160, 300), (38, 62, 50), 14, 3, 6)
    profile = [
        (0, 0.0),
        (0.3, 1.7),
        (1.2, 3.0),
        (2.6, 3.6),
        (4.0, 3.5),
        (6.0, 2.6),
        (7.8, 1.7),
        (8.8, 1.1),
        (9.2, 0.0),
    ]
    labels.disc(skin, (0.5, 0.55), 0.10, (50, 170, 120))
    return lathe(profile, skin, gloss=0.3)


def _cucumber() -> Surface:
    skin = labels.speckled((300, 180), (52, 104, 50), 9, 6, 7)
    for column in range(0, 180, 18):
        skin[:, column : column + 5] = np.clip(skin[:, column : column + 5] * 1.35 + 8, 0, 255)
    skin[:40] = (skin[:40] * 0.6 + np.asarray((90, 170, 150)) * 0.4).astype(np.uint8)
    ends = np.sqrt(np.linspace(0, 1, 9))
    profile = [(float(1.6 * i / 8), float(2.0 * r)) for i, r in enumerate(ends)]
    profile += [(15.4 + float(1.6 * i / 8), float(2.0 * ends[8 - i])) for i in range(9)]
    return moved(laid_down(lathe(profile, skin, gloss=0.35)), x=-8.5, y=2.0)


def _bananas() -> Surface:
    skin = labels.speckled((200, 60), (52, 206, 240), 9, 8, 8)
    skin[:22], skin[-12:] = (60, 150, 150), (40, 60, 70)
    skin[22:60] = (skin[22:60] * 0.7 + np.asarray((70, 190, 170)) * 0.3).astype(np.uint8)
    skin[:, ::15] = (skin[:, ::15] * 0.86).astype(np.uint8)
    hands = [bent_tube(9.5, 112, 1.75, skin, yaw) for yaw in (-54, -20, 16, 50)]
    crown = moved(lathe([(0, 1.2), (1.6, 0.8)], labels.plain(4, 4, (52, 96, 104))), y=-0.6)
    return moved(join([*hands, crown]), y=11.0, z=5.0)


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


def _eggs() -> Surface:
    pulp = labels.speckled((80, 240), (148, 160, 164), 7, 4, 29)
    lid = labels.speckled((140, 240), (148, 160, 164), 7, 4, 30)
    lid[30:112, 36:204] = (70, 178, 90)
    label = np.ascontiguousarray(lid[30:112, 36:204])
    labels.write(label, "10 eggs", (0.5, 0.42), 0.34, WHITE)
    labels.disc(label, (0.5, 0.82), 0.11, (60, 200, 250))
    lid[30:112, 36:204] = label
    front = pulp.copy()
    front[10:34, 60:180] = (70, 178, 90)
    tray = box((24.0, 6.4, 10.4), [front, pulp[:, :110], pulp, pulp[:, :110], lid], 0.05)
    cups = [
        moved(lathe(_ball_profile(2.3), pulp, 0.05), x=-9.4 + 4.7 * column, y=-0.4, z=side * 3.6)
        for column in range(5)
        for side in (-1, 1)
    ]
    return join([tray, *cups])


_PRODUCTS: dict[str, Callable[[], Surface]] = {
    "apple-gala": _gala,
    "apple-granny": _granny,
    "orange-navel": _orange,
    "banana-bunch": _bananas,
    "cucumber": _cucumber,
    "avocado-hass": _avocado,
    "cola-classic": _cola_classic,
    "cola-zero": _cola_zero,
    "water-still": _water,
    "milk-whole": _milk_whole,
    "milk-skim": _milk_skim,
    "beans-can": _beans,
    "tomato-can": _tomatoes,
    "tuna-can": _tuna,
    "jam-strawberry": _jam,
    "cereal-honey": _honey,
    "cereal-choco": _choco,
    "pasta-penne": _pasta,
    "chips-paprika": _chips,
    "eggs-ten": _eggs,
}
