"""The orders that the broker should hold, and those that it does not: bookkeeping, no network.

Two things can put an old order back: a controller that slept through the end of its lease in the middle of a
chunk, and a broker that was killed before it wrote down what it had acknowledged. A cart that was online
ignores the old generation; one that connects afterwards would read it, and never hear of the newer one.
"""

from fleet_protocol.rollouts import Desired

# Of a topic that holds what is no order.
NOTHING = -1


class RetainedOrders:
    """What carts were told, and what was heard on their `desired` topics. One thread at a time may call.

    Orders of a higher generation than ours are left alone: another controller drives by now, or they are of
    a database that was before this one.
    """

    def __init__(self) -> None:
        self._issued: dict[str, Desired] = {}
        self._held: dict[str, int] = {}
        self._missing: dict[str, None] = {}

    def begin(self) -> None:
        """Begin to hear what the broker holds; what it does not tell it has lost."""
        self._held.clear()
        self._missing = dict.fromkeys(self._issued)

    def expect(self, cart: str, order: Desired) -> None:
        """Note what `store/cart` was told before, by us or by a controller before us."""
        before = self._issued.get(cart)
        if before is None or before.generation < order.generation:
            self._issued[cart] = order
            self._judge(cart)

    def issue(self, cart: str, order: Desired) -> None:
        """Note an order that is on its way to the broker: not missing yet."""
        self._issued[cart] = order

    def acknowledged(self, cart: str) -> None:
        """Note that the broker has the order that was issued last."""
        if (order := self._issued.get(cart)) is not None:
            self._held[cart] = order.generation
            self._judge(cart)

    def hear(self, cart: str, generation: int) -> None:
        """Note what the broker holds for a cart now; `NOTHING` if that is no order."""
        self._held[cart] = generation
        self._judge(cart)

    def forget(self, cart: str) -> None:
        """Its topic was cleared, as an owner does who forgets a cart."""
        for kept in (self._issued, self._held, self._missing):
            kept.pop(cart, None)

    def missing(self, limit: int) -> tuple[tuple[str, Desired], ...]:
        """Return orders that the broker holds in an older version, or not at all."""
        return tuple((cart, self._issued[cart]) for cart, _ in zip(self._missing, range(limit), strict=False))

    def _judge(self, cart: str) -> None:
        order = self._issued.get(cart)
        if order is not None and self._held.get(cart, NOTHING) < order.generation:
            self._missing[cart] = None
        else:
            self._missing.pop(cart, None)
