"""Stories about one cart's basket: books, scans, learning, and what it reports."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.basket.basket import RECENT_EVENTS, Basket, make_basket
from fleet_agent.basket.weight_store import WeightStore
from fleet_agent.config import FusionConfig
from fleet_agent.events import ItemEvent, Label
from fleet_agent.settling import WeightChange
from fleet_agent.telemetry import Telemetry
from tests.fleet_agent.basket.rows import event, label
from tests.fleet_agent.worlds import item, manifest

CLASSES = tuple(item(ix) for ix in range(3))


class Cart:
    """A basket, its telemetry, and a scale that shows what is put in."""

    def __init__(self, store: WeightStore | None = None, settings: FusionConfig | None = None) -> None:
        self.telemetry = Telemetry()
        self.basket = Basket(CLASSES, settings or FusionConfig(), store=store, telemetry=self.telemetry)
        self.level_g = 0.0

    def move(self, *events: ItemEvent, change_g: float | None = None) -> None:
        """Weigh and book the events of one change."""
        moved_g = sum(e.weight_change_g for e in events) if change_g is None else change_g
        self.level_g += moved_g
        self.basket.book(events, WeightChange(moved_g, 1.0, 1.5, 2.0, self.level_g))

    def counter(self, name: str) -> int:
        """Return a counter since the start."""
        return self.telemetry.totals().counters.get(name, 0)

    def gauge(self, name: str) -> float | None:
        """Return a gauge."""
        return self.telemetry.totals().gauges.get(name)

    def mean_g(self) -> float:
        """Return what the 400 g item is taken to weigh."""
        return float(self.basket.weights.mean_g[1])


def test_a_scan_of_an_asked_event_books_it_and_teaches_its_weight() -> None:
    """The shopper was asked, scanned, and the cart knows the item and a little of its weight."""
    cart = Cart()
    cart.basket.session("trip")
    cart.move(event("e1", None, 412.0, outcome="asked"))
    assert (cart.gauge("basket_pending"), cart.gauge("basket_pieces")) == (1.0, 0.0)
    cart.basket.label(label("e1", "item-1"))
    assert cart.basket.contents.pieces() == {"item-1": 1}
    assert cart.mean_g() == pytest.approx(402.0)
    assert cart.counter("weights_learned") == 1
    assert (cart.gauge("basket_pending"), cart.gauge("basket_pieces")) == (0.0, 1.0)


@pytest.mark.parametrize(
    "said",
    [
        label("e1", "item-1", kind="correction"),
        label("e1", "item-1", kind="audit"),
        label("e1", "item-1", quantity=2),
        label("e1", None),
        label("e1", "nobody"),
        label("e1", "item-1", direction="remove"),
        label("other", "item-1"),
    ],
)
def test_nothing_but_a_scan_of_one_piece_teaches(said: Label) -> None:
    """Corrections on a screen, audits, two pieces, nothing, unknown items, other events: no lesson."""
    cart = Cart()
    cart.move(event("e1", "item-1", 412.0))
    cart.basket.label(said)
    assert cart.mean_g() == 400.0
    assert cart.counter("weights_learned") == 0


@given(changes_g=st.lists(st.floats(300, 500), max_size=30), asked=st.booleans())
def test_events_that_nobody_confirms_never_teach(changes_g: list[float], *, asked: bool) -> None:
    """However often and however surely the cart decides, its weights stay: it does not teach itself."""
    cart = Cart()
    for number, change_g in enumerate(changes_g):
        cart.move(event(f"e{number}", "item-1", change_g, outcome="asked" if asked else "accepted"))
    assert cart.mean_g() == 400.0


def test_an_event_teaches_once() -> None:
    """A second scan of the same event is no second weighing."""
    cart = Cart()
    cart.move(event("e1", "item-1", 412.0))
    cart.basket.label(label("e1", "item-1"))
    cart.basket.label(label("e1", "item-1"))
    assert cart.counter("weights_learned") == 1


def test_an_item_of_a_pair_teaches_nothing() -> None:
    """Its part of the weight was not weighed but calculated."""
    cart = Cart()
    cart.move(event("e1", "item-1", 412.0), event("e2", "item-0", 150.0))
    cart.basket.label(label("e1", "item-1"))
    assert cart.mean_g() == 400.0
    assert cart.basket.contents.pieces() == {"item-1": 1, "item-0": 1}


def test_a_scan_of_what_weighs_otherwise_is_refused_and_counted() -> None:
    """A 900 g piece of a 400 g item was something else: booked as scanned, learned as nothing."""
    cart = Cart()
    cart.move(event("e1", "item-1", 900.0))
    cart.basket.label(label("e1", "item-1"))
    assert cart.counter("weights_refused") == 1
    assert cart.mean_g() == 400.0


def test_learning_can_be_turned_off() -> None:
    """The setting keeps the catalogue's weights; the books follow the scan all the same."""
    cart = Cart(settings=FusionConfig(learn_weights=False))
    cart.move(event("e1", None, 412.0, outcome="asked"))
    cart.basket.label(label("e1", "item-1"))
    assert (cart.mean_g(), cart.basket.contents.pieces()) == (400.0, {"item-1": 1})


