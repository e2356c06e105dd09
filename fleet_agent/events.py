"""What a cart decides, and what people say about it afterwards."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Direction = Literal["add", "remove"]
Outcome = Literal["accepted", "asked"]
LabelType = Literal["correction", "scan", "audit"]


@dataclass(frozen=True, slots=True)
class ItemEvent:
    """One fused decision about one weight change.

    Attributes:
        event_id: Unique per cart.
        at_ms: When it was decided, epoch milliseconds by the cart's clock.
        session_id: The shopping trip; None outside one.
        item_id: The most likely item; None when it is something unknown.
        quantity: Pieces, 1 or more.
        direction: Into the cart or out of it.
        posterior: Probability 0..1 of item, quantity and direction together.
        top: Up to five items with their probabilities, most likely first.
        camera_confidence: Per camera, its own probability 0..1 of the decided item.
        weight_change_g: Signed change of the settled weight.
        weight_residual_g: Change minus what the decision would weigh; None for an unknown item.
        outcome: Booked, or the shopper is asked for a barcode.
        decision_ms: From the capture of the newest frame that counted until the decision; None when
            no frame counted.
        second: The event of the other item, when two different items moved at once: it has its own id, and
            its part of the weight change. Both travel in one message; listeners are told of both.
    """

    event_id: str
    at_ms: int
    session_id: str | None
    item_id: str | None
    quantity: int
    direction: Direction
    posterior: float
    top: tuple[tuple[str, float], ...]
    camera_confidence: tuple[tuple[str, float], ...]
    weight_change_g: float
    weight_residual_g: float | None
    outcome: Outcome
    decision_ms: float | None
    second: "ItemEvent | None" = None

    @property
    def rows(self) -> "tuple[ItemEvent, ...]":
        """The events of this movement: itself, and that of the other item if there is one."""
        return (self,) if self.second is None else (self, self.second)


@dataclass(frozen=True, slots=True)
class Session:
    """A shopping trip begins, with an empty cart; or (None) one ends.

    Attributes:
        session_id: The trip that begins.
        at_s: When this was said, monotonic: what began to move before belongs to the trip before.
    """

    session_id: str | None
    at_s: float = -math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The truth about an event, from a shopper, a barcode or an audit.

    Attributes:
        type: Who says so.
        ref_event_id: The event it speaks about.
        ref_at_ms: When that event was, epoch milliseconds.
        item_id: What really moved; None when nothing did.
        quantity: How many; None when nothing moved.
        direction: Which way; None when nothing moved.
        sampling_probability: With which probability this event was chosen for an audit, 0..1.
        session_id: The shopping trip.
    """

    type: LabelType
    ref_event_id: str
    ref_at_ms: int
    item_id: str | None
    quantity: int | None = None
    direction: Direction | None = None
    sampling_probability: float | None = None
    session_id: str | None = None


def heard_by_row(listener: Callable[[ItemEvent], None] | None) -> Callable[[ItemEvent], None]:
    """Return a listener that hears the events of a pair one after the other; None hears nothing."""

    def hear(event: ItemEvent) -> None:
        if listener is not None:
            for row in event.rows:
                listener(row)

    return hear
