"""From a stream of weights to settled changes: a pure reducer.

The weight is *quiet* when the last `settle_s` of readings spread less than `noise_g` and agree with
each other. A movement begins when a reading leaves the baseline or the spread grows, and ends at the
next quiet; if the quiet median then lies `min_change_g` from the baseline, that is one settled
change. While nothing moves, the baseline follows drift slowly, so that temperature and creep never
add up to an item. Rules after the weight-event detectors in the notes: median before against median
after, with different thresholds for begin and end.

What it does not do: two movements without a quiet between them are one change.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from fleet_agent.ports import ScaleReading

# Readings that must agree before the weight is called quiet, however slow the scale is.
MIN_READINGS = 4
# Readings kept at most: bounds the work per reading for very fast scales.
MAX_READINGS = 128
# A movement begins at this share of min_change_g: earlier than it must, since a false start only
# costs a few inferences and a late one loses the frames with the hand.
ONSET_SHARE = 0.7
# The baseline follows a drifting quiet weight with this time constant. Shorter swallows an item
# that is lowered slowly; longer lets 0.5 g/s of creep become an event.
DRIFT_TIME_CONSTANT_S = 8.0
# A change that moved for less than this was made by no hand: what is put down presses, and rings, longer.
ABRUPT_S = 0.05
# The two halves of a quiet window may differ by this share of noise_g: a slow ramp is not quiet.
RAMP_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class SettleLimits:
    """What counts as quiet and as a change.

    Attributes:
        settle_s: Length of a quiet window.
        noise_g: Largest standard deviation of a quiet window.
        min_change_g: Smallest change that counts.
    """

    settle_s: float
    noise_g: float
    min_change_g: float


@dataclass(frozen=True, slots=True)
class WeightChange:
    """One settled change.

    Attributes:
        change_g: Signed.
        started_s: When the weight began to move, monotonic.
        moved_s: When it moved for the last time.
        settled_s: When it was known to be settled.
        level_g: What the scale shows since; None where nobody knows.
    """

    change_g: float
    started_s: float
    moved_s: float
    settled_s: float
    level_g: float | None = None

    @property
    def abrupt(self) -> bool:
        """Whether the weight was somewhere else from one reading to the next, without any movement."""
        return self.moved_s - self.started_s < ABRUPT_S


@dataclass(frozen=True, slots=True)
class SettleState:
    """What the reducer remembers.

    Attributes:
        readings: (time s, grams) of the last readings.
        unstable_s: When the scale itself last said that it is unstable.
        baseline_g: The settled weight; None until the first quiet.
        moving_since_s: When the present movement began; None while nothing moves.
    """

    readings: tuple[tuple[float, float], ...] = ()
    unstable_s: float = -math.inf
    baseline_g: float | None = None
    moving_since_s: float | None = None

    @property
    def moving(self) -> bool:
        """Whether the weight is in movement."""
        return self.moving_since_s is not None


def step(
    state: SettleState, reading: ScaleReading, limits: SettleLimits
) -> tuple[SettleState, WeightChange | None]:
    """Take one reading; return the new state and the change it settles, if any."""
    if reading.overload or not math.isfinite(reading.grams):
        return state, None
    state = _remember(state, reading, limits)
    quiet_g = _quiet_level(state, limits)
    if state.baseline_g is None:
        return (state if quiet_g is None else replace(state, baseline_g=quiet_g)), None
    if state.moving_since_s is None:
        return _resting(state, state.baseline_g, quiet_g, limits), None
    if quiet_g is None:
        return state, None
    return _settled(state, state.baseline_g, state.moving_since_s, quiet_g, limits)


def _remember(state: SettleState, reading: ScaleReading, limits: SettleLimits) -> SettleState:
    readings = (*state.readings, (reading.at_s, reading.grams))[-MAX_READINGS:]
    horizon_s = reading.at_s - limits.settle_s
    surplus = sum(1 for at_s, _ in readings if at_s < horizon_s)
    # One reading from before the window stays, so that the window is known to be covered.
    first = max(0, min(surplus - 1, len(readings) - MIN_READINGS))
    unstable_s = reading.at_s if reading.stable is False else state.unstable_s
    return replace(state, readings=readings[first:], unstable_s=unstable_s)


def _quiet_level(state: SettleState, limits: SettleLimits) -> float | None:
    """Return the median of the window when it is quiet."""
    readings = state.readings
    first_s, last_s = readings[0][0], readings[-1][0]
    if len(readings) < MIN_READINGS or last_s - first_s < limits.settle_s:
        return None
    if state.unstable_s >= last_s - limits.settle_s:
        return None
    grams = [g for at_s, g in readings if at_s >= last_s - limits.settle_s]
    if len(grams) < MIN_READINGS:
        grams = [g for _, g in readings]
    half = len(grams) // 2
    ramp_g = abs(_mean(grams[:half]) - _mean(grams[-half:]))
    if _spread(grams) > limits.noise_g or ramp_g > 2 * RAMP_SHARE * limits.noise_g:
        return None
    return median(grams)


# The functions of `statistics` are exact and forty times slower; this runs for every reading.


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _spread(values: Sequence[float]) -> float:
    mean = _mean(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))


def _resting(
    state: SettleState, baseline_g: float, quiet_g: float | None, limits: SettleLimits
) -> SettleState:
    last_s, last_g = state.readings[-1]
    if abs(last_g - baseline_g) > ONSET_SHARE * limits.min_change_g + limits.noise_g:
        return replace(state, moving_since_s=last_s)
    if quiet_g is not None and abs(quiet_g - baseline_g) > ONSET_SHARE * limits.min_change_g:
        return replace(state, moving_since_s=last_s)
    if quiet_g is None or len(state.readings) < 2:
        return state
    elapsed_s = last_s - state.readings[-2][0]
    gain = 1.0 - math.exp(-elapsed_s / DRIFT_TIME_CONSTANT_S)
    return replace(state, baseline_g=baseline_g + gain * (quiet_g - baseline_g))


def _settled(
    state: SettleState, baseline_g: float, moving_since_s: float, quiet_g: float, limits: SettleLimits
) -> tuple[SettleState, WeightChange | None]:
    rested = replace(state, baseline_g=quiet_g, moving_since_s=None)
    change_g = quiet_g - baseline_g
    if abs(change_g) < limits.min_change_g:
        return rested, None
    settled_s = state.readings[-1][0]
    moved_s = max(moving_since_s, settled_s - limits.settle_s)
    return rested, WeightChange(change_g, moving_since_s, moved_s, settled_s, quiet_g)
