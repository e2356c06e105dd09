r"""Whether the canaries are heard as often as they should be: an e-process on the share of their events.

Carts differ in traffic, so what is expected is the share that the same carts had the day before, give or take
a tolerance: the null is that the odds of an event being a canary's are within `TOLERANCE` of the past ones,
either way. Below that, evidence grows that canaries are lost (they crash, drop events, or send them under
another model); above it, that controls are.

For each event, with p the share at the edge of the tolerance and q a share beyond it, (q / p)^x ((1 - q) / (1
- p))^(1 - x) is an e-value as in Lindon, Malek: Anytime-valid inference for multinomial count data (NeurIPS
2022, arXiv 2011.03567). But events come in trips, and a trip's events are all of one cart. So each counts 1 /
`TRIP_EVENTS` of an event: the e-value of a trip of at most so many is then a power, at most 1, of an e-value,
and by Jensen's inequality an e-value, too.
"""

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from fleet_control.rollouts.gating.blocks import Shares
from fleet_control.statistics.evidence import MixtureGate, count, field, stored_mixture

# Probability that it ever fires without reason. It stops nothing, but nothing passes while it fires.
ALPHA = 0.01
# Odds so many times as high or low as the day before are still in order. Lower, and the chance of who goes
# shopping today fires it; higher, and it needs days to see half the events vanish.
TOLERANCE = 1.3
# Events of one trip through the shop, most of the time at most. Lower counts a trip's events as if each were
# on its own; higher needs more of them.
TRIP_EVENTS = 15.0
# Of each side the day before, at least: from fewer no share can be told.
MIN_PAST = 500
# Odds that are bet on, as multiples of the past ones, and how much on each.
RATIOS = (0.5, 0.2, 0.02, 2.0, 5.0)
STAKES = (0.3, 0.2, 0.2, 0.2, 0.1)


class SampleRatioGate(MixtureGate):
    """Rejects that the share of the canaries' events is what it was the day before, but for a tolerance."""

    NAME = "SampleRatioGate"

    def __init__(self, alpha: float = ALPHA) -> None:
        super().__init__(alpha, STAKES)
        self._canary = self._control = 0
        self._expected = 0.0

    def update(self, shares: Shares) -> bool:
        """Take in one closed block; whether there was anything to compare it with."""
        total = shares.canary + shares.control
        if min(shares.canary_past, shares.control_past) < MIN_PAST:
            return False
        past = shares.canary_past / shares.control_past
        ratios = np.asarray(RATIOS)
        edge = past * np.where(ratios < 1.0, 1.0 / TOLERANCE, TOLERANCE)
        bet = past * ratios
        gains = shares.canary * np.log(bet / edge) + total * (np.log1p(edge) - np.log1p(bet))
        self._mixture = self._mixture.after(gains / TRIP_EVENTS)
        self._canary += shares.canary
        self._control += shares.control
        self._expected += total * past / (1.0 + past)
        return True

    @property
    def counted(self) -> tuple[int, int]:
        """Events of canaries and of controls so far."""
        return self._canary, self._control

    @property
    def expected(self) -> float:
        """How many of them the past says are the canaries'."""
        return self._expected

    def to_state(self) -> dict[str, Any]:
        """Return all of it, as JSON can hold it."""
        return self._state(self.NAME) | {
            "events": [self._canary, self._control],
            "expected": self._expected,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the gate that was stored.

        Raises:
            GateInputError: the state is not one of this gate.
        """
        gate = cls(field(state, cls.NAME, "alpha"))
        gate._mixture = stored_mixture(state, cls.NAME, STAKES)
        events = field(state, cls.NAME, "events")
        gate._canary, gate._control = (count("events", one) for one in events)
        gate._expected = float(field(state, cls.NAME, "expected"))
        if not math.isfinite(gate._expected):
            gate._expected = 0.0
        return gate
