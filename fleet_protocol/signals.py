"""Drift signals: what carts count, in bins that never move.

Bins are fixed for all carts and for ever, so that counts of any carts, hours and versions add up.
A value below the first inner edge falls into the first bin, one at or above the last into the last.
A new signal is a new name; a change of edges is a new name too.
"""

import bisect
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signal:
    """One drift signal and its bins.

    Attributes:
        name: As on the wire.
        title: For people.
        unit: Of the edges; empty when the signal has none.
        inner_edges: Ascending; n edges make n + 1 bins. Bin i covers [edge[i-1], edge[i]).
        per_camera: Counted for each camera on its own.
    """

    name: str
    title: str
    unit: str
    inner_edges: tuple[float, ...]
    per_camera: bool = False

    @property
    def bins(self) -> int:
        """How many bins there are."""
        return len(self.inner_edges) + 1

    def bin_of(self, value: float) -> int:
        """Return the bin of a value; NaN counts as the first bin's absence and is refused.

        Raises:
            ValueError: the value is NaN.
        """
        if value != value:  # noqa: PLR0124  # NaN is the only value unequal to itself
            msg = f"{self.name} is not a number"
            raise ValueError(msg)
        return bisect.bisect_right(self.inner_edges, value)

    def bounds(self, bin_ix: int) -> tuple[float | None, float | None]:
        """Return the lower and upper edge of a bin; None where it is open."""
        lower = self.inner_edges[bin_ix - 1] if bin_ix > 0 else None
        upper = self.inner_edges[bin_ix] if bin_ix < len(self.inner_edges) else None
        return lower, upper


def _steps(first: float, last: float, step: float) -> tuple[float, ...]:
    count = round((last - first) / step) + 1
    return tuple(round(first + i * step, 6) for i in range(count))


BRIGHTNESS = Signal("brightness", "Image brightness", "of 255", _steps(12, 240, 12), per_camera=True)
# Variance of the Laplacian, log2: a halving of sharpness moves every count by two bins.
BLUR = Signal("blur", "Image sharpness (log2 variance of Laplacian)", "", _steps(0, 14, 0.5), per_camera=True)
CONFIDENCE = Signal("confidence", "Confidence", "", _steps(0.05, 0.95, 0.05))
MARGIN = Signal("margin", "Margin of first over second", "", _steps(0.05, 0.95, 0.05))
# Class index in the model's class list; 63 and above share the last bin.
CLASS = Signal("class", "Class mix", "", _steps(1, 63, 1))
WEIGHT_RESIDUAL = Signal("weight_residual", "Weight residual", "g", _steps(-100, 100, 10))
# Cameras whose own best class is not the fused decision.
CAMERA_DISAGREEMENT = Signal("camera_disagreement", "Cameras that disagree", "cameras", _steps(1, 8, 1))

SIGNALS: dict[str, Signal] = {
    signal.name: signal
    for signal in (BRIGHTNESS, BLUR, CONFIDENCE, MARGIN, CLASS, WEIGHT_RESIDUAL, CAMERA_DISAGREEMENT)
}

STAGES = ("capture", "queue", "preprocess", "infer", "decode", "fuse", "camera_to_decision")


class SignalCounter:
    """Counts of one signal, for one camera or for all."""

    __slots__ = ("_counts", "signal")

    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        self._counts = [0] * signal.bins

    def add(self, value: float) -> None:
        """Count one value."""
        self._counts[self.signal.bin_of(value)] += 1

    def drain(self) -> list[int]:
        """Return the counts, trailing zeros cut, and start again from zero."""
        counts = trim(self._counts)
        self._counts = [0] * self.signal.bins
        return counts


def trim(counts: list[int]) -> list[int]:
    """Cut trailing zeros: the wire form of counts."""
    end = len(counts)
    while end and not counts[end - 1]:
        end -= 1
    return counts[:end]


def add_counts(left: list[int], right: list[int]) -> list[int]:
    """Add counts of different lengths bin by bin."""
    if len(left) < len(right):
        left, right = right, left
    return [n + (right[i] if i < len(right) else 0) for i, n in enumerate(left)]