def test_a_late_scan_teaches_but_does_not_book_into_the_next_trip() -> None:
    """The trip is over; the weighing was right all the same."""
    cart = Cart()
    cart.basket.session("one")
    cart.move(event("e1", "item-1", 412.0))
    cart.basket.session("two")
    cart.basket.label(label("e1", "item-1"))
    assert cart.basket.contents.pieces() == {}
    assert cart.counter("weights_learned") == 1


def test_old_events_are_forgotten() -> None:
    """The memory of events is bounded: a scan long after teaches nothing."""
    cart = Cart()
    for number in range(RECENT_EVENTS + 1):
        cart.move(event(f"e{number}", "item-1", 412.0))
    cart.basket.label(label("e0", "item-1"))
    assert cart.counter("weights_learned") == 0
    cart.basket.label(label("e1", "item-1"))
    assert cart.counter("weights_learned") == 1


def test_a_basket_that_the_scale_contradicts_is_reported_once() -> None:
    """Counted when it begins, shown as long as it lasts, gone when it is corrected, counted again after."""
    cart = Cart()
    cart.basket.session("trip")
    cart.move(event("e1", "item-1", 470.0))
    cart.move(event("e2", "item-0", 150.0))
    assert cart.counter("basket_unresolved") == 1
    assert cart.gauge("basket_residual_g") == pytest.approx(70.0)
    assert (cart.gauge("basket_z") or 0.0) > 3.0
    cart.basket.label(label("e1", "unlisted", kind="correction"))
    assert cart.gauge("basket_residual_g") == pytest.approx(0.0)
    cart.move(event("e3", "item-0", 250.0))
    assert cart.counter("basket_unresolved") == 2


def test_a_trip_that_ends_open_is_counted_and_the_next_is_empty() -> None:
    """An asked item that nobody scanned leaves a mark in the telemetry, not in the next trip."""
    cart = Cart()
    cart.basket.session("one")
    cart.move(event("e1", None, 412.0, outcome="asked"))
    cart.basket.session(None)
    assert cart.counter("basket_open_at_end") == 1
    assert cart.gauge("basket_residual_g") is None
    assert not cart.basket.inside().complete
    cart.basket.session("two")
    assert cart.basket.inside().complete


def test_a_shift_is_weighed_and_books_nothing() -> None:
    """The weight moved without an item: the residual shows it."""
    cart = Cart()
    cart.basket.session("trip")
    cart.move(change_g=12.0)
    assert cart.basket.contents.pieces() == {}
    assert cart.gauge("basket_residual_g") == pytest.approx(12.0)


def test_what_lies_in_the_cart_is_in_the_order_of_the_classes() -> None:
    """The fusion gets counts by class."""
    cart = Cart()
    cart.move(event("e1", "item-2", 2000.0, quantity=2))
    assert cart.basket.inside().pieces.tolist() == [0.0, 0.0, 2.0]


def test_learned_weights_are_there_after_a_restart(tmp_path: Path) -> None:
    """The file is beside the spool."""
    spool = tmp_path / "spool.db"
    first = make_basket(FusionConfig(), manifest(), Telemetry(), beside=spool)
    first.book((event("e1", "item-1", 412.0),), WeightChange(412.0, 0.0, 0.5, 1.0, 412.0))
    first.label(label("e1", "item-1"))
    assert (tmp_path / "spool.weights.json").exists()
    again = make_basket(FusionConfig(), manifest(), Telemetry(), beside=spool)
    assert again.weights.mean_g.tolist() == first.weights.mean_g.tolist()
    assert again.weights.mean_g[1] == pytest.approx(402.0)


