"""Stories about what weight alone can tell apart."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.basket.separability import separability
from fleet_agent.manifest import ItemClass


def item(name: str, weight_g: float, sd_g: float = 0.0) -> ItemClass:
    """Return an item."""
    return ItemClass(
        item_id=name, name=name, category="test", barcode="1", weight_g=weight_g, weight_sd_g=sd_g
    )


def test_items_far_apart_are_separable_and_near_ones_are_not() -> None:
    """Of three pairs one is too close: two thirds are separable, and the two items name each other."""
    found = separability([item("a", 700), item("b", 705), item("c", 1000)], 6.0, max_quantity=1)
    assert found.separable_share == pytest.approx(2 / 3)
    assert found.look_alikes == {"a": ("b",), "b": ("a",), "c": ()}
    assert (found.median_look_alikes, found.max_look_alikes) == (1.0, 1)


def test_the_threshold_is_three_deviations_of_two_weighings() -> None:
    """With 3 and 4 g of the items and 6 g of the scale the limit is 3 sqrt(97) = 29.55 g."""
    near = separability([item("a", 500, 3), item("b", 529.5, 4)], 6.0)
    far = separability([item("a", 500, 3), item("b", 529.6, 4)], 6.0)
    assert (near.separable_share, far.separable_share) == (0.0, 1.0)


def test_two_pieces_may_weigh_like_one_of_something_else() -> None:
    """Multiples count as look-alikes, both ways, and not among the pairs of single pieces."""
    found = separability([item("small", 150), item("large", 300)], 6.0, max_quantity=2)
    assert found.separable_share == 1.0
    assert found.look_alikes == {"small": ("large",), "large": ("small",)}
    assert separability([item("small", 150), item("large", 300)], 6.0, max_quantity=1).max_look_alikes == 0


def test_a_catalogue_of_one_item_is_separable() -> None:
    """There is nothing to be mistaken for."""
    assert separability([item("only", 100)], 6.0).separable_share == 1.0


@pytest.mark.parametrize(("items", "sd_g", "quantity"), [(0, 6.0, 1), (2, 0.0, 1), (2, 6.0, 0)])
def test_nonsense_is_refused(items: int, sd_g: float, quantity: int) -> None:
    """No items, a perfect scale, or no quantity have no separability."""
    with pytest.raises(ValueError, match="separability needs"):
        separability([item(str(n), 100) for n in range(items)], sd_g, max_quantity=quantity)


@given(
    weights_g=st.lists(st.floats(1, 3000), min_size=1, max_size=12),
    scale_sd_g=st.floats(0.5, 50),
    max_quantity=st.integers(1, 4),
)
def test_looking_alike_is_mutual_and_a_worse_scale_never_helps(
    weights_g: list[float], scale_sd_g: float, max_quantity: int
) -> None:
    """If a weighs like b, b weighs like a; doubling the scale's noise only adds look-alikes."""
    items = [item(str(n), weight_g, 2.0) for n, weight_g in enumerate(weights_g)]
    found = separability(items, scale_sd_g, max_quantity=max_quantity)
    worse = separability(items, 2 * scale_sd_g, max_quantity=max_quantity)
    for name, others in found.look_alikes.items():
        assert name not in others
        assert all(name in found.look_alikes[other] for other in others)
        assert set(others) <= set(worse.look_alikes[name])
    assert worse.separable_share <= found.separable_share


def test_what_goes_into_the_manifest_is_json() -> None:
    """The dictionary survives JSON unchanged."""
    facts = separability([item("a", 700), item("b", 705)], 6.0).to_dict()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["look_alikes"] == {"a": ["b"], "b": ["a"]}
