"""Stories about one decision from cameras and weight."""

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_agent.basket.evidence import overlaps
from fleet_agent.basket.fusion import CameraEvidence, Decision, fuse
from fleet_agent.basket.prior import Inside
from fleet_agent.basket.weighed import ItemWeights
from fleet_agent.config import FusionConfig
from fleet_agent.manifest import ItemClass
from fleet_agent.perception import Detection
from tests.fleet_agent.worlds import WEIGHTS_G, item

CONFIG = FusionConfig()
CLASSES = tuple(item(ix) for ix in range(3))
MIDDLE = (0.3, 0.3, 0.6, 0.6)


def seen(item_ix: int, score: float = 0.9, box: tuple[float, float, float, float] = MIDDLE) -> Detection:
    """Return a detection of an item; the other items score next to nothing."""
    scores = np.full(3, 0.02, np.float32)
    scores[item_ix] = score
    return Detection(item_ix, score, box, scores)


def camera(name: str, *detections: Detection, frames: int = 1) -> CameraEvidence:
    """Return what a camera saw in some equal frames."""
    return CameraEvidence(name, (detections,) * frames)


def decide(change_g: float, *evidence: CameraEvidence, config: FusionConfig = CONFIG) -> Decision:
    """Fuse."""
    return fuse(evidence, change_g, CLASSES, config)


def test_cameras_and_weight_that_agree_book_the_item() -> None:
    """A seen item of the right weight is accepted, with its direction and residual."""
    decision = decide(403.0, camera("front", seen(1)), camera("left", seen(1)))
    assert (decision.item_ix, decision.quantity, decision.direction) == (1, 1, "add")
    assert decision.outcome == "accepted"
    assert decision.posterior > 0.95
    assert decision.weight_residual_g == pytest.approx(3.0)
    assert decision.disagreeing == 0
    assert dict(decision.camera_confidence).keys() == {"front", "left"}


def test_the_sign_of_the_weight_is_the_direction() -> None:
    """What makes the cart lighter was taken out; the residual keeps measured minus expected."""
    decision = decide(-404.0, camera("front", seen(1)))
    assert (decision.item_ix, decision.direction) == (1, "remove")
    assert decision.weight_residual_g == pytest.approx(-4.0)


def test_two_pieces_weigh_twice() -> None:
    """Quantity comes from the weight."""
    decision = decide(2 * WEIGHTS_G[0] + 2, camera("front", seen(0)))
    assert (decision.item_ix, decision.quantity, decision.outcome) == (0, 2, "accepted")


def test_weight_without_a_picture_asks() -> None:
    """The weight alone names no item for sure: the shopper is asked, even where one item fits."""
    decision = decide(1000.0)
    assert decision.outcome == "asked"
    assert decision.item_ix == 2
    assert decision.camera_confidence == ()


def test_frames_without_detections_are_no_evidence() -> None:
    """A camera that saw nothing is as good as none."""
    assert decide(1000.0, CameraEvidence("front", ((), ()))) == decide(1000.0)


def test_a_picture_that_the_weight_contradicts_asks() -> None:
    """An item seen clearly whose weight is far off is not booked in silence."""
    assert decide(720.0, camera("front", seen(0))).outcome == "asked"


def test_the_weight_settles_what_the_cameras_cannot() -> None:
    """Between two look-alikes of different weight the scale decides."""
    alike = Detection(0, 0.6, MIDDLE, np.array([0.6, 0.55, 0.02], np.float32))
    assert decide(400.0, camera("front", alike)).item_ix == 1
    assert decide(150.0, camera("front", alike)).item_ix == 0


def test_cameras_settle_what_the_weight_cannot() -> None:
    """Between two items of one weight the cameras decide."""
    twins = (CLASSES[0], replace_weight(CLASSES[1], 150.0), CLASSES[2])
    decision = fuse([camera("front", seen(1))], 150.0, twins, CONFIG)
    assert (decision.item_ix, decision.outcome) == (1, "accepted")


def replace_weight(of: ItemClass, weight_g: float) -> ItemClass:
    """Return an item of another weight."""
    return msgspec.structs.replace(of, weight_g=weight_g)


def test_a_camera_that_disagrees_is_counted() -> None:
    """Two cameras against one: the one is outvoted and counted."""
    decision = decide(400.0, camera("front", seen(1)), camera("left", seen(1)), camera("right", seen(2)))
    assert decision.item_ix == 1
    assert decision.disagreeing == 1
    confidence = dict(decision.camera_confidence)
    assert confidence["right"] < 0.1
    assert confidence["front"] > 0.9


