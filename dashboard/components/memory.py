"""What each panel last showed, and since when it fails: one per browser session. No Streamlit."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import replace
from datetime import datetime
from typing import Any

from dashboard.state import Failure, Outcome

# Panels of all pages under a few filters. More costs memory per session, fewer forget answers that
# could still be shown while the warehouse is away.
_MOST_KEPT = 48


class PanelMemory:
    """Keeps the last good outcome of each panel, and the start of its failure."""

    def __init__(self) -> None:
        self._good: OrderedDict[Hashable, Outcome[Any]] = OrderedDict()
        self._failing_since: dict[str, datetime] = {}

    def succeeded(self, panel: str, key: Hashable, outcome: Outcome[Any]) -> Outcome[Any]:
        """Remember a good outcome and return it."""
        self._failing_since.pop(panel, None)
        self._good[panel, key] = outcome
        self._good.move_to_end((panel, key))
        while len(self._good) > _MOST_KEPT:
            self._good.popitem(last=False)
        return outcome

    def failed(self, panel: str, key: Hashable, sentence: str, now: datetime) -> Outcome[Any]:
        """Return the last good outcome under the same filters, or an empty one, with the failure noted."""
        since = self._failing_since.setdefault(panel, now)
        kept = self._good.get((panel, key), Outcome(value=None))
        return replace(kept, failure=Failure(sentence, since))
