"""The carts, as the broker knows them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fleet_control.rollouts.states import DeviceState
from fleet_protocol.rollouts import Desired, Permit


@dataclass(frozen=True, slots=True)
class CartSighting:
    """A cart by its newest retained state.

    Attributes:
        store: Where it is.
        cart: Its id.
        online: Whether it is connected.
        hardware: What it runs on.
        labels: Its owner's.
        model: Digest it says to run.
        since_ms: When `online` last changed, server clock.
        simulated: It says so.
    """

    store: str
    cart: str
    online: bool
    hardware: str
    labels: Mapping[str, str]
    model: str | None
    since_ms: int
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class CartReport:
    """A step that a cart told, not yet looked at.

    Attributes:
        store: Where it is.
        cart: Its id.
        rollout_id: Which rollout it means.
        attempt: Which try.
        step: Counts up within the try.
        state: The step.
        running: Digest it runs.
        why: Why it failed.
        at_ms: When the server received it.
    """

    store: str
    cart: str
    rollout_id: str
    attempt: int
    step: int
    state: DeviceState
    running: str | None
    why: str
    at_ms: int


class Fleet(Protocol):
    """The carts, over MQTT. Every method raises only `BrokerError`; all may be called from any thread."""

    def carts(self) -> Mapping[str, CartSighting]:
        """Return all carts that have ever been born, by id."""

    def reports(self) -> tuple[CartReport, ...]:
        """Return what came since the last call, in the order in which it came."""

    def tell(self, orders: Sequence[tuple[str, Desired] | Permit], timeout_s: float) -> int:
        """Publish retained messages in order, each (store/cart, Desired) or a Permit.

        Returns:
            How many of them, from the first, the broker has acknowledged.
        """

    def permits(self) -> Mapping[str, Permit]:
        """Return the permits that the broker holds, by rollout: what a cart that connects now reads."""

    def expect(self, orders: Iterable[tuple[str, Desired]]) -> None:
        """Note what carts were told before, so that it can be missed."""

    def missing(self, limit: int) -> Sequence[tuple[str, Desired]]:
        """Return at most so many orders that the broker lost, or holds in an older version."""

    def wait(self, timeout_s: float) -> bool:
        """Sleep until there is a report, or the time is over; whether there is one."""
