"""The twenty simulated groceries: identity, barcode and weight.

The list is made so that no single sense is enough. Some pairs weigh the same and look different (a tin of
tuna and a bag of chips), some look alike and weigh the same (the two colas, the two milks, the two cereals):
those stay hard on purpose, as they do in a real shop.

Barcodes start with 29, a range GS1 keeps for restricted circulation inside a shop, so none can belong to a
real product.
"""

from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class Item:
    """One sellable item; its position in ``CATALOGUE`` is the detector's class index.

    Attributes:
        item_id: Stable key, as used in events and in the warehouse.
        name: What a shopper reads.
        category: Shelf group.
        barcode: EAN-13 with a valid check digit.
        weight_g: Mean weight in grams.
        weight_sd_g: Standard deviation between pieces in grams.
    """

    item_id: str
    name: str
    category: str
    barcode: str
    weight_g: float
    weight_sd_g: float


def ean13_check_digit(first_twelve: str) -> int:
    """Return the EAN-13 check digit of twelve digits (GS1 General Specifications, section 7.9).

    Raises:
        ValueError: The text is not exactly twelve digits.
    """
    if len(first_twelve) != 12 or not first_twelve.isdecimal():
        message = f"an EAN-13 body is twelve digits, got {first_twelve!r}"
        raise ValueError(message)
    weighted = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(first_twelve))
    return (10 - weighted % 10) % 10


def _item(number: int, item_id: str, name: str, category: str, weight: tuple[float, float]) -> Item:
    body = f"29{number:010d}"
    return Item(item_id, name, category, f"{body}{ean13_check_digit(body)}", *weight)


CATALOGUE: tuple[Item, ...] = (
    _item(10017, "apple-gala", "Apple Gala", "fruit", (182.0, 18.0)),
    _item(10024, "apple-granny", "Apple Granny Smith", "fruit", (178.0, 18.0)),
    _item(10031, "orange-navel", "Orange Navel", "fruit", (236.0, 22.0)),
    _item(10048, "banana-bunch", "Bananas, bunch of four", "fruit", (640.0, 70.0)),
    _item(10055, "cucumber", "Cucumber", "vegetables", (382.0, 35.0)),
    _item(10062, "avocado-hass", "Avocado Hass", "vegetables", (206.0, 20.0)),
    _item(20016, "cola-classic", "Cola Classic 0.5 l", "drinks", (528.0, 3.0)),
    _item(20023, "cola-zero", "Cola Zero 0.5 l", "drinks", (526.0, 3.0)),
    _item(20030, "water-still", "Still water 0.5 l", "drinks", (519.0, 3.0)),
    _item(30015, "milk-whole", "Whole milk 1 l", "dairy", (1064.0, 5.0)),
    _item(30022, "milk-skim", "Skimmed milk 1 l", "dairy", (1069.0, 5.0)),
    _item(40014, "beans-can", "Baked beans, tin", "tins", (467.0, 4.0)),
    _item(40021, "tomato-can", "Chopped tomatoes, tin", "tins", (471.0, 4.0)),
    _item(40038, "tuna-can", "Tuna in oil, tin", "tins", (195.0, 3.0)),
    _item(50013, "jam-strawberry", "Strawberry jam", "breakfast", (606.0, 5.0)),
    _item(50020, "cereal-honey", "Honey rings", "breakfast", (452.0, 5.0)),
    _item(50037, "cereal-choco", "Chocolate rings", "breakfast", (455.0, 5.0)),
    _item(60012, "pasta-penne", "Penne 500 g", "dry goods", (513.0, 4.0)),
    _item(70011, "chips-paprika", "Paprika chips", "snacks", (193.0, 4.0)),
    _item(80010, "eggs-ten", "Ten eggs", "dairy", (642.0, 20.0)),
)


@cache
def item_index() -> dict[str, int]:
    """Return the class index of every ``item_id``."""
    return {item.item_id: index for index, item in enumerate(CATALOGUE)}


def find_item(item_id: str) -> Item:
    """Return the item with this id.

    Raises:
        KeyError: No item of the catalogue has this id.
    """
    return CATALOGUE[item_index()[item_id]]
