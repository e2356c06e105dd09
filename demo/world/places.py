"""The stores and their carts: who they are, when they are open, how they are lit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo

from demo.errors import SettingsError
from training.scenes import CAMERAS

# Front, left and right: three of the renderer's four views. A fourth costs a third more CPU.
CAMERA_NAMES: tuple[str, ...] = tuple(view.name for view in CAMERAS[:3])
MAX_STORES = 99
MAX_CARTS_PER_STORE = 99
# Level of a shop's lamps without any daylight; 1 is a well-lit shop.
LAMPS = 0.86
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Town:
    """What makes one store differ from another.

    Attributes:
        city: The town.
        quarter: Where in it.
        timezone: IANA name.
        opens_hour: Local hour.
        closes_hour: Local hour.
        windows: How much daylight adds to the lamps at noon, as a share of a well-lit shop.
        kelvin: Colour temperature of the lamps.
        busyness: Shoppers relative to an ordinary store.
    """

    city: str
    quarter: str
    timezone: str
    opens_hour: int
    closes_hour: int
    windows: float
    kelvin: float
    busyness: float


TOWNS: tuple[Town, ...] = (
    Town("Annecy", "Vieille Ville", "Europe/Paris", 8, 20, 0.20, 4600.0, 1.0),
    Town("Gent", "Dampoort", "Europe/Brussels", 8, 21, 0.10, 4200.0, 1.15),
    Town("Lisboa", "Alvalade", "Europe/Lisbon", 9, 22, 0.26, 4900.0, 0.9),
    Town("Rennes", "Sainte-Anne", "Europe/Paris", 8, 21, 0.14, 5200.0, 1.05),
    Town("Girona", "Eixample", "Europe/Madrid", 9, 22, 0.24, 4400.0, 0.95),
    Town("Freiburg", "Wiehre", "Europe/Berlin", 7, 21, 0.12, 4700.0, 1.1),
    Town("Bergamo", "Borgo Palazzo", "Europe/Rome", 8, 20, 0.22, 4300.0, 0.85),
    Town("Utrecht", "Lombok", "Europe/Amsterdam", 8, 22, 0.16, 5000.0, 1.2),
)


@dataclass(frozen=True, slots=True)
class Store:
    """One simulated store."""

    store_id: str
    index: int
    town: Town

    @property
    def name(self) -> str:
        """What people call it."""
        round_ = self.index // len(TOWNS)
        return f"{self.town.city} {self.town.quarter}" + (f" {round_ + 1}" if round_ else "")


@dataclass(frozen=True, slots=True)
class Cart:
    """One simulated cart; `index` counts through the whole fleet."""

    store_id: str
    cart_id: str
    index: int
    cameras: tuple[str, ...] = CAMERA_NAMES


def open_stores(count: int) -> tuple[Store, ...]:
    """Return the first stores of the demo.

    Raises:
        SettingsError: the count is out of range.
    """
    if not 1 <= count <= MAX_STORES:
        raise SettingsError(f"--stores is 1 to {MAX_STORES}, not {count}.")
    return tuple(Store(f"s{i + 1:03d}", i, TOWNS[i % len(TOWNS)]) for i in range(count))


def carts_of(stores: Sequence[Store], per_store: int) -> tuple[Cart, ...]:
    """Return all carts of the stores.

    Raises:
        SettingsError: the count is out of range.
    """
    if not 1 <= per_store <= MAX_CARTS_PER_STORE:
        raise SettingsError(f"--carts-per-store is 1 to {MAX_CARTS_PER_STORE}, not {per_store}.")
    return tuple(
        Cart(store.store_id, f"{store.store_id}-c{n + 1:02d}", store.index * per_store + n)
        for store in stores
        for n in range(per_store)
    )


@cache
def zone_of(name: str) -> ZoneInfo:
    """Return a time zone."""
    return ZoneInfo(name)


def local_time(store: Store, at_ms: int) -> datetime:
    """Return the wall clock of a store."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone_of(store.town.timezone))


def local_hour(store: Store, at_ms: int) -> float:
    """Return the local hour with its fraction, 0 to 24."""
    at = local_time(store, at_ms)
    return at.hour + at.minute / 60 + at.second / 3600


def daylight(hour: float) -> float:
    """Return how bright the sky is: 0 before seven and after nineteen, 1 at one o'clock."""
    return max(0.0, math.sin(math.pi * (hour - 7.0) / 12.0)) if 7.0 < hour < 19.0 else 0.0


def shop_light(store: Store, at_ms: int, lamp: float = 1.0) -> float:
    """Return the light in a store: 1 is well lit.

    Args:
        store: Which.
        at_ms: When, epoch milliseconds.
        lamp: What is left of its lamps, 0 to 1.
    """
    return LAMPS * lamp + store.town.windows * daylight(local_hour(store, at_ms)) * (0.35 + 0.65 * lamp)


def is_open(store: Store, at_ms: int) -> bool:
    """Tell whether a store is open."""
    return store.town.opens_hour <= local_hour(store, at_ms) < store.town.closes_hour


# Shoppers by day of the week, Monday first: Saturday is full, Sunday short.
WEEK = (0.85, 0.80, 0.95, 0.95, 1.20, 1.45, 0.60)


def traffic(store: Store, at_ms: int) -> float:
    """Return how busy a store is at an hour: 0 when closed, about 1 on average when open."""
    if not is_open(store, at_ms):
        return 0.0
    at = local_time(store, at_ms)
    hour = at.hour + 0.5
    noon, evening = math.exp(-(((hour - 11.5) / 2.2) ** 2)), math.exp(-(((hour - 18.0) / 2.0) ** 2))
    return store.town.busyness * WEEK[at.weekday()] * (0.45 + 0.75 * noon + 1.05 * evening)
