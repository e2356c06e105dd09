"""The carts in memory: the double for tests, benchmarks and shows of a moment."""

import threading
from collections.abc import Iterable, Mapping, Sequence

from fleet_control.rollouts.ports import CartReport, CartSighting
from fleet_control.rollouts.retained import RetainedOrders
from fleet_protocol.rollouts import Desired, Permit


class MemoryFleet:
    """Implements `Fleet`.

    Attributes:
        told: Everything that was told, in order.
        desired: The retained orders, by `store/cart`.
        refuses: How many more calls of `tell` are answered as a broker does that is away.
    """

    def __init__(self, sightings: Mapping[str, CartSighting] | None = None) -> None:
        self._sightings = dict(sightings or {})
        self._reports: list[CartReport] = []
        self._permits: dict[str, Permit] = {}
        self._orders = RetainedOrders()
        self._news = threading.Condition()
        self.told: list[tuple[str, Desired] | Permit] = []
        self.desired: dict[str, Desired] = {}
        self.refuses = 0

    def carts(self) -> Mapping[str, CartSighting]:
        """Return all carts."""
        return self._sightings

    def see(self, sightings: Iterable[CartSighting]) -> None:
        """Let carts be born, or change."""
        self._sightings = {**self._sightings, **{cart.cart: cart for cart in sightings}}

    def say(self, *reports: CartReport) -> None:
        """Let carts report."""
        with self._news:
            self._reports += reports
            self._news.notify_all()

    def reports(self) -> tuple[CartReport, ...]:
        """Return what came since the last call."""
        with self._news:
            came, self._reports = tuple(self._reports), []
        return came

    def tell(self, orders: Sequence[tuple[str, Desired] | Permit], timeout_s: float) -> int:  # noqa: ARG002
        """Take retained messages."""
        if self.refuses:
            self.refuses -= 1
            return 0
        for order in orders:
            self.told.append(order)
            if isinstance(order, Permit):
                self._permits[order.rollout] = order
            else:
                self._orders.issue(*order)
                self.retain(*order)
        return len(orders)

    def permits(self) -> Mapping[str, Permit]:
        """Return the permits that are retained."""
        return self._permits

    def overwrite(self, permit: Permit) -> None:
        """Let somebody stale retain a permit."""
        self._permits[permit.rollout] = permit

    def expect(self, orders: Iterable[tuple[str, Desired]]) -> None:
        """Note what carts were told before."""
        for cart, order in orders:
            self._orders.expect(cart, order)

    def missing(self, limit: int) -> Sequence[tuple[str, Desired]]:
        """Return orders that are not retained, or in an older version."""
        return self._orders.missing(limit)

    def retain(self, cart: str, order: Desired) -> None:
        """Let somebody retain an order for `store/cart`, whatever is retained."""
        self.desired[cart] = order
        self._orders.hear(cart, order.generation)

    def lose(self) -> None:
        """Let the broker die with all that it retained."""
        self.desired.clear()
        self._permits.clear()
        self._orders.begin()

    def wait(self, timeout_s: float) -> bool:
        """Sleep until there is a report."""
        with self._news:
            return self._news.wait_for(lambda: bool(self._reports), timeout_s)
