"""Words that several commands show: actions as they are typed, and words of the API. Pure."""

from fleet_control.rollouts_cli.tables import clean

# Actions of the API that are typed otherwise.
_TYPED = {"roll_back": "rollback", "abort_keep": "abort --keep", "abort_revert": "abort --revert"}


def typed(action: str) -> str:
    """Return an action as it is typed after `cartwright rollouts`."""
    return _TYPED.get(action, clean(action))


def words(value: object) -> str:
    """Return a word of the API for people: `rolling_back` is rolling back."""
    return clean(value).replace("_", " ")
