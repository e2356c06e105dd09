"""Whether somebody is shopping: what must be over before a cart changes what it sees with.

The rule: the basket is *open* during a trip, while the weight moves or something waits to be decided, and as
long as something may lie in the cart that was touched lately. So it is closed

- when a trip has ended, and nothing was put in since;
- or when there is no trip, and nothing has happened for `idle_s`. That is how a cart is updated whose shop
  never tells of trips; and after a start nobody knows what lies in the cart, so it waits as long.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rest:
    """What goes on at a cart.

    Attributes:
        busy: The weight moves, or something waits to be decided.
        session: A trip goes on.
        empty: A trip has ended since the start, and by the books nothing was put in since.
        idle_s: Since when nothing has happened.
    """

    busy: bool
    session: bool
    empty: bool
    idle_s: float


def basket_open(rest: Rest, idle_s: float) -> bool:
    """Tell whether somebody may be shopping; `idle_s` is how long a cart must rest to be believed empty."""
    return rest.busy or rest.session or (not rest.empty and rest.idle_s < idle_s)
