"""One cart's basket: its books, its weights, and the events that labels may still speak of.

The deciding thread owns it. The reducers are in `contents` and `weight_table`; here is what must be
remembered between calls, written to disk, or counted.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from fleet_agent.basket.contents import Contents, book, correct, residual, trip, weigh, withdraw
from fleet_agent.basket.prior import Inside
from fleet_agent.basket.weighed import ItemWeights
from fleet_agent.basket.weight_store import WeightStore
from fleet_agent.basket.weight_table import WeightTable, learn, weight_table
from fleet_agent.config import FusionConfig
from fleet_agent.errors import WeightStoreError
from fleet_agent.events import ItemEvent, Label
from fleet_agent.manifest import ItemClass, ModelManifest
from fleet_agent.settling import WeightChange
from fleet_agent.telemetry import Telemetry

log = structlog.get_logger()

# Events that a scan may still teach something about. People scan within a minute; a cart of four movements a
# minute forgets after an hour.
RECENT_EVENTS = 256
# A movement lasts seconds, and trips minutes: more end before it settles only in a burst of sessions.
PAST_TRIPS = 4
# A change within this many standard deviations of what would take the last one back has taken it back.
RETURNED_SDS = 4.0


@dataclass(slots=True)
class _PastTrip:
    """A trip that has ended; what began to move before its end still belongs to it."""

    session_id: str | None
    ended_s: float
    contents: Contents


class Basket:
    """What lies in one cart.

    Args:
        classes: The catalogue, in the order of the network's classes.
        config: Noise of the scale; whether weights are learned.
        store: Where learned weights are kept; None keeps them in memory only.
        telemetry: Gauges and counters.

    Attributes:
        session_id: The shopping trip; None outside one.
    """

    def __init__(
        self,
        classes: Sequence[ItemClass],
        config: FusionConfig,
        *,
        store: WeightStore | None,
        telemetry: Telemetry,
    ) -> None:
        self._classes = classes
        self._config = config
        self._store = store
        self._telemetry = telemetry
        self.session_id: str | None = None
        self._contents = Contents()
        self._past: deque[_PastTrip] = deque(maxlen=PAST_TRIPS)
        self._table = self._load()
        self._weights = self._table.weights(classes)
        # Single items that were not learned from yet.
        self._recent: OrderedDict[str, ItemEvent] = OrderedDict()
        # Of the last change, if no camera saw it: a hand that leans on the cart is lifted again.
        self._unseen: ItemEvent | None = None
        self._unresolved = False
        self._knows = False

    def _load(self) -> WeightTable:
        weighings = {}
        if self._store is not None:
            try:
                weighings = self._store.load()
            except WeightStoreError as error:
                log.warning("learned weights are not usable, the catalogue's are", why=str(error))
                self._telemetry.count("weights_damaged")
        return weight_table(self._classes, weighings, self._config.scale_sd_g)

    @property
    def contents(self) -> Contents:
        """The books."""
        return self._contents

    @property
    def empty(self) -> bool:
        """Whether nothing lies in the cart for sure: a trip began or ended, and nothing was put in since."""
        return self._knows and not self._contents.pending and not self._contents.pieces()

    def use_classes(self, classes: Sequence[ItemClass]) -> None:
        """Go on with another catalogue: the books name items and stay, the weights are those of its items."""
        self._classes = classes
        self._table = weight_table(classes, self._table.weighings, self._config.scale_sd_g)
        self._weights = self._table.weights(classes)

    @property
    def weights(self) -> ItemWeights:
        """What the items weigh, as far as is known."""
        return self._weights

    def inside(self) -> Inside:
        """Return what can be taken out."""
        pieces = self._contents.pieces()
        counts = np.array([pieces.get(item.item_id, 0) for item in self._classes], np.float64)
        return Inside(counts, self._contents.complete)

    def returning_g(self) -> float | None:
        """Return the change that would take back the last one; None when there is nothing to take back.

        Only what no camera saw and nobody has confirmed can have been no item at all.
        """
        if self._unseen is None:
            return None
        row = self._contents.bookings.get(self._unseen.event_id)
        return None if row is None or row.sure else -row.change_g

    def session(self, session_id: str | None, at_s: float = -math.inf) -> None:
        """Begin a trip with an empty cart, or (None) end one; `at_s` says when that was, monotonic."""
        if self._contents.pending:
            self._telemetry.count("basket_open_at_end")
        self._past.append(_PastTrip(self.session_id, at_s, self._contents))
        self._knows = True
        self.session_id = session_id
        self._contents = trip(session_id)
        self._unseen = None
        self._unresolved = False
        self._report()

    @contextmanager
    def trip_of(self, started_s: float) -> Iterator[None]:
        """Open the books of the trip in which a movement began: it may settle when the next has begun."""
        past = next((past for past in self._past if started_s < past.ended_s), None)
        if past is None:
            yield
            return
        present = self.session_id, self._contents
        self.session_id, self._contents = past.session_id, past.contents
        try:
            yield
        finally:
            past.contents = self._contents
            self.session_id, self._contents = present
            self._unresolved = False
            self._report()

    def book(self, events: Sequence[ItemEvent], change: WeightChange) -> None:
        """Enter the item events of one weight change: none for a shift, two for a pair."""
        if not events:
            self._take_back(change.change_g)
        if change.level_g is not None:
            self._contents = weigh(self._contents, change.change_g, change.level_g)
        for event in events:
            self._contents = book(self._contents, event)
        unseen = len(events) == 1 and events[0].outcome == "asked" and not events[0].camera_confidence
        self._unseen = events[0] if unseen else None
        if len(events) == 1:
            self._recent[events[0].event_id] = events[0]
            if len(self._recent) > RECENT_EVENTS:
                self._recent.popitem(last=False)
        self._report()

    def _take_back(self, change_g: float) -> None:
        """Forget an unseen change that has come back: its event is answered, nothing moved."""
        returning_g = self.returning_g()
        near_g = RETURNED_SDS * math.sqrt(2.0) * self._config.scale_sd_g
        if self._unseen is not None and returning_g is not None and abs(change_g - returning_g) < near_g:
            self._contents = withdraw(self._contents, self._unseen.event_id)
            self._telemetry.count("leans")

    def label(self, label: Label) -> None:
        """Take in the truth about an event: the books follow any label, the weights a barcode only."""
        self._contents = correct(self._contents, label)
        event = self._recent.get(label.ref_event_id)
        if self._config.learn_weights and event is not None and _weighs_one_piece(event, label):
            del self._recent[label.ref_event_id]
            self._learn(str(label.item_id), abs(event.weight_change_g))
        self._report()

    def _learn(self, item_id: str, weighed_g: float) -> None:
        table = learn(self._table, item_id, weighed_g)
        if table is None:
            self._telemetry.count("weights_refused")
            return
        self._table = table
        self._weights = table.weights(self._classes)
        self._telemetry.count("weights_learned")
        if self._store is not None:
            try:
                self._store.save(table.weighings)
            except WeightStoreError as error:
                log.warning("learned weight not saved", why=str(error))
                self._telemetry.count("weights_unsaved")

    def _report(self) -> None:
        """Set the gauges; count a basket that the scale begins to contradict."""
        off = residual(self._contents, self._table.weight_of, self._config.scale_sd_g)
        self._telemetry.gauge("basket_pieces", sum(self._contents.pieces().values()))
        self._telemetry.gauge("basket_pending", self._contents.pending)
        self._telemetry.gauge("basket_residual_g", None if off is None else off.grams)
        self._telemetry.gauge("basket_z", None if off is None else off.z)
        unresolved = off is not None and off.unresolved
        if unresolved and not self._unresolved:
            self._telemetry.count("basket_unresolved")
        self._unresolved = unresolved


def make_basket(
    config: FusionConfig, manifest: ModelManifest, telemetry: Telemetry, *, beside: Path
) -> Basket:
    """Return the basket of a cart; what it learns of weights is kept in a file beside its spool."""
    path = beside.with_name(f"{beside.stem}.weights.json")
    store = WeightStore(path) if config.learn_weights else None
    return Basket(manifest.classes, config, store=store, telemetry=telemetry)


def _weighs_one_piece(event: ItemEvent, label: Label) -> bool:
    """Tell whether a label says by barcode that this movement was one piece of one item."""
    quantity = event.quantity if label.quantity is None else label.quantity
    direction = label.direction or event.direction
    agrees = direction == event.direction == ("add" if event.weight_change_g > 0 else "remove")
    return (
        label.type == "scan"
        and label.item_id is not None
        and quantity == 1
        and agrees
        and math.isfinite(event.weight_change_g)
    )
