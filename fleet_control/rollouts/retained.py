"""The orders that the broker holds, and whether they are the newest ones: bookkeeping, no network.

Two things can put an old order back: a controller that slept through the end of its lease in the middle of a
chunk, and a broker that was killed before it wrote down what it had acknowledged. A cart that was online
ignores the old generation; one that connects afterwards would read it, and never hear of the newer one.
"""

from fleet_protocol.rollouts import Desired


class RetainedOrders:
    """What was heard on the carts' `desired` topics. One thread at a time may call."""

    def __init__(self) -> None:
        self._newest: dict[str, Desired] = {}
        self._stale: dict[str, None] = {}

    def begin(self) -> None:
        """Begin to hear what the broker holds; what it does not tell it has lost."""
        self._stale = dict.fromkeys(self._newest)

    def hear(self, cart: str, order: Desired | None) -> None:
        """Note what the broker holds for a cart now.

        Args:
            cart: `store/cart`.
            order: None: somebody cleared the topic, which is how an owner forgets a cart.
        """
        newest = self._newest.get(cart)
        self._stale.pop(cart, None)
        if order is None:
            self._newest.pop(cart, None)
        elif newest is None or order.generation >= newest.generation:
            self._newest[cart] = order
        else:
            self._stale[cart] = None

    def stale(self, limit: int) -> tuple[tuple[str, Desired], ...]:
        """Return the newest orders of carts for which the broker holds an older one, or none."""
        return tuple((cart, self._newest[cart]) for cart, _ in zip(self._stale, range(limit), strict=False))