def test_a_damaged_file_starts_from_the_catalogue_and_is_counted(tmp_path: Path) -> None:
    """The cart goes on; the next lesson writes a good file."""
    path = tmp_path / "w.json"
    path.write_text("{half")
    cart = Cart(WeightStore(path))
    assert (cart.mean_g(), cart.counter("weights_damaged")) == (400.0, 1)
    cart.move(event("e1", "item-1", 412.0))
    cart.basket.label(label("e1", "item-1"))
    assert Cart(WeightStore(path)).mean_g() == pytest.approx(402.0)


def test_a_full_disk_costs_the_file_and_not_the_lesson(tmp_path: Path) -> None:
    """What cannot be saved is counted and still known until the restart."""
    cart = Cart(WeightStore(tmp_path / "gone" / "w.json"))
    cart.move(event("e1", "item-1", 412.0))
    cart.basket.label(label("e1", "item-1"))
    assert cart.counter("weights_unsaved") == 1
    assert cart.mean_g() == pytest.approx(402.0)


def test_a_booking_without_a_level_is_booked_all_the_same() -> None:
    """Who weighs without telling the level gets books and no residual."""
    cart = Cart()
    cart.basket.book((event("e1", "item-1", 400.0),), replace(WeightChange(400.0, 0.0, 0.5, 1.0)))
    assert cart.basket.contents.pieces() == {"item-1": 1}
    assert cart.gauge("basket_residual_g") is None


def unseen(event_id: str, change_g: float) -> ItemEvent:
    """Return an asked event that no camera saw."""
    return replace(event(event_id, None, change_g, outcome="asked"), camera_confidence=())


def test_a_hand_that_leaned_and_is_lifted_leaves_nothing_open() -> None:
    """The unseen change is waited for to come back; when it has, the basket is as before."""
    cart = Cart()
    cart.basket.session("trip")
    cart.move(event("e1", "item-1", 400.0))
    cart.move(unseen("e2", 900.0))
    assert cart.basket.returning_g() == pytest.approx(-900.0)
    cart.move(change_g=-905.0)
    assert cart.basket.returning_g() is None
    assert (cart.gauge("basket_pending"), cart.counter("leans")) == (0.0, 1)
    assert cart.gauge("basket_residual_g") == pytest.approx(-5.0)
    assert cart.basket.contents.pieces() == {"item-1": 1}


def test_only_the_last_unseen_and_unconfirmed_change_is_waited_for() -> None:
    """Seen changes, scanned ones and those before another movement stay what they are."""
    cart = Cart()
    cart.move(event("e1", None, 900.0, outcome="asked"))
    assert cart.basket.returning_g() is None
    cart.move(unseen("e2", 900.0))
    cart.basket.label(label("e2", "item-2"))
    assert cart.basket.returning_g() is None
    cart.move(unseen("e3", 900.0))
    cart.move(event("e4", "item-1", 400.0))
    assert cart.basket.returning_g() is None
    cart.move(unseen("e5", 900.0))
    cart.basket.session("next")
    assert cart.basket.returning_g() is None


def test_a_small_shift_does_not_take_back_a_large_change() -> None:
    """Twelve grams after an unseen kilogram are a shift; the kilogram stays pending."""
    cart = Cart()
    cart.move(unseen("e1", 1000.0))
    cart.move(change_g=12.0)
    assert (cart.gauge("basket_pending"), cart.counter("leans")) == (1.0, 0)


def test_what_settles_after_a_trip_belongs_to_the_trip_in_which_it_began() -> None:
    """An item put in just before the next shopper begins is in the books of the one before."""
    cart = Cart()
    cart.basket.session("a", 0.0)
    cart.basket.session(None, 1.2)
    cart.basket.session("b", 1.3)
    with cart.basket.trip_of(1.0):
        assert cart.basket.session_id == "a"
        cart.move(event("e1", "item-1", 400.0))
        assert cart.basket.contents.pieces() == {"item-1": 1}
    assert (cart.basket.session_id, cart.basket.contents.pieces()) == ("b", {})
    assert cart.gauge("basket_pieces") == 0.0
    with cart.basket.trip_of(1.1):
        assert cart.basket.contents.pieces() == {"item-1": 1}
    with cart.basket.trip_of(1.3):
        assert cart.basket.session_id == "b"
