"""Decisions of the real model in every light, from which history is drawn. Made by `calibrate`."""

from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Light levels that are measured: dense where the cameras' gain is used up and decisions get worse.
LIGHTS: tuple[float, ...] = (1.0, 0.5, 0.36, 0.28, 0.22, 0.17, 0.13)
PATH = Path(__file__).parent / "decisions.json"


class Pool(Struct, frozen=True):
    """Decisions under one condition, one entry per movement.

    Attributes:
        right: Item and quantity were right.
        miscounted: The item was right and the quantity was not.
        posterior: Of the decision.
        margin: Over the second hypothesis.
        camera_p: Each camera's own probability of the decided item.
        disagree: Cameras that would have decided otherwise.
    """

    right: list[bool]
    miscounted: list[bool]
    posterior: list[float]
    margin: list[float]
    camera_p: list[list[float]]
    disagree: list[int]


class Pools(Struct, frozen=True):
    """All conditions: one pool per light of `LIGHTS`, with clean lenses and with a smeared first camera."""

    model: str
    clean: list[Pool]
    smeared: list[Pool]


def write_pools(path: Path, pools: Pools) -> None:
    """Write the file, one line per condition so that changes can be read."""
    text = msgspec.json.encode(pools).decode()
    path.write_text(text.replace('{"right"', '\n{"right"') + "\n", encoding="utf-8")


@cache
def read_pools(path: Path = PATH) -> Pools:
    """Return the measured decisions."""
    return msgspec.json.decode(path.read_bytes(), type=Pools)
