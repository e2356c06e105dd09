r"""The gate whose unit is a pair of carts: one of them a canary, drawn by lot, the other its match.

D is the pair's difference, canary minus control, over one window; a pair counts once. If the new model
changes the share of every cart by m, the lot alone decides the sign of D - m: it is a fair coin, however
much carts differ and however their events are spread. So, with a scale c that is known before,

    u = clip((D - m) / c, -1, 1)          E(m) = mean_lambda prod_i (1 + lambda u_i)

is an e-process against "the change is at most m", and with -u against "at least m". Inverting both at alpha
/ 2 each gives the interval: all m that neither rejects, valid at any time (a confidence sequence).

It is exact for a change that is the same for all carts. A change that helps most and hurts a few much can
hide in it, as in any test of signs: the gates of events are there for that.

Ham, Lindon, Tingley, Bojinov: Design-based confidence sequences (arXiv 2210.08639); betting on clipped,
symmetric values after Waudby-Smith, Ramdas: Estimating means of bounded random variables by betting (JRSS-B
2024).
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fleet_control.errors import GateInputError
from fleet_control.statistics.evidence import (
    STATE_VERSION,
    check_alpha,
    check_margin,
    e_value,
    field,
    is_number,
    log_sum,
)

Floats = NDArray[np.float64]

# Shares of the stake that are bet on each pair.
BETS = np.array((0.2, 0.4, 0.6, 0.8, 0.95))
# A difference of so many standard deviations of the past is a whole bet. Lower throws away how large
# differences are, higher bets little on small ones.
SCALE_DEVIATIONS = 2.0
# What the spread of differences is taken for before there are any, with the weight of so many pairs.
FIRST_DEVIATION = 0.02
FIRST_PAIRS = 2.0
# Differences of exactly nothing, again and again, leave the scale at this.
LEAST_SCALE = 1e-4
# A stage has some hundreds of pairs; this many are a fault of whoever calls.
MAX_PAIRS = 100_000
# Halvings of the bracket of a bound: to a millionth.
HALVINGS = 22


class PairedGate:
    """Tells whether a canary loses more than a margin, or certainly does not.

    `rejected`: it loses more than the margin. `passed`: the lower end of `interval` is above minus the
    margin. Both stay once they are so.

    Args:
        alpha: Probability of a false verdict of either kind, ever; 0..1.
        margin: Loss that is tolerated, as a difference of shares; 0..`LARGEST_MARGIN`.

    Raises:
        GateInputError: alpha or margin is out of range.
    """

    NAME = "PairedGate"

    def __init__(self, alpha: float, margin: float) -> None:
        self.alpha = check_alpha(alpha)
        self.margin = check_margin(margin)
        self._differences: list[float] = []
        self._peak = 0.0
        self._passed = False

    def update(self, differences: Iterable[float]) -> None:
        """Take in the pairs whose window has closed, in an order that does not depend on the differences.

        Args:
            differences: Canary minus control of each pair, -1..1.

        Raises:
            GateInputError: a difference is out of range, or there are too many; nothing is counted then.
        """
        block = [_difference(one) for one in differences]
        if len(self._differences) + len(block) > MAX_PAIRS:
            raise GateInputError("differences", len(block), f"more than {MAX_PAIRS} pairs in all")
        if not block:
            return
        before = len(self._differences)
        self._differences += block
        scaled = _Scaled(np.asarray(self._differences))
        harm = scaled.log_e_after_each(-self.margin, -1.0)[before:]
        self._peak = max(self._peak, float(harm.max()))
        benefit = scaled.log_e_after_each(-self.margin, 1.0)[before:]
        self._passed = self._passed or bool(benefit.max() >= math.log(2.0 / self.alpha))

    @property
    def e_value(self) -> float:
        """Evidence that more than the margin is lost; 1 is none."""
        return e_value(self._log_e)

    @property
    def _log_e(self) -> float:
        if not self._differences:
            return 0.0
        return _Scaled(np.asarray(self._differences)).log_e(-self.margin, -1.0)

    @property
    def rejected(self) -> bool:
        """Whether that evidence has ever reached 1 / alpha. It stays so."""
        return self._peak >= -math.log(self.alpha)

    @property
    def passed(self) -> bool:
        """Whether it was ever certain that no more than the margin is lost. It stays so."""
        return self._passed

    @property
    def pairs(self) -> int:
        """Pairs so far."""
        return len(self._differences)

    @property
    def interval(self) -> tuple[float, float]:
        """Where the change is, with probability 1 - alpha at all times together; -1 to 1 before any pair."""
        if not self._differences:
            return -1.0, 1.0
        scaled = _Scaled(np.asarray(self._differences))
        enough = math.log(2.0 / self.alpha)
        return (
            _bound(lambda m: scaled.log_e(m, 1.0) >= enough, -1.0, 1.0),
            _bound(lambda m: scaled.log_e(m, -1.0) >= enough, 1.0, -1.0),
        )

    def to_state(self) -> dict[str, Any]:
        """Return all of it, as JSON can hold it."""
        return {
            "gate": self.NAME,
            "version": STATE_VERSION,
            "alpha": self.alpha,
            "margin": self.margin,
            "differences": list(self._differences),
            "peak": self._peak,
            "passed": self._passed,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the gate that was stored.

        Raises:
            GateInputError: the state is not one of this gate.
        """
        gate = cls(field(state, cls.NAME, "alpha"), field(state, cls.NAME, "margin"))
        gate._differences = [_difference(one) for one in field(state, cls.NAME, "differences")]
        peak, passed = field(state, cls.NAME, "peak"), field(state, cls.NAME, "passed")
        if not isinstance(peak, int | float) or not peak >= 0.0 or not isinstance(passed, bool):
            raise GateInputError("state", (peak, passed), "a peak and a verdict are wanted")
        gate._peak, gate._passed = float(peak), passed
        return gate


