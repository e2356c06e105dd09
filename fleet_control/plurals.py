"""Numbers with their nouns and verbs, as people read them. Pure."""


def many(number: int, noun: str, one: str = "", more: str = "") -> str:
    """Return how many there are: 1 cart, 2 carts; with a verb that agrees: 1 cart keeps, 2 carts keep."""
    counted = f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
    verb = agreeing(number, one, more)
    return f"{counted} {verb}" if verb else counted


def agreeing(number: float, one: str, more: str) -> str:
    """Return the word that agrees with a number."""
    return one if number == 1 else more
