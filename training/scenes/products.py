"""Shape and print of each of the twenty groceries.

Pairs that a shopper could confuse (the two colas, the two milks, the two cereals, the two tins) share their
shape and most of their print and differ in colour only.
"""

from training.scenes.containers import CONTAINERS
from training.scenes.packets import PACKETS
from training.scenes.produce import PRODUCE
from training.scenes.surfaces import Surface

_PRODUCTS = PRODUCE | CONTAINERS | PACKETS


def build(item_id: str) -> Surface:
    """Return the coloured points of one item, standing on y = 0 with its front towards +z.

    Raises:
        KeyError: No product of this name is drawn here.
    """
    return _PRODUCTS[item_id]()
