"""What was decided about one weight change."""

from dataclasses import dataclass
from typing import Literal

from fleet_agent.events import Direction, Outcome

Kind = Literal["item", "pair", "unknown", "shift"]


@dataclass(frozen=True, slots=True)
class Decision:
    """The most likely explanation of one weight change.

    Attributes:
        item_ix: Class of the item; None for something unknown and for a shift.
        quantity: Pieces; of a pair one each.
        direction: Into the cart or out of it.
        posterior: Of item (or items) and quantity together.
        margin: Lead over the second hypothesis.
        top: Up to five (class, probability), quantities summed; a pair counts half for each of its items.
        camera_confidence: Per camera that saw something, its own probability of the item.
        disagreeing: Cameras whose own best is another item.
        weight_residual_g: Change minus what the decision would weigh; None for something unknown.
        outcome: accepted or asked.
        kind: `item`; `pair`, two different items in one movement; `unknown`, nothing of the catalogue;
            `shift`, nothing was put in or taken out, the weight moved.
        second_ix: The other item of a pair.
    """

    item_ix: int | None
    quantity: int
    direction: Direction
    posterior: float
    margin: float
    top: tuple[tuple[int, float], ...]
    camera_confidence: tuple[tuple[str, float], ...]
    disagreeing: int
    weight_residual_g: float | None
    outcome: Outcome
    kind: Kind = "item"
    second_ix: int | None = None

    @property
    def items(self) -> tuple[int, ...]:
        """Classes of the decided items: none, one, or the two of a pair."""
        return tuple(ix for ix in (self.item_ix, self.second_ix) if ix is not None)