def test_what_lay_there_before_is_clutter() -> None:
    """An item at the same place before the movement is not what moved."""
    before = (seen(2),)
    evidence = CameraEvidence("front", ((seen(2), seen(1, 0.7, (0.0, 0.0, 0.2, 0.2))),), before)
    with_clutter = decide(400.0, evidence)
    assert (with_clutter.item_ix, with_clutter.outcome) == (1, "accepted")
    assert dict(with_clutter.camera_confidence)["front"] > 0.9


def test_more_correlated_cameras_are_worth_less() -> None:
    """Three views of one mistake do not count as three witnesses."""
    views = [camera(name, seen(1, 0.6)) for name in ("a", "b", "c")]
    alone = decide(720.0, views[0], config=replace(CONFIG, accept_posterior=0.5))
    same = decide(720.0, *views, config=replace(CONFIG, camera_correlation=1.0))
    free = decide(720.0, *views, config=replace(CONFIG, camera_correlation=0.0))
    assert same.top[0][1] == pytest.approx(alone.top[0][1], abs=1e-9)
    assert free.margin != pytest.approx(same.margin)


def test_a_hotter_temperature_is_less_sure() -> None:
    """The model's calibration reaches the posterior."""
    cold = fuse([camera("a", seen(1, 0.5))], 400.0, CLASSES, CONFIG, temperature=0.5)
    hot = fuse([camera("a", seen(1, 0.5))], 400.0, CLASSES, CONFIG, temperature=5.0)
    assert dict(cold.camera_confidence)["a"] > dict(hot.camera_confidence)["a"]


def test_a_prior_rules_items_out() -> None:
    """What cannot be there (a basket without it) is not chosen."""
    prior = np.array([1.0, 0.0, 0.0])
    assert fuse([camera("a", seen(1, 0.5))], 150.0, CLASSES, CONFIG, prior=prior).item_ix == 0


@settings(max_examples=150, deadline=None)
@given(
    scores=st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=0, max_size=8),
    cameras=st.integers(1, 4),
    change_g=st.one_of(st.floats(10, 20_000), st.floats(-20_000, -10)),
)
def test_every_decision_is_a_probability(scores: list[list[float]], cameras: int, change_g: float) -> None:
    """Whatever is seen and weighed, the numbers are finite, in range and consistent."""
    frames = tuple((Detection(int(np.argmax(s)), max(s), MIDDLE, np.array(s, np.float32)),) for s in scores)
    decision = decide(change_g, *(CameraEvidence(f"c{i}", frames) for i in range(cameras)))
    assert 0 <= decision.margin <= decision.posterior <= 1 + 1e-9
    assert all(0 <= p <= 1 + 1e-9 for _, p in decision.top)
    assert [p for _, p in decision.top] == sorted((p for _, p in decision.top), reverse=True)
    assert sum(p for _, p in decision.top) <= 1 + 1e-9
    assert decision.direction == ("add" if change_g > 0 else "remove")
    assert all(math.isfinite(p) for _, p in decision.camera_confidence)
    if decision.outcome == "accepted":
        assert decision.posterior >= CONFIG.accept_posterior
        assert scores


@settings(max_examples=40, deadline=None)
@given(order=st.permutations(range(4)))
def test_the_order_of_cameras_does_not_matter(order: list[int]) -> None:
    """Evidence is a set."""
    views = [camera(f"c{i}", seen(i % 3, 0.5 + i / 10)) for i in range(4)]
    assert decide(400.0, *(views[i] for i in order)).posterior == pytest.approx(
        decide(400.0, *views).posterior
    )


def test_overlap_of_boxes() -> None:
    """Intersection over union by hand: the same, half of it, beside it, and without area."""
    boxes = np.array([(0, 0, 1, 1), (0.5, 0, 1.5, 1), (2, 2, 3, 3), (0.5, 0.5, 0.5, 0.5)])
    assert overlaps(boxes[:1], boxes)[0] == pytest.approx([1.0, 1 / 3, 0.0, 0.0])


def inside(*pieces: int, complete: bool = True) -> Inside:
    """Return what the books say lies in the cart."""
    return Inside(np.array(pieces, np.float64), complete)


def test_two_different_items_at_once_are_a_pair() -> None:
    """Both were seen and the weight is that of both: two items, one piece each, and both in `items`."""
    both = CameraEvidence("front", ((seen(0),), (seen(1),), (seen(0), seen(1, box=(0.0, 0.0, 0.2, 0.2)))))
    decision = decide(WEIGHTS_G[0] + WEIGHTS_G[1] + 3.0, both)
    assert (decision.kind, sorted(decision.items), decision.quantity) == ("pair", [0, 1], 1)
    assert decision.outcome == "accepted"
    assert decision.weight_residual_g == pytest.approx(3.0)
    assert dict(decision.camera_confidence)["front"] > 0.9


