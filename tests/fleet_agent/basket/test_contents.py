"""Stories about the books of a shopping trip, and about the scale that checks them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.basket.contents import (
    MAX_BOOKINGS,
    Contents,
    book,
    correct,
    residual,
    trip,
    weigh,
)
from tests.fleet_agent.basket.rows import event, label

WEIGHTS = {"apple": (180.0, 10.0), "milk": (1000.0, 5.0)}


def put(contents: Contents, name: str, item_id: str, change_g: float, *, asked: bool = False) -> Contents:
    """Weigh and book one event."""
    level_g = (contents.level_g or 0.0) + change_g
    weighed = weigh(contents, change_g, level_g)
    return book(weighed, event(name, item_id, change_g, outcome="asked" if asked else "accepted"))


def test_accepted_items_lie_in_the_cart_until_they_are_taken_out() -> None:
    """In, in, out: one is left; and the trip is known completely."""
    books = put(put(put(trip("t"), "e1", "milk", 1000), "e2", "milk", 1000), "e3", "milk", -1000)
    assert books.pieces() == {"milk": 1}
    assert books.complete


def test_an_asked_item_is_pending_until_somebody_says_what_it_was() -> None:
    """The scan books it, as what it was."""
    asked = put(trip("t"), "e1", "milk", 1000, asked=True)
    assert (asked.pieces(), asked.pending, asked.complete) == ({}, 1, False)
    known = correct(asked, label("e1", "apple"))
    assert (known.pieces(), known.pending, known.complete) == ({"apple": 1}, 0, True)


def test_a_correction_replaces_what_was_booked() -> None:
    """Other item, other quantity, or nothing at all."""
    books = put(trip("t"), "e1", "milk", 1000)
    assert correct(books, label("e1", "apple", kind="correction", quantity=5)).pieces() == {"apple": 5}
    assert correct(books, label("e1", None, kind="correction", quantity=None)).pieces() == {}
    turned = correct(books, label("e1", "milk", kind="correction", direction="remove"))
    assert turned.pieces() == {}


def test_a_removal_of_what_was_not_there_does_not_eat_the_next_piece() -> None:
    """Out by mistake, then in: one lies in the cart, also when the mistake is so old that it is summed up."""
    books = put(put(trip("t"), "e1", "milk", -1000), "e2", "milk", 1000)
    assert books.pieces() == {"milk": 1}
    for number in range(MAX_BOOKINGS):
        books = put(books, f"later-{number}", "apple", 180)
    assert books.pieces() == {"milk": 1, "apple": MAX_BOOKINGS}


def test_labels_of_other_trips_change_nothing() -> None:
    """A late scan of yesterday's event is not of this cart."""
    books = put(trip("t"), "e1", "milk", 1000)
    assert correct(books, label("other", "apple")) is books


def test_a_trip_begins_empty_and_after_it_nothing_is_known() -> None:
    """Begin and end both clear; only within a trip are the books complete."""
    assert trip("t2") == Contents(begun=True)
    assert not trip(None).complete


def test_a_right_basket_agrees_with_the_scale() -> None:
    """Pieces within their spread leave a small z."""
    books = put(put(trip("t"), "e1", "apple", 188), "e2", "milk", 997)
    off = residual(books, WEIGHTS.get, 6.0)
    assert off is not None
    assert off.grams == pytest.approx(5.0)
    assert off.z == pytest.approx(5.0 / math.sqrt(6**2 + 10**2 + 5**2))
    assert not off.unresolved


def test_a_wrong_item_is_unresolved_until_it_is_corrected() -> None:
    """Booked as an apple, but 300 g of something: the scale contradicts; the correction resolves."""
    books = put(trip("t"), "e1", "apple", 300)
    off = residual(books, WEIGHTS.get, 6.0)
    assert off is not None
    assert off.unresolved
    right = residual(correct(books, label("e1", "unlisted", kind="correction")), WEIGHTS.get, 6.0)
    assert right is not None
    assert (right.grams, right.unresolved) == (0.0, False)


def test_what_was_in_the_cart_before_the_trip_does_not_count() -> None:
    """The scale is taken as it was before the first movement: a bag in the cart is no item."""
    books = book(weigh(trip("t"), 1000.0, 3500.0), event("e1", "milk", 1000.0))
    off = residual(books, WEIGHTS.get, 6.0)
    assert off is not None
    assert off.grams == 0.0


def test_a_scale_that_walks_shows_in_the_invariant() -> None:
    """Sixty grams of drift between two right events are no item, and the basket is unresolved."""
    books = put(trip("t"), "e1", "milk", 1000)
    books = book(weigh(books, 1000.0, 2060.0), event("e2", "milk", 1000.0))
    off = residual(books, WEIGHTS.get, 6.0)
    assert off is not None
    assert off.grams == pytest.approx(60.0)
    assert off.unresolved


def test_pending_items_explain_their_own_weight() -> None:
    """An open basket is open, not unresolved."""
    off = residual(put(trip("t"), "e1", "apple", 700, asked=True), WEIGHTS.get, 6.0)
    assert off is not None
    assert off.grams == 0.0


def test_before_the_first_movement_there_is_nothing_to_compare() -> None:
    """A new trip has no residual."""
    assert residual(trip("t"), WEIGHTS.get, 6.0) is None


moves = st.lists(
    st.tuples(st.sampled_from(["apple", "milk"]), st.sampled_from([-1, 1]), st.booleans(), st.booleans()),
    max_size=40,
)


@given(moves=moves)
def test_labels_of_the_truth_always_end_in_the_truth(moves: list[tuple[str, int, bool, bool]]) -> None:
    """However wrong the cart was, when every event is labelled the books hold what really moved."""
    books, truth = trip("t"), {"apple": 0, "milk": 0}
    for number, (item_id, sign, asked, wrong) in enumerate(moves):
        said = {"apple": "milk", "milk": "apple"}[item_id] if wrong else item_id
        books = put(books, f"e{number}", said, sign * WEIGHTS[item_id][0], asked=asked)
        truth[item_id] = max(0, truth[item_id] + sign)
    for number, (item_id, _, _, _) in enumerate(moves):
        books = correct(books, label(f"e{number}", item_id))
    assert books.pieces() == {item_id: n for item_id, n in truth.items() if n > 0}
    assert books.complete
    off = residual(books, WEIGHTS.get, 6.0)
    assert off is None or off.grams == pytest.approx(0.0, abs=1e-6)


def test_a_trip_without_end_stays_small_and_right() -> None:
    """Of thousands of events the older are summed up: memory is bounded, pieces and scale still agree."""
    books = trip("t")
    for number in range(3 * MAX_BOOKINGS):
        books = put(books, f"e{number}", "milk", 1000)
    assert len(books.bookings) == MAX_BOOKINGS
    assert books.pieces() == {"milk": 3 * MAX_BOOKINGS}
    off = residual(books, WEIGHTS.get, 6.0)
    assert off is not None
    assert off.grams == pytest.approx(0.0)
