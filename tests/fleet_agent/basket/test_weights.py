"""Stories about what items really weigh: learned from barcodes only, little at a time, kept on disk."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_agent.basket.weight_store import MAX_BYTES, WeightStore
from fleet_agent.basket.weight_table import (
    FARTHEST_SHARE,
    MEMORY,
    PRIOR_SPREADS,
    PRIOR_WEIGHINGS,
    SD_FACTORS,
    Weighings,
    WeightTable,
    learn,
    weight_table,
)
from fleet_agent.errors import WeightStoreError
from tests.fleet_agent.worlds import item

SCALE_SD_G = 6.0
CLASSES = tuple(item(ix) for ix in range(3))


def table() -> WeightTable:
    """Return a table that has learned nothing: 150, 400 and 1000 g with 3 g of spread."""
    return weight_table(CLASSES, {}, SCALE_SD_G)


def taught(*weights_g: float, start: WeightTable | None = None) -> WeightTable:
    """Teach the 400 g item some weighings, none of which is refused."""
    now = start or table()
    for weight_g in weights_g:
        after = learn(now, "item-1", weight_g)
        assert after is not None
        now = after
    return now


def test_without_weighings_the_catalogue_holds() -> None:
    """Means and spreads are the catalogue's; an item nobody knows has no weight."""
    assert table().weight_of("item-1") == (400.0, 3.0)
    assert table().weight_of("nobody") is None
    assert table().weights(CLASSES).mean_g.tolist() == [150.0, 400.0, 1000.0]


def test_the_mean_is_the_posterior_mean() -> None:
    """Against the formula: prior of five weighings, and three of 410, 412 and 414 g."""
    mean_g, sd_g = taught(410.0, 412.0, 414.0).weight_of("item-1") or (0.0, 0.0)
    assert mean_g == pytest.approx((PRIOR_WEIGHINGS * 400 + 3 * 412) / (PRIOR_WEIGHINGS + 3))
    between = PRIOR_WEIGHINGS * 3 * 12**2 / (PRIOR_WEIGHINGS + 3)
    total = (PRIOR_SPREADS * (3**2 + 6**2) + 8 + between) / (PRIOR_SPREADS + 3)
    assert sd_g == pytest.approx((total - 6**2) ** 0.5)


def test_many_weighings_win_over_the_catalogue() -> None:
    """A packaging that is 20 g lighter is known after some dozens of scans, and its spread with it."""
    rng = np.random.default_rng(5)
    known = taught(*(380.0 + rng.normal(0, 7.0, 200)))
    mean_g, sd_g = known.weight_of("item-1") or (0.0, 0.0)
    assert mean_g == pytest.approx(380.0, abs=4.0)
    assert 1.5 <= sd_g <= 9.0
    assert known.weighings["item-1"].n == MEMORY


def test_what_is_no_piece_of_it_is_refused() -> None:
    """Two pieces under one scan, half a piece, an unknown item, a weight that is no number."""
    for weighed_g in (800.0, 200.0, float("nan"), float("inf")):
        assert learn(table(), "item-1", weighed_g) is None
    assert learn(table(), "nobody", 400.0) is None


def test_one_wrong_scan_moves_little() -> None:
    """A weighing 90 g off counts as four standard deviations at most."""
    mean_g, _ = taught(490.0).weight_of("item-1") or (0.0, 0.0)
    assert 400.0 < mean_g <= 400.0 + 4 * (3**2 + 6**2) ** 0.5 / (PRIOR_WEIGHINGS + 1) + 1e-9


@settings(max_examples=60)
@given(weights_g=st.lists(st.floats(-100, 2000), max_size=120))
def test_whatever_is_scanned_an_item_stays_near_its_catalogue_weight(weights_g: list[float]) -> None:
    """Mean and spread are bounded, and the other items are not touched."""
    now = table()
    for weight_g in weights_g:
        now = learn(now, "item-1", weight_g) or now
    mean_g, sd_g = now.weight_of("item-1") or (0.0, 0.0)
    assert abs(mean_g - 400.0) <= FARTHEST_SHARE * 400.0 + 1e-9
    assert 3.0 * SD_FACTORS[0] - 1e-9 <= sd_g <= 3.0 * SD_FACTORS[1] + 1e-9
    assert now.weight_of("item-0") == (150.0, 3.0)


@given(weights_g=st.lists(st.floats(385, 415), min_size=2, max_size=MEMORY))
def test_the_running_sums_are_those_of_numpy(weights_g: list[float]) -> None:
    """Welford's mean and squares, as long as nothing fades, equal the direct ones."""
    one = taught(*weights_g).weighings["item-1"]
    assert one.mean_g == pytest.approx(float(np.mean(weights_g)))
    assert one.squares == pytest.approx(float(np.var(weights_g)) * len(weights_g), abs=1e-6)


def test_a_catalogue_that_changes_forgets_what_was_learned() -> None:
    """Weighings of an item whose catalogue weight is another now, or that is gone, say nothing."""
    past = {
        "item-1": Weighings(9, 410.0, 20.0, 400.0),
        "item-2": Weighings(9, 900.0, 20.0, 950.0),
        "gone": Weighings(9, 100.0, 20.0, 100.0),
    }
    assert set(weight_table(CLASSES, past, SCALE_SD_G).weighings) == {"item-1"}


def test_what_was_learned_survives_a_restart(tmp_path: Path) -> None:
    """Saved and loaded it is the same; a cart without a file has learned nothing."""
    store = WeightStore(tmp_path / "w.json")
    assert store.load() == {}
    weighings = taught(405.0, 407.0).weighings
    store.save(weighings)
    assert store.load() == weighings
    assert [path.name for path in tmp_path.iterdir()] == ["w.json"]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b'{"version": 2, "items": {}}',
        b'{"version": 1, "items": {"a": {"n": 0, "mean_g": 1, "squares": 1, "catalogue_g": 1}}}',
        b'{"version": 1, "items": {"a": {"n": 1, "mean_g": 1e99, "squares": 1, "catalogue_g": 1}}}',
        b'{"version": 1, "items": {"a": {"n": 1, "mean_g": "x", "squares": 1, "catalogue_g": 1}}}',
        b"\xff\xfe",
        b" " * (MAX_BYTES + 1),
    ],
)
def test_a_damaged_file_is_an_error_of_ours(tmp_path: Path, document: bytes) -> None:
    """Cut off, of another version, out of range, too large: always the same error, never a wrong weight."""
    path = tmp_path / "w.json"
    path.write_bytes(document)
    with pytest.raises(WeightStoreError, match=r"w\.json"):
        WeightStore(path).load()


def test_a_folder_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    """Saving into nowhere, and reading what is no file."""
    with pytest.raises(WeightStoreError):
        WeightStore(tmp_path / "nowhere" / "w.json").save({})
    with pytest.raises(WeightStoreError, match=os.strerror(21)):
        WeightStore(tmp_path).load()
