"""The six states of a panel, as a pure function of what was loaded and of the time.

Rules, first match wins:

1. nothing was loaded yet                          -> LOADING
2. it failed and nothing older is at hand          -> ERROR
3. it failed but an older answer is at hand        -> STALE
4. the answer has no rows                          -> EMPTY
5. the newest data is older than the panel allows  -> STALE
6. some who should be in the answer are not        -> PARTIAL
7. otherwise                                       -> OK

This module neither loads nor draws.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T")


class PanelState(Enum):
    """What a panel shows."""

    LOADING = "loading"
    OK = "ok"
    EMPTY = "empty"
    STALE = "stale"
    PARTIAL = "partial"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a panel has no fresh answer.

    Attributes:
        what: One sentence for people.
        since: When it first failed, without a success in between.
    """

    what: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What loading a panel's data gave.

    Attributes:
        value: The answer; None if there is none.
        rows: How many rows it is made of.
        fetched_at: When the warehouse gave it.
        data_until: Time of the newest data in it, or None where age has no meaning.
        missing: Names of those who should be in it and are not.
        failure: Why the newest attempt failed, if it did.
    """

    value: T | None
    rows: int = 0
    fetched_at: datetime | None = None
    data_until: datetime | None = None
    missing: tuple[str, ...] = ()
    failure: Failure | None = None


def panel_state(outcome: Outcome[T] | None, now: datetime, stale_after: timedelta) -> PanelState:
    """Return the state of a panel.

    Args:
        outcome: What loading gave, or None before it ended.
        now: The time.
        stale_after: How old the newest data may be.
    """
    if outcome is None:
        return PanelState.LOADING
    if outcome.failure is not None:
        return PanelState.ERROR if outcome.value is None else PanelState.STALE
    if outcome.value is None or outcome.rows == 0:
        return PanelState.EMPTY
    if outcome.data_until is not None and now - outcome.data_until > stale_after:
        return PanelState.STALE
    return PanelState.PARTIAL if outcome.missing else PanelState.OK
