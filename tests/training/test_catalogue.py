"""The simulated groceries."""

import pytest

from training.scenes import CATALOGUE, ean13_check_digit, find_item, item_index


def test_every_barcode_is_a_valid_in_shop_ean13() -> None:
    """A scanner would accept every barcode, and none can belong to a real product."""
    for item in CATALOGUE:
        assert len(item.barcode) == 13
        assert int(item.barcode[-1]) == ean13_check_digit(item.barcode[:12])
        assert item.barcode.startswith("2")


@pytest.mark.parametrize(("body", "digit"), [("400638133393", 1), ("590123412345", 7), ("000000000000", 0)])
def test_check_digit_matches_published_examples(body: str, digit: int) -> None:
    """Well-known barcodes have the check digit printed on them."""
    assert ean13_check_digit(body) == digit


def test_check_digit_refuses_what_is_not_twelve_digits() -> None:
    """A letter or a missing digit is an error, not a wrong barcode."""
    for wrong in ("12345", "12345678901a", "1234567890123"):
        with pytest.raises(ValueError, match="twelve digits"):
            ean13_check_digit(wrong)


def test_ids_names_and_barcodes_are_unique() -> None:
    """Twenty items, each found by its own id."""
    assert len(CATALOGUE) == 20
    for field in ("item_id", "name", "barcode"):
        assert len({getattr(item, field) for item in CATALOGUE}) == 20
    assert all(find_item(item.item_id) is item for item in CATALOGUE)
    assert list(item_index().values()) == list(range(20))


def test_some_pairs_cannot_be_told_apart_by_weight() -> None:
    """The catalogue keeps the hard cases: pairs within three standard deviations of each other's weight."""
    alike = {
        (a.item_id, b.item_id)
        for a in CATALOGUE
        for b in CATALOGUE
        if a.item_id < b.item_id
        and abs(a.weight_g - b.weight_g) < 3 * (a.weight_sd_g**2 + b.weight_sd_g**2) ** 0.5
    }
    assert {
        ("cola-classic", "cola-zero"),
        ("milk-skim", "milk-whole"),
        ("cereal-choco", "cereal-honey"),
    } <= alike
    assert ("chips-paprika", "tuna-can") in alike
    assert len(alike) < 60  # of 190: the weight still tells most pairs apart
