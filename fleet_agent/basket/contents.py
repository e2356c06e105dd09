"""What lies in the cart by the books, and whether the scale agrees: pure reducers.

An accepted item is booked. An asked one is *pending* until a barcode or a person says what it was; while
anything is pending the basket is *open*. A label replaces what was booked of its event. A trip begins and
ends with an empty cart.

The session invariant: what the cart weighs now, less what it weighed when the trip began, is the sum of what
was booked:

    r = (W_now - W_begin) - sum_booked s n mu_k - sum_pending dw,   z = r / sqrt(w^2 + sum_booked n sd_k^2)

Pending items, and labels of what has no known weight, count with what was measured: they explain their own
weight. |z| > 3 says that some booking is wrong, or that the scale is. Each moved piece adds its variance,
also one that is taken out again: nobody knows which of two was.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from fleet_agent.events import Direction, ItemEvent, Label

# Bookings kept one by one. More of one trip are summed up: they cannot be corrected any more, and the memory
# of a trip that is never ended stays bounded.
MAX_BOOKINGS = 256
# |z| from which the basket is unresolved: lower accuses a right basket now and then, higher lets a wrong
# item of nearly the right weight pass.
UNRESOLVED_Z = 3.0

# (mean, standard deviation between pieces) in grams of an item; None when its weight is not known.
WeightOf = Callable[[str], tuple[float, float] | None]


@dataclass(frozen=True, slots=True)
class Booking:
    """One row of the books.

    Attributes:
        event_id: The item event.
        item_id: What moved; None when nothing did, or nobody knows.
        quantity: Pieces.
        direction: Which way.
        change_g: Measured, signed.
        sure: Accepted, or confirmed by a label; otherwise pending.
    """

    event_id: str
    item_id: str | None
    quantity: int
    direction: Direction
    change_g: float
    sure: bool

    @property
    def pieces(self) -> int:
        """Signed pieces; 0 of nothing."""
        if self.item_id is None:
            return 0
        return self.quantity if self.direction == "add" else -self.quantity


def _count(counts: dict[str, int], booking: Booking) -> None:
    if booking.sure and booking.item_id is not None:
        counts[booking.item_id] = max(0, counts.get(booking.item_id, 0) + booking.pieces)


@dataclass(frozen=True, slots=True)
class Contents:
    """The books of one trip.

    Attributes:
        begun: The trip was begun, so the cart was empty then.
        bookings: By event, in order of time.
        summed: Pieces of older bookings, by item.
        begin_g: Level of the scale before the first movement; None until there was one.
        level_g: Level after the last.
    """

    begun: bool = False
    bookings: Mapping[str, Booking] = field(default_factory=dict)
    summed: Mapping[str, int] = field(default_factory=dict)
    begin_g: float | None = None
    level_g: float | None = None

    @property
    def pending(self) -> int:
        """How many asked items are unconfirmed."""
        return sum(not booking.sure for booking in self.bookings.values())

    @property
    def complete(self) -> bool:
        """Whether the books say all that lies in the cart."""
        return self.begun and not self.pending

    def pieces(self) -> dict[str, int]:
        """Return how many of each item lie in the cart.

        No number is below zero at any time: a removal of what was not booked must not eat the next piece.
        """
        counts = dict(self.summed)
        for booking in self.bookings.values():
            _count(counts, booking)
        return {item_id: n for item_id, n in counts.items() if n > 0}


@dataclass(frozen=True, slots=True)
class Residual:
    """How far the scale is from the books.

    Attributes:
        grams: r.
        z: r over its standard deviation.
    """

    grams: float
    z: float

    @property
    def unresolved(self) -> bool:
        """Whether the scale contradicts the books."""
        return abs(self.z) > UNRESOLVED_Z


def trip(session_id: str | None) -> Contents:
    """Return the books of a trip that begins now; None: a trip ends, and what comes belongs to none."""
    return Contents(begun=session_id is not None)


def weigh(contents: Contents, change_g: float, level_g: float) -> Contents:
    """Note the level of the scale after a settled change."""
    begin_g = level_g - change_g if contents.begin_g is None else contents.begin_g
    return replace(contents, begin_g=begin_g, level_g=level_g)


def book(contents: Contents, event: ItemEvent) -> Contents:
    """Enter an item event; asked ones as pending."""
    sure = event.outcome == "accepted"
    row = Booking(event.event_id, event.item_id, event.quantity, event.direction, event.weight_change_g, sure)
    return _bounded(replace(contents, bookings={**contents.bookings, row.event_id: row}))


def _bounded(contents: Contents) -> Contents:
    """Sum up the oldest booking when there are too many."""
    if len(contents.bookings) <= MAX_BOOKINGS:
        return contents
    oldest, *others = contents.bookings.values()
    summed = dict(contents.summed)
    _count(summed, oldest)
    # Its weight is taken as measured, so that the invariant goes on with the others.
    begin_g = None if contents.begin_g is None else contents.begin_g + oldest.change_g
    bookings = {row.event_id: row for row in others}
    return replace(contents, bookings=bookings, summed=summed, begin_g=begin_g)


def withdraw(contents: Contents, event_id: str) -> Contents:
    """Forget an event whose weight has gone again."""
    others = {key: row for key, row in contents.bookings.items() if key != event_id}
    return replace(contents, bookings=others)


def correct(contents: Contents, label: Label) -> Contents:
    """Replace what was booked of an event by what really happened; labels of other trips change nothing."""
    row = contents.bookings.get(label.ref_event_id)
    if row is None:
        return contents
    true = replace(
        row,
        item_id=label.item_id,
        quantity=row.quantity if label.quantity is None else label.quantity,
        direction=label.direction or row.direction,
        sure=True,
    )
    return replace(contents, bookings={**contents.bookings, row.event_id: true})


def residual(contents: Contents, weight_of: WeightOf, scale_sd_g: float) -> Residual | None:
    """Compare the scale with the books; None before the first movement."""
    if contents.begin_g is None or contents.level_g is None:
        return None
    expected_g, variance = 0.0, scale_sd_g**2
    for row in contents.bookings.values():
        weight = weight_of(row.item_id) if row.sure and row.item_id is not None else None
        if weight is None:
            expected_g += row.change_g
        else:
            expected_g += row.pieces * weight[0]
            variance += row.quantity * weight[1] ** 2
    grams = contents.level_g - contents.begin_g - expected_g
    return Residual(grams, grams / math.sqrt(variance))