class _Scaled:
    """Differences, each with the scale that was known before it."""

    def __init__(self, differences: Floats) -> None:
        self._differences = differences
        n = np.arange(len(differences))
        sums = np.concatenate(([0.0], np.cumsum(differences)[:-1]))
        squares = np.concatenate(([0.0], np.cumsum(differences**2)[:-1]))
        # Around the mean of the past, so that a change which is the same for all does not widen the scale.
        spread = np.maximum(squares - sums**2 / np.maximum(n, 1), 0.0)
        deviation = np.sqrt((spread + FIRST_PAIRS * FIRST_DEVIATION**2) / (n + FIRST_PAIRS))
        self._scale = np.maximum(SCALE_DEVIATIONS * deviation, LEAST_SCALE)

    def _logs(self, change: float, side: float) -> Floats:
        u = np.clip(side * (self._differences - change) / self._scale, -1.0, 1.0)
        logs: Floats = np.log1p(BETS[:, None] * u)
        return logs

    def log_e(self, change: float, side: float) -> float:
        """Return log E against a change of at most (side 1) or at least (side -1) so much."""
        return log_sum(self._logs(change, side).sum(axis=1)) - math.log(len(BETS))

    def log_e_after_each(self, change: float, side: float) -> Floats:
        """Return the same after each pair."""
        sums = np.cumsum(self._logs(change, side), axis=1)
        highest = sums.max(axis=0)
        logs: Floats = highest + np.log(np.exp(sums - highest).mean(axis=0))
        return logs


def _bound(is_rejected: Any, rejected_end: float, kept_end: float) -> float:
    """Return where a test that is monotone stops rejecting; the first end where it rejects nothing at all."""
    if not is_rejected(rejected_end):
        return rejected_end
    outside, inside = rejected_end, kept_end
    for _ in range(HALVINGS):
        middle = (outside + inside) / 2
        if is_rejected(middle):
            outside = middle
        else:
            inside = middle
    return outside


def _difference(given: float) -> float:
    if not is_number(given) or not -1.0 <= given <= 1.0:
        raise GateInputError("difference", given, "a number from -1 to 1 is wanted")
    return float(given)
