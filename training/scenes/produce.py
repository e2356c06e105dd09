"""Fruit, vegetables and eggs: no print, told apart by shape, colour and skin."""

from collections.abc import Callable

import numpy as np

from training.scenes import labels
from training.scenes.labels import WHITE, Colour
from training.scenes.surfaces import Image, Surface, bent_tube, box, join, laid_down, lathe, moved


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


PRODUCE: dict[str, Callable[[], Surface]] = {
    "apple-gala": _gala,
    "apple-granny": _granny,
    "orange-navel": _orange,
    "banana-bunch": _bananas,
    "cucumber": _cucumber,
    "avocado-hass": _avocado,
    "eggs-ten": _eggs,
}