def test_one_item_of_a_pair_seen_alone_is_no_pair() -> None:
    """A second item that nobody saw is not made up from the weight."""
    decision = decide(WEIGHTS_G[0] + WEIGHTS_G[1], camera("front", seen(0)), camera("left", seen(0)))
    assert decision.outcome == "asked"


def test_look_alikes_in_turn_are_one_item_when_the_weight_says_so() -> None:
    """Frames that cannot agree between two items are no pair if the weight is that of one."""
    flickering = CameraEvidence("front", ((seen(0),), (seen(1),), (seen(1),)))
    assert (decide(400.0, flickering).kind, decide(400.0, flickering).item_ix) == ("item", 1)


def test_a_small_change_that_nobody_saw_is_a_shift() -> None:
    """A load that settles is no item: nothing is booked and nobody is asked."""
    decision = decide(12.0)
    assert (decision.kind, decision.item_ix, decision.items) == ("shift", None, ())
    assert decision.weight_residual_g is None
    assert decision.posterior > CONFIG.accept_posterior


def test_a_small_change_with_an_item_in_view_asks() -> None:
    """A light item may have been put in: a shift must be sure, or the shopper is asked."""
    views = [camera(name, seen(0), frames=4) for name in ("front", "left", "right")]
    decision = decide(13.0, *views, config=replace(CONFIG, weight_outlier_share=0.4, shift_sd_g=3.0))
    assert decision.kind != "shift"
    assert decision.outcome == "asked"


def test_only_what_lies_in_the_cart_is_taken_out() -> None:
    """Two look-alikes of one weight: the one that lies in the cart was taken."""
    twins = (CLASSES[0], replace_weight(CLASSES[1], 150.0), CLASSES[2])
    alike = camera("front", Detection(0, 0.6, MIDDLE, np.array([0.6, 0.55, 0.02], np.float32)))
    free = fuse([alike], -150.0, twins, CONFIG)
    bound = fuse([alike], -150.0, twins, CONFIG, inside=inside(0, 1, 3))
    assert free.item_ix == 0
    assert (bound.item_ix, bound.outcome) == (1, "accepted")


def test_no_more_is_taken_out_than_lies_there() -> None:
    """Of one piece in the cart two cannot be taken: what weighs like two of it is the other item."""
    classes = (CLASSES[0], replace_weight(CLASSES[1], 300.0), CLASSES[2])
    alike = camera("front", Detection(0, 0.9, MIDDLE, np.array([0.9, 0.4, 0.02], np.float32)))
    assert fuse([alike], -300.0, classes, CONFIG, inside=inside(2, 1, 0)).quantity == 2
    one = fuse([alike], -300.0, classes, CONFIG, inside=inside(1, 1, 0))
    assert (one.item_ix, one.quantity) == (1, 1)


def test_a_wrongly_booked_cart_does_not_hide_a_true_removal() -> None:
    """What is seen clearly and weighs right is recognised; the books do not have it, so it is asked."""
    views = [camera(name, seen(2), frames=3) for name in ("front", "left")]
    decision = decide_removal(-1000.0, views, inside(1, 1, 0))
    assert (decision.item_ix, decision.outcome) == (2, "asked")
    opened = decide_removal(-1000.0, views, inside(1, 1, 0, complete=False))
    assert (opened.item_ix, opened.outcome) == (2, "accepted")


def test_an_open_basket_binds_less() -> None:
    """While something in the cart is unconfirmed, what the books do not have is less unlikely."""
    views = [camera("front", seen(2, 0.4))]
    closed = decide_removal(-1000.0, views, inside(3, 3, 0))
    opened = decide_removal(-1000.0, views, inside(3, 3, 0, complete=False))
    assert opened.top[0][0] == closed.top[0][0] == 2
    assert opened.top[0][1] > closed.top[0][1]


def test_nothing_is_booked_out_of_an_empty_cart() -> None:
    """However clearly it is seen, what leaves a cart that is known to be empty is asked about."""
    clearly = [camera(name, seen(1), frames=4) for name in ("front", "left", "right")]
    assert decide_removal(-400.0, clearly, inside(0, 0, 0)).outcome == "asked"
    faintly = [camera("front", seen(1, 0.4))]
    free = decide_removal(-400.0, faintly, None)
    assert decide_removal(-400.0, faintly, inside(0, 0, 0)).top[0][1] < free.top[0][1]


