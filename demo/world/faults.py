"""What is broken in the simulated stores, since when: pure functions of the time."""

from collections.abc import Sequence
from dataclasses import dataclass

from demo.world.places import Cart, Store

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS

# The lamp begins to fail this long before the history ends, and goes on failing while the demo runs.
LAMP_SINCE_DAYS = 5.0
LAMP_UNTIL_DAYS_AFTER = 0.25
# What is left of the lamp at last. The cameras' gain hides everything above 0.7, and the model still
# names most items at 0.3; at 0.15 it visibly doubts. Lower, and a person sees nothing either.
LAMP_FLOOR = 0.15
# The smear came this long before the end of the history, within two hours.
SMEAR_SINCE_DAYS = 3.0
SMEAR_BUILD_UP_MS = 2 * _HOUR_MS
SMEAR_LEVEL = 0.95
# The renderer knows many prints; this one covers the middle.
SMEAR_PRINT = 18

# While the demo runs, one camera hangs in its driver again and again and repeats its last picture: seldom
# enough that a look shows it well too, often enough that nobody waits long to see it named.
FREEZE_EVERY_MS = 12 * 60_000
FREEZE_LASTS_MS = 4 * 60_000
FREEZE_FIRST_MS = 2 * 60_000

LAMP_NAME = "lamp"
SMEAR_NAME = "smear"
FREEZE_NAME = "freeze"


@dataclass(frozen=True, slots=True)
class Lamp:
    """The lamps of one store fade."""

    store_id: str
    since_ms: int
    until_ms: int

    def left(self, at_ms: int) -> float:
        """Return what is left of the lamps, 1 to `LAMP_FLOOR`; fades evenly."""
        progress = (at_ms - self.since_ms) / (self.until_ms - self.since_ms)
        return 1.0 - (1.0 - LAMP_FLOOR) * min(1.0, max(0.0, progress))


@dataclass(frozen=True, slots=True)
class Smear:
    """One camera of one cart looks through a greasy print."""

    cart_id: str
    camera: str
    since_ms: int

    def level(self, at_ms: int) -> float:
        """Return how bad it is, 0 to `SMEAR_LEVEL`."""
        return SMEAR_LEVEL * min(1.0, max(0.0, (at_ms - self.since_ms) / SMEAR_BUILD_UP_MS))


@dataclass(frozen=True, slots=True)
class Freeze:
    """One camera of one cart repeats its last picture for some minutes, again and again."""

    cart_id: str
    camera: str
    since_ms: int

    def holds(self, at_ms: int) -> bool:
        """Tell whether it hangs now."""
        return at_ms >= self.since_ms and (at_ms - self.since_ms) % FREEZE_EVERY_MS < FREEZE_LASTS_MS


@dataclass(frozen=True, slots=True)
class Faults:
    """Everything that is broken."""

    lamps: tuple[Lamp, ...] = ()
    smears: tuple[Smear, ...] = ()
    freezes: tuple[Freeze, ...] = ()

    def lamp_of(self, store_id: str, at_ms: int) -> float:
        """Return what is left of a store's lamps."""
        return min((lamp.left(at_ms) for lamp in self.lamps if lamp.store_id == store_id), default=1.0)

    def smear_of(self, cart_id: str, camera: str, at_ms: int) -> float:
        """Return how smeared a camera is, 0 clean to 1."""
        levels = (s.level(at_ms) for s in self.smears if (s.cart_id, s.camera) == (cart_id, camera))
        return max(levels, default=0.0)

    def frozen(self, cart_id: str, camera: str, at_ms: int) -> bool:
        """Tell whether a camera repeats its last picture."""
        return any(f.holds(at_ms) for f in self.freezes if (f.cart_id, f.camera) == (cart_id, camera))

    def active(self, cart: Cart, at_ms: int) -> tuple[str, ...]:
        """Return the names of the faults that a cart feels at a time."""
        names = []
        if self.lamp_of(cart.store_id, at_ms) < 1.0:
            names.append(LAMP_NAME)
        names += [f"{SMEAR_NAME}/{c}" for c in cart.cameras if self.smear_of(cart.cart_id, c, at_ms) > 0]
        names += [f"{FREEZE_NAME}/{c}" for c in cart.cameras if self.frozen(cart.cart_id, c, at_ms)]
        return tuple(names)


def plan_faults(stores: Sequence[Store], carts: Sequence[Cart], epoch_ms: int) -> Faults:
    """Return the demo's faults.

    The second store's lamp fades, a camera of the third store's second cart is smeared, and one of the last
    store's last cart freezes now and then while the demo runs. A smaller demo has them where it can.

    Args:
        stores: All stores.
        carts: All carts.
        epoch_ms: When the history ends and the live demo begins.
    """
    dim, smeared = stores[min(1, len(stores) - 1)], stores[min(2, len(stores) - 1)]
    of_store = [cart for cart in carts if cart.store_id == smeared.store_id]
    victim = of_store[min(1, len(of_store) - 1)]
    since_ms = epoch_ms - round(LAMP_SINCE_DAYS * _DAY_MS)
    until_ms = epoch_ms + round(LAMP_UNTIL_DAYS_AFTER * _DAY_MS)
    hanging = next(cart for cart in reversed(carts) if cart.store_id == stores[-1].store_id)
    return Faults(
        lamps=(Lamp(dim.store_id, since_ms, until_ms),),
        smears=(Smear(victim.cart_id, victim.cameras[0], epoch_ms - round(SMEAR_SINCE_DAYS * _DAY_MS)),),
        freezes=(Freeze(hanging.cart_id, hanging.cameras[-1], epoch_ms + FREEZE_FIRST_MS),),
    )
