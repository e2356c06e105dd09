"""The story of a cart that works for long, told in short: `benchmarks/soak.py` tells a whole day."""

from pathlib import Path

from benchmarks.soak import Look, growth, soak


def test_twenty_minutes_of_a_busy_cart_leave_nothing_behind(tmp_path: Path) -> None:
    """A shopper, baskets, cameras in trouble: every movement an event, nothing stuck, memory as before."""
    looks: list[Look] = []
    found = soak(1 / 3, 4, tmp_path, looks=8, told=looks.append)
    assert found["stuck"] == []
    movements, windows, named = found["movements"], found["windows"], found["named_rightly"]
    assert isinstance(movements, int)
    assert isinstance(windows, int)
    assert isinstance(named, int)
    assert movements >= 40
    assert windows >= 20
    assert named >= 0.9 * movements
    assert looks[-1].threads == looks[0].threads
    grown = found["growth"]
    assert isinstance(grown, dict)
    assert grown["rss"] <= 0.05
    assert grown["blocks"] <= 0.05


def test_growth_is_told_from_after_the_warm_up() -> None:
    """What a cart takes while it warms up is no growth; what it takes afterwards is."""
    looks = [
        Look(float(hour), 80.0 + (20.0 if hour >= 2 else 0.0) + hour, 1000, 0.0, 8) for hour in range(25)
    ]
    found = growth(looks, 24.0)
    assert found["from_hour"] == 2.0
    assert found["rss"] == round(123.0 / 103.0 - 1.0, 4)
    assert (found["blocks"], found["traced"]) == (0.0, 0.0)