def test_an_open_empty_cart_binds_nothing() -> None:
    """Outside a trip, or with an unconfirmed item, empty books are of no use: the cameras decide."""
    views = [camera("front", seen(1))]
    books = inside(0, 0, 0, complete=False)
    assert decide_removal(-400.0, views, books) == decide_removal(-400.0, views, None)


def decide_removal(change_g: float, evidence: list[CameraEvidence], books: Inside | None) -> Decision:
    """Fuse with books."""
    return fuse(evidence, change_g, CLASSES, CONFIG, inside=books)


def test_a_learned_weight_decides() -> None:
    """Packaging that became lighter is no longer taken for another item."""
    learned = ItemWeights(np.array([150.0, 372.0, 1000.0]), np.array([3.0, 3.0, 3.0]))
    assert decide(372.0, camera("front", seen(1, 0.5))).outcome == "asked"
    decision = fuse([camera("front", seen(1, 0.5))], 372.0, CLASSES, CONFIG, weights=learned)
    assert (decision.item_ix, decision.outcome) == (1, "accepted")
    assert decision.weight_residual_g == pytest.approx(0.0)


def test_scores_that_are_no_numbers_say_nothing() -> None:
    """One frame of a network that is out of its mind does not spoil the others."""
    broken = Detection(1, 0.9, MIDDLE, np.full(3, np.nan, np.float32))
    decision = decide(400.0, CameraEvidence("front", ((broken,), (seen(1),))))
    assert (decision.item_ix, decision.outcome) == (1, "accepted")
    assert math.isfinite(decision.posterior)


@settings(max_examples=80, deadline=None)
@given(
    pieces=st.lists(st.integers(0, 4), min_size=3, max_size=3),
    complete=st.booleans(),
    item_ix=st.integers(0, 2),
    change_g=st.floats(-3000, -10),
)
def test_the_books_never_break_a_decision(
    pieces: list[int], item_ix: int, change_g: float, *, complete: bool
) -> None:
    """Whatever the books say, probabilities stay probabilities."""
    books = inside(*pieces, complete=complete)
    decision = decide_removal(change_g, [camera("front", seen(item_ix, 0.7))], books)
    assert 0 <= decision.margin <= decision.posterior <= 1 + 1e-9
    assert sum(p for _, p in decision.top) <= 1 + 1e-9
    assert decision.direction == "remove"


def test_a_catalogue_of_one_item_is_decided() -> None:
    """There are no pairs then, and the item is booked."""
    lonely = Detection(0, 0.9, MIDDLE, np.array([0.9], np.float32))
    decision = fuse([camera("front", lonely)], 150.0, CLASSES[:1], CONFIG)
    assert (decision.item_ix, decision.kind) == (0, "item")


def test_shares_that_leave_nothing_for_items_are_refused() -> None:
    """The shares of everything that is no single item stay below 1 together."""
    with pytest.raises(ValueError, match="together must be below 1"):
        FusionConfig(unknown_share=0.5, pair_share=0.3, shift_share=0.2)


def test_a_hand_that_leaned_and_is_lifted_is_a_shift() -> None:
    """What takes back a change that nobody saw is no removal; without that change it is asked about."""
    assert fuse((), -700.0, CLASSES, CONFIG, returning_g=-703.0).kind == "shift"
    assert fuse((), -700.0, CLASSES, CONFIG).kind == "unknown"
    assert fuse((), -650.0, CLASSES, CONFIG, returning_g=-703.0).kind == "unknown"


def test_an_item_that_is_seen_to_leave_is_no_lifted_hand() -> None:
    """It was put in unseen; the cameras see it go."""
    views = [camera(name, seen(1), frames=4) for name in ("front", "left", "right")]
    decision = fuse(views, -400.0, CLASSES, CONFIG, returning_g=-400.0)
    assert (decision.kind, decision.item_ix) == ("item", 1)


def test_two_items_in_view_are_not_two_pieces_of_one() -> None:
    """Side by side in every frame, and two of one weigh nearly the same: it is a pair all the same."""
    classes = (CLASSES[0], replace_weight(CLASSES[1], 158.0), CLASSES[2])
    side_by_side = camera("front", seen(0), seen(1, box=(0.0, 0.0, 0.2, 0.2)), frames=4)
    decision = fuse([side_by_side], 308.0, classes, CONFIG)
    assert (decision.kind, set(decision.items)) == ("pair", {0, 1})
