"""Who gets the model first: drawn, stratified, and the same on every machine."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fleet_control.rollouts import membership
from fleet_control.rollouts.events import Candidate
from fleet_control.rollouts.plan import StagePlan, Target
from fleet_control.rollouts.ports import CartSighting
from tests.fleet_control.rollouts.worlds import candidates, plan, sightings

_fleets = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 2)), min_size=1, max_size=120).map(
    lambda drawn: [
        Candidate(f"s{store:03}", f"s{store:03}-c{index:03}", ("jetson", "orin", "pc")[hardware])
        for index, (store, hardware) in enumerate(drawn)
    ]
)


@given(_fleets, st.text(max_size=8), st.integers(0, 120))
def test_every_first_part_of_the_draw_has_its_share_of_every_stratum(
    fleet: list[Candidate], seed: str, size: int
) -> None:
    """Whatever the size, no store and hardware is off its share by more than one cart and a rounding."""
    drawn = membership.ordered(seed, fleet)
    assert {cart.cart for cart in drawn} == {cart.cart for cart in fleet}
    part = drawn[: min(size, len(drawn))]
    whole = Counter((cart.store, cart.hardware) for cart in fleet)
    got = Counter((cart.store, cart.hardware) for cart in part)
    # The cut lies at one place for all strata: each is within one of place * n, and so the place within
    # (number of strata) / N of size / N.
    for stratum, n in whole.items():
        slack = 1 + n * len(whole) / len(fleet)
        assert abs(got[stratum] - n * len(part) / len(fleet)) <= slack + 1e-9


@given(_fleets, st.text(max_size=8), st.randoms())
def test_the_draw_does_not_depend_on_the_order_in_which_carts_are_listed(
    fleet: list[Candidate], seed: str, random: st.DrawFn
) -> None:
    """Two controllers that list carts otherwise draw the same."""
    shuffled = list(fleet)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert membership.ordered(seed, fleet) == membership.ordered(seed, shuffled)


@given(_fleets, st.text(max_size=8), st.floats(1, 60), st.floats(60.5, 100))
def test_stages_never_share_a_cart_and_pairs_are_of_one_stratum(
    fleet: list[Candidate], seed: str, first: float, second: float
) -> None:
    """Later stages add to earlier ones; a control is of its canary's store and hardware, and stays behind."""
    target = membership.ordered(seed, fleet)
    canary = membership.draw_stage(seed, StagePlan(name="a", percent=first), target, ())
    names = {cart.cart for cart in canary.carts}
    rest = membership.draw_stage(seed, StagePlan(name="b", percent=second), target, names)
    assert names.isdisjoint(cart.cart for cart in rest.carts)
    both = len(canary.carts) + len(rest.carts)
    assert both == membership.size_upto(StagePlan(name="b", percent=second), len(target))
    of = {cart.cart: (cart.store, cart.hardware) for cart in fleet}
    controls = [control for _, control in canary.pairs]
    assert len(set(controls)) == len(controls)
    assert names.isdisjoint(controls)
    assert all(of[one] == of[other] for one, other in canary.pairs)


def test_which_of_a_pair_is_the_canary_is_a_fair_coin() -> None:
    """Over many seeds each of two carts alike is the canary about as often as the other."""
    fleet = candidates(1, 2)
    first = fleet[0].cart
    stage = StagePlan(name="canary", percent=50)
    chosen = [
        membership.draw_stage(str(seed), stage, membership.ordered(str(seed), fleet), ()).pairs[0][0]
        for seed in range(2_000)
    ]
    # Five standard deviations of a fair coin.
    assert abs(chosen.count(first) - 1_000) < 112


def test_named_carts_are_a_stage_without_pairs() -> None:
    """Nobody drew them, so nothing can be concluded from comparing them."""
    target = membership.ordered("x", candidates())
    stage = StagePlan(name="ours", carts=("s001-c01", "s002-c02", "unknown"))
    draw = membership.draw_stage("x", stage, target, ())
    assert {cart.cart for cart in draw.carts} == {"s001-c01", "s002-c02"}
    assert draw.pairs == ()


def test_a_target_chooses_by_store_cart_and_label() -> None:
    """Each filled field narrows the target; hardware is a label."""
    odd = CartSighting(
        "s009", "odd", online=True, hardware="orin", labels={"row": "front"}, model=None, since_ms=0
    )
    assert membership.is_target(Target(), odd)
    assert membership.is_target(Target(labels={"hardware": ("orin", "pc"), "row": ("front",)}), odd)
    assert not membership.is_target(Target(labels={"row": ("back",)}), odd)
    assert not membership.is_target(Target(stores=("s001",)), odd)
    assert not membership.is_target(Target(carts=("even",)), odd)


def test_a_percentage_of_the_target_leaves_the_others_out_altogether() -> None:
    """Ten percent of thirty carts are three, in binary fractions, too."""
    fleet = sightings(3, 10)
    chosen = membership.population(plan(target={"percent": 10}), fleet.values())
    assert len(chosen) == 3
    assert {cart.store for cart in chosen} == {"s001", "s002", "s003"}
