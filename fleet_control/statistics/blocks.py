r"""Two streams of yes and no, block by block: the e-value of a 2 x 2 table, with a margin.

A block has n_a outcomes of the canary, y_a of them good, and n_b of the control, y_b of them good; w = n_a /
n. For a harm (theta_a, theta_b) that was chosen before the block was seen,

    S = (theta_a / a0)^y_a ((1 - theta_a) / (1 - a0))^(n_a - y_a)
      * (theta_b / b0)^y_b ((1 - theta_b) / (1 - b0))^(n_b - y_b)

is an e-value against "theta_a >= theta_b - margin", where (a0, b0) is the reverse information projection of
the harm onto that: b0 minimises w KL(theta_a || b - margin) + (1 - w) KL(theta_b || b), a0 = b0 - margin.
Without a margin a0 = b0 = w theta_a + (1 - w) theta_b. The common rate may change from block to block: time
of day, mix of stores.

Turner, Ly, Gruenwald: Generic E-variables for exact sequential k-sample tests (JSPI 2024, arXiv 2106.02693);
with a margin, Turner, Gruenwald: Exact anytime-valid confidence intervals for contingency tables (arXiv
2203.09785).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Rates are kept this far from 0 and 1, where a bet could lose everything at once.
EDGE = 1e-6
# Halvings of the bracket around b0: 2^-60 is below the last digit of a float.
HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Block:
    """Outcomes of both sides.

    Attributes:
        canary_good: Of the canary's outcomes.
        canary: All of them.
        control_good: Of the control's outcomes.
        control: All of them.
    """

    canary_good: int
    canary: int
    control_good: int
    control: int

    @property
    def compares(self) -> bool:
        """Whether both sides are in it."""
        return self.canary > 0 and self.control > 0


def log_e_values(block: Block, control_rate: Floats, harms: Floats, margin: float) -> Floats:
    """Return log S for each harm; 0 where the block does not compare.

    Args:
        block: Outcomes.
        control_rate: Guess of the control's rate from the past, broadcast against `harms`.
        harms: How much lower the canary's log odds are, below the control's rate minus the margin.
        margin: 0..1.
    """
    if not block.compares:
        return np.zeros(np.broadcast(control_rate, harms).shape)
    # Below, so that the margin leaves the canary some room above 0.
    theta_b = np.clip(control_rate, margin + 2 * EDGE, 1.0 - EDGE)
    tolerated = theta_b - margin
    odds = tolerated / (1.0 - tolerated) * np.exp(-harms)
    theta_a = np.maximum(odds / (1.0 + odds), EDGE / 2)
    w = block.canary / (block.canary + block.control)
    b0 = projection(theta_a, theta_b, w, margin)
    a0 = b0 - margin
    logs: Floats = (
        block.canary_good * np.log(theta_a / a0)
        + (block.canary - block.canary_good) * np.log((1.0 - theta_a) / (1.0 - a0))
        + block.control_good * np.log(theta_b / b0)
        + (block.control - block.control_good) * np.log((1.0 - theta_b) / (1.0 - b0))
    )
    return logs


def projection(theta_a: Floats, theta_b: Floats, w: float, margin: float) -> Floats:
    """Return b0, by bisection: what is minimised is convex, and its slope changes sign in the bracket."""
    if margin == 0.0:
        mean: Floats = w * theta_a + (1.0 - w) * theta_b
        return mean
    low, high = np.broadcast_arrays(theta_a + margin, theta_b)
    for _ in range(HALVINGS):
        b = (low + high) / 2
        a = b - margin
        rising = w * (a - theta_a) / (a * (1 - a)) + (1 - w) * (b - theta_b) / (b * (1 - b)) > 0.0
        low, high = np.where(rising, low, b), np.where(rising, b, high)
    middle: Floats = (low + high) / 2
    return middle
