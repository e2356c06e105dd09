"""What the broker holds against what it should hold."""

from hypothesis import given
from hypothesis import strategies as st

from fleet_control.rollouts.retained import RetainedOrders
from fleet_protocol.rollouts import Desired
from tests.fleet_control.rollouts.worlds import MANIFESTS, MODEL

CARTS = ("s001/s001-c01", "s001/s001-c02")


def order(generation: int) -> Desired:
    """Return an order."""
    return Desired(generation=generation, model=MODEL, manifest=MANIFESTS[MODEL], rollout="autumn")


def test_an_older_order_is_stale_until_the_newest_is_back() -> None:
    """Whoever put the old one there: what is told again is the newest that was ever heard."""
    orders = RetainedOrders()
    for generation in (3, 5, 4):
        orders.hear(CARTS[0], order(generation))
    assert orders.stale(9) == ((CARTS[0], order(5)),)
    orders.hear(CARTS[0], order(5))
    assert orders.stale(9) == ()


def test_what_a_broker_does_not_tell_after_a_new_connection_it_has_lost() -> None:
    """And what was cleared on purpose is forgotten."""
    orders = RetainedOrders()
    for cart in CARTS:
        orders.hear(cart, order(1))
    orders.begin()
    assert len(orders.stale(9)) == 2
    assert len(orders.stale(1)) == 1
    orders.hear(CARTS[0], order(1))
    orders.hear(CARTS[1], None)
    orders.begin()
    assert orders.stale(9) == ((CARTS[0], order(1)),)


@given(st.lists(st.tuples(st.sampled_from(CARTS), st.integers(1, 9))))
def test_telling_what_is_stale_makes_nothing_stale(heard: list[tuple[str, int]]) -> None:
    """After the stale ones came, each cart's topic holds the highest generation of all."""
    orders, held = RetainedOrders(), {}
    for cart, generation in heard:
        orders.hear(cart, order(generation))
        held[cart] = generation
    for cart, newest in orders.stale(9):
        orders.hear(cart, newest)
        held[cart] = newest.generation
    assert orders.stale(9) == ()
    assert held == {cart: max(g for c, g in heard if c == cart) for cart in held}
