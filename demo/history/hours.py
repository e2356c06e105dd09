"""The hours of a cart's past: when it was out, how many things were moved, in what light."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo.world.places import Cart, shop_light, traffic
from demo.world.settings import World

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
# Item events of one cart in an ordinary hour. More makes the first start slower, fewer leaves the
# accuracy of a store and day with a wide interval.
EVENTS_PER_HOUR = 18.0
# How long ago, before the end of the history, the present model replaced the one before.
MODEL_CHANGE_DAYS = 12

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Hours:
    """The open hours of one cart, oldest first; every array has shape (hours,).

    Attributes:
        start_ms: Begin, epoch milliseconds.
        end_ms: End; the last one ends with the history.
        light: Light in the store.
        smear: Smear of each camera, shape (cameras, hours).
        events: How many item events there were.
        present: Whether the present model was installed, else the one before.
    """

    start_ms: Ints
    end_ms: Ints
    light: Floats
    smear: Floats
    events: Ints
    present: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.start_ms)


def model_change_ms(world: World) -> int:
    """Return when the present model was installed: at four in the morning UTC, when carts are docked."""
    day = (world.settings.epoch_ms - MODEL_CHANGE_DAYS * DAY_MS) // DAY_MS
    return int(day * DAY_MS + 4 * HOUR_MS)


def hours_of(world: World, cart: Cart, rng: np.random.Generator) -> Hours:
    """Return the hours in which a cart was out, in the days before the history ends."""
    store, faults, epoch_ms = world.store(cart.store_id), world.faults, world.settings.epoch_ms
    begin_ms = epoch_ms - world.settings.history_days * DAY_MS
    first = -(-begin_ms // HOUR_MS) * HOUR_MS
    every = range(first, epoch_ms, HOUR_MS)
    busy = np.asarray([traffic(store, at_ms) for at_ms in every])
    events = rng.poisson(EVENTS_PER_HOUR * busy)
    kept = np.flatnonzero(busy > 0)
    start_ms = np.asarray(every, np.int64)[kept]
    end_ms = np.minimum(start_ms + HOUR_MS, epoch_ms)
    middle = [int(at_ms) for at_ms in (start_ms + end_ms) // 2]
    light = [shop_light(store, at, faults.lamp_of(store.store_id, at)) for at in middle]
    smear = [[faults.smear_of(cart.cart_id, camera, at) for at in middle] for camera in cart.cameras]
    share = (end_ms - start_ms) / HOUR_MS
    return Hours(
        start_ms=start_ms,
        end_ms=end_ms,
        light=np.asarray(light, np.float64),
        smear=np.asarray(smear, np.float64).reshape(len(cart.cameras), len(kept)),
        events=np.floor(events[kept] * share).astype(np.int64),
        present=start_ms >= model_change_ms(world),
    )
