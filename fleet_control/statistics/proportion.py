"""The gate of a share: how often the canary's outcomes are right, against the control's."""

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from fleet_control.errors import GateInputError
from fleet_control.statistics.blocks import Block, log_e_values
from fleet_control.statistics.evidence import (
    LARGEST_TOTAL,
    Floats,
    MixtureGate,
    check_margin,
    count,
    field,
    log_sum,
    part,
    stored_mixture,
)

# Harms that are bet on, in log odds, and how much on each. Twice the errors is about 0.7. Most lies on harms
# from a third more errors to twice as many: smaller ones take days to see, and larger ones show anyway.
HARMS = (0.15, 0.3, 0.55, 1.0, 1.8)
STAKES = (0.1, 0.2, 0.4, 0.2, 0.1)
# Rates of the control that the first block is judged by, before there is any past.
FIRST_RATES = (0.05, 0.2, 0.5, 0.8, 0.9, 0.95, 0.98, 0.995)


class ProportionGate(MixtureGate):
    """Rejects that the canary's share of good outcomes is at least the control's minus a margin.

    The harm that each block is bet on is the control's rate so far, lowered by each of `HARMS`; the gate's
    e-value is the mean of those five bets. In the first block nothing is known of the rate: there it is the
    mean over `FIRST_RATES` too. See `blocks` for the e-value and its sources.

    Args:
        alpha: Probability of a false alarm, ever; 0..1.
        margin: Loss that is tolerated, as a difference of shares; 0..`LARGEST_MARGIN`.

    Raises:
        GateInputError: alpha or margin is out of range.
    """

    NAME = "ProportionGate"

    def __init__(self, alpha: float, margin: float = 0.0) -> None:
        super().__init__(alpha, STAKES)
        self.margin = check_margin(margin)
        self._canary = self._canary_good = self._control = self._control_good = 0

    def update(
        self, canary_successes: int, canary_total: int, control_successes: int, control_total: int
    ) -> None:
        """Take in one closed block; one without outcomes of either side is no evidence.

        Raises:
            GateInputError: a count is negative, not whole, too large or more than its total; nothing is
                counted then.
        """
        canary, control = count("canary_total", canary_total), count("control_total", control_total)
        block = Block(
            part("canary_successes", canary_successes, canary),
            canary,
            part("control_successes", control_successes, control),
            control,
        )
        self._mixture = self._mixture.after(self._gains(block))
        self._canary += block.canary
        self._canary_good += block.canary_good
        self._control += block.control
        self._control_good += block.control_good

    def _gains(self, block: Block) -> Floats:
        harms = np.asarray(HARMS)
        if self._control:
            # Half an outcome of each kind: a control without any error so far may have one.
            rate = (self._control_good + 0.5) / (self._control + 1.0)
            return log_e_values(block, np.asarray(rate), harms, self.margin)
        table = log_e_values(block, np.asarray(FIRST_RATES)[:, None], harms[None, :], self.margin)
        return np.fromiter(map(log_sum, table.T), np.float64, len(HARMS)) - math.log(len(FIRST_RATES))

    @property
    def canary_events(self) -> int:
        """Outcomes of the canary so far."""
        return self._canary

    @property
    def difference(self) -> float | None:
        """Canary's share minus the control's, over everything; None while one side has no outcomes."""
        if not self._canary or not self._control:
            return None
        return self._canary_good / self._canary - self._control_good / self._control

    def to_state(self) -> dict[str, Any]:
        """Return all of it, as JSON can hold it."""
        return self._state(self.NAME) | {
            "margin": self.margin,
            "canary": [self._canary_good, self._canary],
            "control": [self._control_good, self._control],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the gate that was stored.

        Raises:
            GateInputError: the state is not one of this gate.
        """
        gate = cls(field(state, cls.NAME, "alpha"), field(state, cls.NAME, "margin"))
        gate._mixture = stored_mixture(state, cls.NAME, STAKES)
        gate._canary_good, gate._canary = stored_part(state, cls.NAME, "canary")
        gate._control_good, gate._control = stored_part(state, cls.NAME, "control")
        return gate


def stored_part(state: Mapping[str, Any], gate: str, side: str) -> tuple[int, int]:
    """Return how many of a side's outcomes were good, and how many there were.

    Raises:
        GateInputError: the state does not hold that.
    """
    pair = field(state, gate, side)
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise GateInputError(side, pair, "two counts are wanted")
    total = count(side, pair[1], LARGEST_TOTAL)
    return part(side, pair[0], total), total
