"""Is the canary's share of all events what it should be? If not, something eats events, and no gate is right.

The expected share is that of the same carts on the day before (their numbers, where there is no day before).
Traffic is no coin: the null is a band, odds of the share between 1/3 and 3 times the expected. Two
e-processes watch its ends, as a binomial likelihood ratio does: below the band with smaller shares, above it
with larger; at the end of the band each is fair, and inside it shrinks (Lindon, Malek 2022).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fleet_control.errors import GateInputError
from fleet_control.statistics.evidence import LARGEST_LOG

# Odds so many times as high or low are still traffic. Lower cries wolf when a store is busy; higher sees only
# that almost everything is missing.
TOLERANCE = 3.0
# What is bet on: odds so many times beyond the end of the band.
BEYOND = (1.5, 3.0, 10.0)
# Probability that it fires, ever, while the share stays in the band.
ALPHA = 0.01


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """The check so far.

    Attributes:
        low: log E of each bet that canary events are missing.
        high: log E of each bet that there are too many.
        peak: Highest log E of either so far.
        canary: Events of the canary.
        total: Events of both.
    """

    low: tuple[float, ...] = (0.0,) * len(BEYOND)
    high: tuple[float, ...] = (0.0,) * len(BEYOND)
    peak: float = 0.0
    canary: int = 0
    total: int = 0

    @property
    def fired(self) -> bool:
        """Whether the share was ever proved to be out of the band."""
        return self.peak >= math.log(2.0 / ALPHA)

    @property
    def e_value(self) -> float:
        """Evidence now."""
        return math.exp(min(max(_mean(self.low), _mean(self.high)), LARGEST_LOG))

    def after(self, canary: int, control: int, expected: float) -> "SampleRatio":
        """Return it after one closed block.

        Args:
            canary: Events of the canary.
            control: Events of the control.
            expected: Share of the canary that is expected now, between 0 and 1.
        """
        if not 0.0 < expected < 1.0 or canary + control == 0:
            return self
        odds = expected / (1.0 - expected)
        low = _grown(self.low, canary, control, odds / TOLERANCE, -1)
        high = _grown(self.high, canary, control, odds * TOLERANCE, 1)
        peak = max(self.peak, _mean(low), _mean(high))
        return SampleRatio(low, high, peak, self.canary + canary, self.total + canary + control)

    def to_state(self) -> dict[str, Any]:
        """Return all of it, as JSON can hold it."""
        return {
            "low": list(self.low),
            "high": list(self.high),
            "peak": self.peak,
            "canary": self.canary,
            "total": self.total,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "SampleRatio":
        """Return the check that was stored.

        Raises:
            GateInputError: it is not one.
        """
        try:
            low, high = tuple(map(float, state["low"])), tuple(map(float, state["high"]))
            made = cls(low, high, float(state["peak"]), int(state["canary"]), int(state["total"]))
        except (KeyError, TypeError, ValueError) as error:
            raise GateInputError("state", sorted(state), "that of a sample ratio is wanted") from error
        if len(low) != len(BEYOND) or len(high) != len(BEYOND):
            raise GateInputError("state", len(low), f"{len(BEYOND)} bets are wanted")
        return made


def _grown(
    logs: tuple[float, ...], canary: int, control: int, edge: float, direction: int
) -> tuple[float, ...]:
    null = edge / (1.0 + edge)
    return tuple(
        log + canary * math.log(share / null) + control * math.log((1.0 - share) / (1.0 - null))
        for log, share in zip(logs, (_share(edge, beyond, direction) for beyond in BEYOND), strict=True)
    )


def _share(edge: float, beyond: float, direction: int) -> float:
    odds = edge * beyond if direction > 0 else edge / beyond
    return odds / (1.0 + odds)


def _mean(logs: tuple[float, ...]) -> float:
    top = max(logs)
    return top + math.log(sum(math.exp(log - top) for log in logs) / len(logs))
