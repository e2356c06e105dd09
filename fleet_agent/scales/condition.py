"""Whether a scale can be believed: a pure reducer over its readings. The cart goes on whatever it finds.

- `scale_nan`: it says something that is no number.
- `scale_jump`: it is beyond its range, or leaps farther between two readings than anything that is put into a
  cart. (A step that no camera saw is the third kind of jump; the deciding thread knows of it.)
- `scale_drift`: at rest, its weight has walked by `drift_g` since that was last said. `zero_g` is the whole
  walk: what the scale would show of an empty cart.

Each trouble is told when it begins, not with every reading. Lines that are no reading, overload and silence
are counted where they are seen (`ascii_protocol`, `weighing`).
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

from fleet_agent.ports import ScaleReading

Trouble = Literal["scale_nan", "scale_jump", "scale_drift"]

# Share of the range that nobody puts into a cart between two readings. Lower: a crate of bottles is a jump;
# higher: a broken cable is none.
LEAP_SHARE = 0.5
# Two readings farther apart in time than this say nothing about speed.
LEAP_WITHIN_S = 0.3
# A scale may go this far beyond its range before it is broken: it is tared, and shoppers lean on it.
RANGE_SHARE = 1.25


@dataclass(frozen=True, slots=True)
class ScaleLimits:
    """What a scale can be believed.

    Attributes:
        range_g: Most that it can weigh.
        drift_g: Walk at rest that is worth telling.
    """

    range_g: float
    drift_g: float


@dataclass(frozen=True, slots=True)
class Condition:
    """What is known of a scale.

    Attributes:
        last: (time s, grams) of the last good reading.
        zero_g: How far its weight at rest has walked since the start.
        told_g: The walk when it was last told.
        no_number: The last reading was none.
        beyond: The last reading was beyond the range.
    """

    last: tuple[float, float] | None = None
    zero_g: float = 0.0
    told_g: float = 0.0
    no_number: bool = False
    beyond: bool = False


def is_weight(reading: ScaleReading, limits: ScaleLimits) -> bool:
    """Whether a reading says what lies on the scale: a number, not overloaded, not beyond its range."""
    if reading.overload or not math.isfinite(reading.grams):
        return False
    return abs(reading.grams) <= RANGE_SHARE * limits.range_g


def observe(
    condition: Condition, reading: ScaleReading, walked_g: float, limits: ScaleLimits
) -> tuple[Condition, tuple[Trouble, ...]]:
    """Take one reading; return the new condition and the troubles that begin with it.

    Args:
        condition: Before it.
        reading: As the scale gave it.
        walked_g: By how much the weight at rest has moved with this reading, without a weight change.
        limits: Of the scale.
    """
    if reading.overload:
        return condition, ()
    if not math.isfinite(reading.grams):
        found: tuple[Trouble, ...] = () if condition.no_number else ("scale_nan",)
        return replace(condition, no_number=True), found
    beyond = not is_weight(reading, limits)
    jumped = (beyond and not condition.beyond) or (not beyond and _leaps(condition, reading, limits))
    zero_g = condition.zero_g + walked_g
    drifted = abs(zero_g - condition.told_g) >= limits.drift_g
    after = Condition(
        last=condition.last if beyond else (reading.at_s, reading.grams),
        zero_g=zero_g,
        told_g=zero_g if drifted else condition.told_g,
        beyond=beyond,
    )
    troubles: list[Trouble] = []
    if jumped:
        troubles.append("scale_jump")
    if drifted:
        troubles.append("scale_drift")
    return after, tuple(troubles)


def _leaps(condition: Condition, reading: ScaleReading, limits: ScaleLimits) -> bool:
    if condition.last is None:
        return False
    last_s, last_g = condition.last
    soon = reading.at_s - last_s <= LEAP_WITHIN_S
    return soon and abs(reading.grams - last_g) > LEAP_SHARE * limits.range_g
