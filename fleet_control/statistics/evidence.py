r"""Evidence that is added up: a mixture of e-processes on a logarithmic scale; and how input is checked.

A canary that was healthy for long has lost nearly all that was bet against it. If it turns bad then (a later
stage, another light), a bet that began with the first block would first have to win all of that back. So the
bets are spread over when the harm begins, too: most of the stake is put down at once, and of the rest, LATE,
the part 1 / (n (n - 1)) before block n. With a stake M for a harm and a block's e-value S of it,

    M_1 = (1 - LATE) S_1,   M_n = (M_{n-1} + LATE / (n (n - 1))) S_n,   E_n = sum_w w M_n + LATE / n

LATE / n is what has not been bet yet. A mean of e-processes that begin at fixed times is one itself: as in
Shin, Ramdas, Rinaldo: E-detectors (NEJSDS 2024, arXiv 2203.03532), but with weights that sum to one, so that
the probability of a false alarm stays below alpha for ever.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet_control.errors import GateInputError

Floats = NDArray[np.float64]

# Of the stored form; a state of another is refused rather than misread.
STATE_VERSION = 2
# Share of the stake that is bet on a harm which begins later. Lower, and such harm takes longer to be found;
# higher, and harm from the start does: by -ln(1 - LATE) of the ln(1 / alpha) that are needed.
LATE = 0.1
# The largest loss that can be tolerated. Nearer to 1, and bets have no room left: `blocks` keeps rates away
# from 0 and 1 by EDGE.
LARGEST_MARGIN = 0.999
# Of one block: up to here a float tells any two counts apart.
LARGEST_COUNT = 2**53
# Of all blocks together, as they are stored: more than anybody counts, and far from what no float holds.
LARGEST_TOTAL = 10**30
# exp() of more is no float.
LARGEST_LOG = 700.0


@dataclass(frozen=True, slots=True)
class Mixture:
    """A weighted mean of e-processes, which is one itself.

    Attributes:
        logs: float64 (G,), log of what the stakes on each harm have become; they were 1 - LATE.
        log_weights: float64 (G,), of each member; the weights sum to 1.
        peak: Highest log E of the mean so far, at least 0.
        blocks: Blocks that were evidence so far.
    """

    logs: Floats
    log_weights: Floats
    peak: float = 0.0
    blocks: int = 0

    @classmethod
    def fresh(cls, weights: Sequence[float]) -> "Mixture":
        """Return a mixture without any evidence."""
        share = np.asarray(weights, np.float64)
        return cls(np.full(len(share), math.log1p(-LATE)), np.log(share / share.sum()))

    @property
    def log_e(self) -> float:
        """Log of the mean."""
        if not self.blocks:
            return 0.0
        return log_sum(np.append(self.logs + self.log_weights, math.log(LATE / self.blocks)))

    def after(self, gains: Floats) -> "Mixture":
        """Return it with the log e-value of one more block for each member; one that says nothing is none."""
        if not gains.any():
            return self
        n = self.blocks + 1
        begun = self.logs if n == 1 else np.logaddexp(self.logs, math.log(LATE / (n * (n - 1))))
        grown = replace(self, logs=begun + gains, blocks=n)
        return replace(grown, peak=max(self.peak, grown.log_e))


class MixtureGate:
    """What gates of events have in common: a mixture, and what it says.

    Args:
        alpha: Probability of a false alarm, ever; 0..1.
        stakes: How much is bet on each harm.

    Raises:
        GateInputError: alpha is out of range.
    """

    def __init__(self, alpha: float, stakes: Sequence[float]) -> None:
        self.alpha = check_alpha(alpha)
        self._mixture = Mixture.fresh(stakes)

    @property
    def e_value(self) -> float:
        """Evidence of harm now; 1 is none."""
        return e_value(self._mixture.log_e)

    @property
    def rejected(self) -> bool:
        """Whether the evidence has ever reached 1 / alpha. It stays so."""
        return self._mixture.peak >= -math.log(self.alpha)

    def _state(self, gate: str) -> dict[str, Any]:
        """Return its part of the stored form."""
        return {
            "gate": gate,
            "version": STATE_VERSION,
            "alpha": self.alpha,
            "logs": self._mixture.logs.tolist(),
            "blocks": self._mixture.blocks,
            "peak": self._mixture.peak,
        }


def log_sum(logs: Floats) -> float:
    """Return log of the sum of exp, without leaving the floats."""
    highest = float(logs.max())
    return highest + math.log(float(np.exp(logs - highest).sum()))


def e_value(log_e: float) -> float:
    """Return exp, as large as a float can be at most."""
    return math.exp(min(log_e, LARGEST_LOG))


def is_number(given: object) -> bool:
    """Whether it is a number of Python's or NumPy's; a truth value is none."""
    return isinstance(given, int | float | np.integer | np.floating) and not isinstance(given, bool)


def check_alpha(alpha: float) -> float:
    """Return the probability of a false alarm that is accepted.

    Raises:
        GateInputError: not between 0 and 1.
    """
    return checked("alpha", alpha, 0.0, 1.0)


def check_margin(margin: float) -> float:
    """Return the loss that is tolerated.

    Raises:
        GateInputError: not from 0 to `LARGEST_MARGIN`.
    """
    if not is_number(margin) or not 0.0 <= margin <= LARGEST_MARGIN:
        raise GateInputError("margin", margin, f"a number from 0 to {LARGEST_MARGIN} is wanted")
    return float(margin)


def checked(what: str, given: float, low: float, high: float) -> float:
    """Return a number strictly between two bounds.

    Raises:
        GateInputError: it is not, or no number.
    """
    if not is_number(given) or not low < given < high:
        raise GateInputError(what, given, f"a number between {low:g} and {high:g} is wanted")
    return float(given)


def count(what: str, given: float, most: int = LARGEST_COUNT) -> int:
    """Return a count.

    Raises:
        GateInputError: negative, not whole, too many, or no number.
    """
    # A warehouse gives counts as floats where a column may be null.
    if not is_number(given) or not 0 <= given <= most or given != int(given):
        raise GateInputError(what, given, f"a whole number from 0 to {most:g} is wanted")
    return int(given)


def part(what: str, given: float, total: int) -> int:
    """Return a count that is part of a total.

    Raises:
        GateInputError: it is no count, or more than the total.
    """
    counted = count(what, given, LARGEST_TOTAL)
    if counted > total:
        raise GateInputError(what, given, f"more than its total of {total}")
    return counted


def field(state: Mapping[str, Any], gate: str, name: str) -> Any:
    """Return a field of a stored gate.

    Raises:
        GateInputError: it is missing, or the state is of another gate or version.
    """
    if state.get("gate") != gate or state.get("version") != STATE_VERSION:
        raise GateInputError(
            "state", (state.get("gate"), state.get("version")), f"that of a {gate} {STATE_VERSION} is wanted"
        )
    if name not in state:
        raise GateInputError("state", sorted(state), f"it lacks {name!r}")
    return state[name]


def stored_mixture(state: Mapping[str, Any], gate: str, weights: Sequence[float]) -> Mixture:
    """Return the mixture of a stored gate.

    Raises:
        GateInputError: its numbers are not those of this gate.
    """
    fresh = Mixture.fresh(weights)
    given = field(state, gate, "logs"), field(state, gate, "peak")
    try:
        logs, peak = np.asarray(given[0], np.float64), float(given[1])
    except (TypeError, ValueError) as error:
        raise GateInputError("state", given, "numbers are wanted") from error
    if logs.shape != fresh.logs.shape or np.isnan(logs).any() or not peak >= 0.0:
        raise GateInputError("state", logs.tolist(), f"{len(fresh.logs)} numbers and a peak are wanted")
    return replace(fresh, logs=logs, peak=peak, blocks=count("blocks", field(state, gate, "blocks")))
