"""The stage of one cart as its camera and scale threads share it: they wait here for something to happen."""

import threading
from collections.abc import Callable

import numpy as np

from demo.world.faults import SMEAR_PRINT
from demo.world.places import Store, shop_light
from demo.world.settings import World
from demo.world.shoppers import Move
from demo.world.stage import Movement, Stage, Surroundings
from training.scenes import LensState, Light


class Theatre:
    """Holds the present `Stage`; every change wakes the cameras and the scale that wait for it.

    Args:
        world: Where the light and the dirt come from.
        store: Of the cart.
        cart_id: The cart.
        monotonic_s: The clock of movements.
        epoch_ms: The clock of light and faults.
    """

    def __init__(
        self,
        world: World,
        store: Store,
        cart_id: str,
        *,
        monotonic_s: Callable[[], float],
        epoch_ms: Callable[[], int],
    ) -> None:
        self._world = world
        self._store = store
        self._cart_id = cart_id
        self._monotonic_s = monotonic_s
        self._epoch_ms = epoch_ms
        self._stage = Stage()
        self._changes = 0
        self._changed = threading.Condition()

    @property
    def stage(self) -> Stage:
        """What is going on now."""
        with self._changed:
            return self._stage

    def _set(self, stage: Stage) -> None:
        with self._changed:
            self._stage = stage
            self._changes += 1
            self._changed.notify_all()

    def begin(self, rng: np.random.Generator, move: Move) -> Movement:
        """Start a movement now."""
        stage = self.stage.begin(rng, move, self._monotonic_s())
        self._set(stage)
        if stage.movement is None:
            msg = "a stage that has begun a move has a movement"
            raise AssertionError(msg)
        return stage.movement

    def wheel_to(self, aisle: float) -> None:
        """Push the cart to another shelf."""
        self._set(self.stage.wheeled_to(aisle))

    def empty(self) -> None:
        """Take the shopping out at the till, where the scale is set to its new zero."""
        self._set(self.stage.emptied(self._monotonic_s()))

    @property
    def changes(self) -> int:
        """How often the stage has changed: hand it to `wait` to miss nothing in between."""
        with self._changed:
            return self._changes

    def wait(self, seen_changes: int, until_s: float) -> None:
        """Wait until a time on the monotonic clock, or until the stage has changed since it was looked at."""
        with self._changed:
            timeout_s = max(0.0, until_s - self._monotonic_s())
            self._changed.wait_for(lambda: self._changes != seen_changes, timeout=timeout_s)

    def frozen(self, camera: str) -> bool:
        """Tell whether a camera hangs now and repeats its last picture."""
        return self._world.faults.frozen(self._cart_id, camera, self._epoch_ms())

    def surroundings(self, camera: str) -> Surroundings:
        """Return the light and the dirt of one camera now."""
        now_ms = self._epoch_ms()
        faults = self._world.faults
        level = shop_light(self._store, now_ms, faults.lamp_of(self._store.store_id, now_ms))
        smear = faults.smear_of(self._cart_id, camera, now_ms)
        return Surroundings(
            Light(round(level, 2), self._store.town.kelvin), LensState(round(smear, 2), SMEAR_PRINT)
        )
