"""What makes a world: its seed and shape, and the moment where its history ends."""

from dataclasses import dataclass
from functools import cached_property

from demo.errors import SettingsError
from demo.world.faults import Faults, plan_faults
from demo.world.places import Cart, Store, carts_of, open_stores

# The contract refuses clocks more than 45 days behind.
MAX_HISTORY_DAYS = 40


@dataclass(frozen=True)
class WorldSettings:
    """Seed and shape; everything else about the world follows from them.

    Attributes:
        seed: Of every random draw.
        stores: How many.
        carts_per_store: How many carts in each.
        history_days: How many days of history come before the live demo; 0 for none.
        epoch_ms: When the history ends, epoch milliseconds.
    """

    seed: int
    stores: int
    carts_per_store: int
    history_days: int
    epoch_ms: int

    def __post_init__(self) -> None:
        if not 0 <= self.history_days <= MAX_HISTORY_DAYS:
            raise SettingsError(f"--history-days is 0 to {MAX_HISTORY_DAYS}, not {self.history_days}.")
        if self.seed < 0:
            raise SettingsError(f"--seed is 0 or more, not {self.seed}.")


class World:
    """The places and faults that follow from the settings."""

    def __init__(self, settings: WorldSettings) -> None:
        self.settings = settings
        self.stores: tuple[Store, ...] = open_stores(settings.stores)
        self.carts: tuple[Cart, ...] = carts_of(self.stores, settings.carts_per_store)

    @cached_property
    def faults(self) -> Faults:
        """What is broken, and since when."""
        return plan_faults(self.stores, self.carts, self.settings.epoch_ms)

    def store(self, store_id: str) -> Store:
        """Return a store.

        Raises:
            SettingsError: this world has no such store.
        """
        for store in self.stores:
            if store.store_id == store_id:
                return store
        raise SettingsError(f"this world has no store {store_id}: it has {len(self.stores)} stores.")

    def carts_in(self, store_id: str) -> tuple[Cart, ...]:
        """Return the carts of a store."""
        return tuple(cart for cart in self.carts if cart.store_id == store_id)
