"""Words that several commands show: actions as they are typed, and numbers with their nouns. Pure."""

from fleet_control.rollouts_cli.tables import clean

# Actions of the API that are typed otherwise.
_TYPED = {"roll_back": "rollback", "abort_keep": "abort --keep", "abort_revert": "abort --revert"}


def typed(action: str) -> str:
    """Return an action as it is typed after `cartwright rollouts`."""
    return _TYPED.get(action, clean(action))


def words(value: object) -> str:
    """Return a word of the API for people: `rolling_back` is rolling back."""
    return clean(value).replace("_", " ")


def many(number: int, noun: str) -> str:
    """Return how many there are: 1 cart, 2 carts."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
