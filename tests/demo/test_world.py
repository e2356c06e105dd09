"""The simulated world: places, light, faults, shoppers."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.errors import SettingsError
from demo.world.faults import LAMP_FLOOR, SMEAR_LEVEL
from demo.world.places import is_open, open_stores, shop_light, traffic
from demo.world.settings import World, WorldSettings
from demo.world.shoppers import CORRECTS_WRONG, Claim, Move, draw_trip, react, tastes
from tests.demo.conftest import EPOCH_MS
from training.scenes import CATALOGUE, Direction

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def test_the_same_settings_make_the_same_world(world: World) -> None:
    """A world follows from its settings alone."""
    again = World(world.settings)
    assert (again.stores, again.carts, again.faults) == (world.stores, world.carts, world.faults)


def test_stores_have_names_zones_and_ids_of_the_contract() -> None:
    """The four default stores lie in four towns and are called as topics allow."""
    stores = open_stores(4)
    assert [store.store_id for store in stores] == ["s001", "s002", "s003", "s004"]
    assert len({store.town.city for store in stores}) == 4
    assert len({store.name for store in open_stores(20)}) == 20


@pytest.mark.parametrize(("stores", "carts", "days"), [(0, 1, 1), (100, 1, 1), (1, 0, 1), (1, 1, 41)])
def test_a_world_out_of_range_is_refused(stores: int, carts: int, days: int) -> None:
    """Numbers that make no sense are refused with the name of the option."""
    with pytest.raises(SettingsError, match="--"):
        World(WorldSettings(seed=1, stores=stores, carts_per_store=carts, history_days=days, epoch_ms=0))


def test_nobody_shops_at_night(world: World) -> None:
    """Traffic is 0 exactly when a store is closed, and Saturday is busier than Sunday."""
    store = world.stores[0]
    hours = [EPOCH_MS + n * HOUR_MS for n in range(7 * 24)]
    assert all((traffic(store, at) > 0) == is_open(store, at) for at in hours)
    by_day = [sum(traffic(store, at) for at in hours[n * 24 : n * 24 + 24]) for n in range(7)]
    saturday, sunday = by_day[3], by_day[4]
    assert saturday > 1.5 * sunday


def test_the_lamp_of_one_store_fades_slowly(world: World) -> None:
    """The second store's light falls day by day, the other's does not."""
    dim, fine = world.stores[1], world.stores[0]
    days = [EPOCH_MS + n * DAY_MS for n in range(-8, 4)]
    left = [world.faults.lamp_of(dim.store_id, at) for at in days]
    assert left[0] == 1.0
    assert left == sorted(left, reverse=True)
    assert left[-1] == pytest.approx(LAMP_FLOOR)
    assert shop_light(dim, days[-1], left[-1]) < 0.5 * shop_light(dim, days[0], left[0])
    assert {world.faults.lamp_of(fine.store_id, at) for at in days} == {1.0}


def test_one_camera_of_one_cart_is_smeared(world: World) -> None:
    """Exactly one camera is smeared at last, and none was a week ago."""
    now = [world.faults.smear_of(c.cart_id, cam, EPOCH_MS) for c in world.carts for cam in c.cameras]
    assert sorted(now)[-2:] == [0.0, SMEAR_LEVEL]
    victim = next(c for c in world.carts if any("smear" in f for f in world.faults.active(c, EPOCH_MS)))
    assert not any("smear" in name for name in world.faults.active(victim, EPOCH_MS - 7 * DAY_MS))


def test_one_camera_hangs_now_and_then_while_the_demo_runs(world: World) -> None:
    """Never in the history, then four of every twelve minutes, at one cart only."""
    minutes = {minute: EPOCH_MS + minute * 60_000 for minute in range(-60, 26)}
    hung = [
        [minute for minute, at in minutes.items() if world.faults.frozen(cart.cart_id, camera, at)]
        for cart in world.carts
        for camera in cart.cameras
    ]
    assert [m for m in hung if m] == [[2, 3, 4, 5, 14, 15, 16, 17]]
    assert any("freeze/" in name for name in world.faults.active(world.carts[-1], EPOCH_MS + 180_000))


def test_a_world_of_one_store_has_both_faults() -> None:
    """Even the smallest demo shows a dim lamp and a smeared camera."""
    tiny = World(WorldSettings(seed=1, stores=1, carts_per_store=1, history_days=1, epoch_ms=EPOCH_MS))
    assert set(tiny.faults.active(tiny.carts[0], EPOCH_MS)) == {"lamp", "smear/front"}


@given(seed=st.integers(0, 2**31), store=st.integers(0, 9))
def test_trips_never_take_out_what_is_not_in(seed: int, store: int) -> None:
    """Whatever the seed, a shopper takes back only what was picked before."""
    rng = np.random.default_rng(seed)
    basket = [0] * len(CATALOGUE)
    for move in draw_trip(rng, tastes(seed, store)):
        basket[move.item_ix] += move.quantity if move.direction is Direction.ADD else -move.quantity
        assert min(basket) >= 0


def _moves(seed: int, n: int) -> list[Move]:
    rng = np.random.default_rng(seed)
    taste = tastes(seed, 0)
    return [move for _ in range(n) for move in islice(draw_trip(rng, taste), 30)]


def test_shoppers_are_repeatable_and_do_everything() -> None:
    """One seed gives one story; in it are additions, removals and pairs."""
    moves = _moves(5, 60)
    assert moves == _moves(5, 60)
    assert moves != _moves(6, 60)
    assert {move.direction for move in moves} == {Direction.ADD, Direction.REMOVE}
    assert {move.quantity for move in moves} == {1, 2}


def test_people_correct_some_errors_but_nothing_that_is_right() -> None:
    """Corrections come for wrong events only, and for their declared share of those."""
    rng = np.random.default_rng(1)
    truth, wrong = Claim("cola-zero", 1, "add"), Claim("cola-classic", 1, "add")
    kinds = [[r.kind for r in react(rng, said=wrong, truth=truth, asked=False)] for _ in range(4000)]
    corrected = sum("correction" in given for given in kinds) / len(kinds)
    assert corrected == pytest.approx(CORRECTS_WRONG, abs=0.03)
    right = [react(rng, said=truth, truth=truth, asked=False) for _ in range(500)]
    assert {r.kind for given in right for r in given} == {"audit"}


def test_audits_log_their_sampling_probability() -> None:
    """An audit, and only an audit, says with which probability it was drawn."""
    rng = np.random.default_rng(2)
    said = truth = Claim("eggs-ten", 1, "add")
    given = [r for _ in range(3000) for r in react(rng, said=said, truth=truth, asked=True)]
    assert {r.kind for r in given} == {"scan", "audit"}
    assert all((r.sampling_probability is not None) == (r.kind == "audit") for r in given)


def test_nothing_equals_nothing() -> None:
    """A ghost event is right only about having seen nothing."""
    assert Claim(None, 0, "add").same_as(Claim(None, 1, "remove"))
    assert not Claim("eggs-ten", 1, "add").same_as(Claim(None, 0, "add"))
