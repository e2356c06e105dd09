"""What the broker holds against what it should hold."""

from hypothesis import given
from hypothesis import strategies as st

from fleet_control.rollouts.retained import NOTHING, RetainedOrders
from fleet_protocol.rollouts import Desired
from tests.fleet_control.rollouts.worlds import MANIFESTS, MODEL

CARTS = ("s001/s001-c01", "s001/s001-c02")


def order(generation: int) -> Desired:
    """Return an order."""
    return Desired(generation=generation, model=MODEL, manifest=MANIFESTS[MODEL], rollout="autumn")


def told(orders: RetainedOrders, cart: str, generation: int) -> None:
    """Let an order be told, acknowledged and heard."""
    orders.issue(cart, order(generation))
    orders.acknowledged(cart)
    orders.hear(cart, generation)


def test_an_older_order_is_missed_until_the_newest_is_back() -> None:
    """Whoever put the old one there, or something that is no order at all."""
    orders = RetainedOrders()
    told(orders, CARTS[0], 5)
    for held in (4, NOTHING):
        orders.hear(CARTS[0], held)
        assert orders.missing(9) == ((CARTS[0], order(5)),)
    orders.acknowledged(CARTS[0])
    assert orders.missing(9) == ()


def test_what_a_broker_does_not_tell_after_a_new_connection_it_has_lost() -> None:
    """And what was cleared on purpose is forgotten."""
    orders = RetainedOrders()
    for cart in CARTS:
        told(orders, cart, 1)
    orders.begin()
    assert len(orders.missing(9)) == 2
    assert len(orders.missing(1)) == 1
    orders.hear(CARTS[0], 1)
    orders.forget(CARTS[1])
    orders.begin()
    assert orders.missing(9) == ((CARTS[0], order(1)),)


def test_what_a_controller_before_us_told_is_missed_too_and_what_is_newer_is_left_alone() -> None:
    """It may be of a controller that drives by now, or of a database before this one."""
    orders = RetainedOrders()
    orders.hear(CARTS[0], 7)
    for cart in CARTS:
        orders.expect(cart, order(5))
    assert orders.missing(9) == ((CARTS[1], order(5)),)
    orders.expect(CARTS[1], order(4))
    assert orders.missing(9) == ((CARTS[1], order(5)),)


def test_an_order_on_its_way_is_not_missed() -> None:
    """It would be told twice."""
    orders = RetainedOrders()
    told(orders, CARTS[0], 1)
    orders.issue(CARTS[0], order(2))
    assert orders.missing(9) == ()
    orders.hear(CARTS[0], 1)
    assert orders.missing(9) == ((CARTS[0], order(2)),)


@given(st.lists(st.tuples(st.sampled_from(CARTS), st.integers(1, 9), st.booleans())))
def test_after_what_is_missing_was_told_nothing_is(happening: list[tuple[str, int, bool]]) -> None:
    """Orders of ours and words of strangers in any order: each topic ends with no less than ours."""
    orders, held, ours = RetainedOrders(), dict.fromkeys(CARTS, 0), dict.fromkeys(CARTS, 0)
    for cart, generation, mine in happening:
        if mine and generation > ours[cart]:
            ours[cart] = held[cart] = generation
            told(orders, cart, generation)
        elif not mine:
            held[cart] = generation
            orders.hear(cart, generation)
    for cart, newest in orders.missing(9):
        held[cart] = newest.generation
        told(orders, cart, newest.generation)
    assert orders.missing(9) == ()
    assert all(held[cart] >= ours[cart] for cart in CARTS)
