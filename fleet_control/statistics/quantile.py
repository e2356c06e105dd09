"""The gate of a quantile, such as the 99th percentile of latency: how many are over a frozen threshold.

The canary's quantile is at most the threshold exactly if no larger a share than 1 - quantile is over it. So
a threshold that is frozen before the stage, the control's own quantile of yesterday or what was promised,
turns a question about a quantile into one about a share (`blocks`), which needs two counts a block, and a
tenth of the inferences of a two-sample test of quantiles.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from fleet_control.statistics.blocks import Block, log_e_values
from fleet_control.statistics.evidence import (
    MixtureGate,
    checked,
    count,
    field,
    part,
    stored_mixture,
)
from fleet_control.statistics.proportion import stored_part

# Harms that are bet on, in log odds of being over the threshold, and how much on each. Where latencies
# scatter by a third, 5, 10, 20 and 30 % more put 1.4, 2, 3.6 and 5.7 % over a threshold of 1 %: 0.4, 0.7,
# 1.3, 1.8.
HARMS = (0.4, 0.7, 1.3, 1.8)
STAKES = (0.1, 0.2, 0.5, 0.2)
# Larger whole numbers are no floats.
LARGEST_THRESHOLD = 1e300
# The share over the threshold is known from when it was frozen, with the weight of so many inferences. Fewer
# believe the first few of the control; more are slow to learn that today is not yesterday.
PAST_TOTAL = 200.0


class QuantileGate(MixtureGate):
    """Rejects that no more of the canary's than of the control's are over the threshold.

    Args:
        alpha: Probability of a false alarm, ever; 0..1.
        quantile: 0..1, such as 0.99.
        threshold: The quantile's value when it was frozen; whoever counts compares with it.

    Raises:
        GateInputError: a number is out of range.
    """

    NAME = "QuantileGate"

    def __init__(self, alpha: float, quantile: float, threshold: float) -> None:
        super().__init__(alpha, STAKES)
        self.quantile = checked("quantile", quantile, 0.0, 1.0)
        self.threshold = checked("threshold", threshold, -LARGEST_THRESHOLD, LARGEST_THRESHOLD)
        self._canary_over = self._canary = self._control_over = self._control = 0

    def update(self, canary_over: int, canary_total: int, control_over: int, control_total: int) -> None:
        """Take in one closed block.

        Args:
            canary_over: Values of the canary over the threshold.
            canary_total: All of them.
            control_over: Values of the control over the threshold.
            control_total: All of them.

        Raises:
            GateInputError: a count is negative, not whole, too large or more than its total; nothing is
                counted then.
        """
        canary, control = count("canary_total", canary_total), count("control_total", control_total)
        over = part("canary_over", canary_over, canary)
        beside = part("control_over", control_over, control)
        past = PAST_TOTAL * self.quantile + self._control - self._control_over
        within = np.asarray(past / (PAST_TOTAL + self._control))
        block = Block(canary - over, canary, control - beside, control)
        self._mixture = self._mixture.after(log_e_values(block, within, np.asarray(HARMS), 0.0))
        self._canary_over += over
        self._canary += canary
        self._control_over += beside
        self._control += control

    @property
    def canary_events(self) -> int:
        """Values of the canary so far."""
        return self._canary

    def to_state(self) -> dict[str, Any]:
        """Return all of it, as JSON can hold it."""
        return self._state(self.NAME) | {
            "quantile": self.quantile,
            "threshold": self.threshold,
            "canary": [self._canary_over, self._canary],
            "control": [self._control_over, self._control],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the gate that was stored.

        Raises:
            GateInputError: the state is not one of this gate.
        """
        gate = cls(*(field(state, cls.NAME, name) for name in ("alpha", "quantile", "threshold")))
        gate._mixture = stored_mixture(state, cls.NAME, STAKES)
        gate._canary_over, gate._canary = stored_part(state, cls.NAME, "canary")
        gate._control_over, gate._control = stored_part(state, cls.NAME, "control")
        return gate
