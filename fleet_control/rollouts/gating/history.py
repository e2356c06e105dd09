"""How evidence went, thinned out: a chart of weeks has as many points as one of an hour."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fleet_control.errors import GateInputError

# Points that are kept at most. A chart shows no more, and a state is written after every look.
MAX_POINTS = 240
# Far beyond every threshold; more digits are of no use to anybody.
LARGEST = 1e12


@dataclass(slots=True)
class History:
    """Every n-th e-value, n doubling whenever there are too many.

    What is kept depends on the blocks alone, not on how many of them were counted at once.

    Attributes:
        points: (end of the block, e-value), oldest first.
        stride: Every so many blocks one point is kept.
        seen: Blocks so far.
    """

    points: list[tuple[int, float]] = field(default_factory=list)
    stride: int = 1
    seen: int = 0

    def add(self, at_ms: int, e_value: float) -> None:
        """Add what one block led to."""
        if self.seen % self.stride == 0:
            self.points.append((at_ms, float(f"{min(e_value, LARGEST):.4g}")))
        self.seen += 1
        if len(self.points) > MAX_POINTS:
            self.points = self.points[::2]
            self.stride *= 2

    def to_state(self) -> dict[str, Any]:
        """Return all of it, as JSON can hold it."""
        return {"points": [list(p) for p in self.points], "stride": self.stride, "seen": self.seen}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "History":
        """Return the history that was stored.

        Raises:
            GateInputError: the state is none.
        """
        try:
            points = [(int(at_ms), float(e)) for at_ms, e in state["points"]]
            return cls(points, int(state["stride"]), int(state["seen"]))
        except (KeyError, TypeError, ValueError) as error:
            raise GateInputError("history", str(state)[:200], "points, stride and seen are wanted") from error
