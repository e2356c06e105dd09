r"""The gate of a rate: errors per exposure of the canary, against the control's.

Given that an error happened, it is the canary's with probability rho, its share of the exposure, if both
sides err at the same rate, whatever that rate is and however it changes with the hour. If the canary errs r
times as often, it is q = r rho / (r rho + 1 - rho). So each error is a bet of q against rho:

    E = sum_r pi_r prod_i (q_r / rho)^x_i ((1 - q_r) / (1 - rho))^(1 - x_i)

Lindon, Malek: Anytime-valid inference for multinomial count data (NeurIPS 2022, arXiv 2011.03567).
"""

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from fleet_control.errors import GateInputError
from fleet_control.statistics.evidence import (
    LARGEST_TOTAL,
    MixtureGate,
    count,
    field,
    is_number,
    stored_mixture,
)

# How many times as often the canary errs, and how much is bet on each. Most lies on two to five times: more
# shows within a handful of errors, less is a matter of hundreds.
RATIOS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
STAKES = (0.05, 0.1, 0.25, 0.35, 0.15, 0.1)
# Of one block, where it is not 0. Far beyond, the ratio of the two sides is none that a float can hold.
LEAST_EXPOSURE, LARGEST_EXPOSURE = 1e-15, 1e15


class RateGate(MixtureGate):
    """Rejects that the canary's error rate is at most the control's.

    Args:
        alpha: Probability of a false alarm, ever; 0..1.

    Raises:
        GateInputError: alpha is out of range.
    """

    NAME = "RateGate"

    def __init__(self, alpha: float) -> None:
        super().__init__(alpha, STAKES)
        self._canary_errors = self._control_errors = 0
        self._canary_exposure = self._control_exposure = 0.0

    def update(
        self, canary_errors: int, control_errors: int, canary_exposure: float, control_exposure: float
    ) -> None:
        """Take in one closed block.

        Args:
            canary_errors: Errors of the canary.
            control_errors: Errors of the control.
            canary_exposure: In what the errors happened: inferences, or minutes of carts; 0 or from
                `LEAST_EXPOSURE` to `LARGEST_EXPOSURE`.
            control_exposure: Likewise, in the same unit.

        Raises:
            GateInputError: a number cannot be, or there are errors without exposure; nothing is counted then.
        """
        canary, control = count("canary_errors", canary_errors), count("control_errors", control_errors)
        exposed = _exposure("canary_exposure", canary_exposure, canary)
        beside = _exposure("control_exposure", control_exposure, control)
        if exposed > 0.0 and beside > 0.0:
            # Of ratios, not of shares: a share of 1e-30 is one too.
            odds = np.asarray(RATIOS) * exposed / beside
            gains = canary * np.log(RATIOS) + (canary + control) * (
                math.log1p(exposed / beside) - np.log1p(odds)
            )
            self._mixture = self._mixture.after(gains)
        self._canary_errors += canary
        self._control_errors += control
        self._canary_exposure += exposed
        self._control_exposure += beside

    @property
    def errors(self) -> int:
        """Errors of both sides so far."""
        return self._canary_errors + self._control_errors

    @property
    def ratio(self) -> float | None:
        """The canary's rate over the control's; None while that cannot be said."""
        if not self._control_errors or not self._canary_exposure:
            return None
        control_rate = self._control_errors / self._control_exposure
        return self._canary_errors / self._canary_exposure / control_rate

    def to_state(self) -> dict[str, Any]:
        """Return all of it, as JSON can hold it."""
        return self._state(self.NAME) | {
            "errors": [self._canary_errors, self._control_errors],
            "exposure": [self._canary_exposure, self._control_exposure],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the gate that was stored.

        Raises:
            GateInputError: the state is not one of this gate.
        """
        gate = cls(field(state, cls.NAME, "alpha"))
        gate._mixture = stored_mixture(state, cls.NAME, STAKES)
        errors, exposure = field(state, cls.NAME, "errors"), field(state, cls.NAME, "exposure")
        if len(errors) != 2 or len(exposure) != 2:
            raise GateInputError("state", (errors, exposure), "two sides are wanted")
        gate._canary_errors, gate._control_errors = (count("errors", one, LARGEST_TOTAL) for one in errors)
        gate._canary_exposure, gate._control_exposure = (
            _exposure("exposure", one, 0, most=LARGEST_TOTAL) for one in exposure
        )
        return gate


def _exposure(what: str, given: float, errors: int, *, most: float = LARGEST_EXPOSURE) -> float:
    if not is_number(given) or not (given == 0 or LEAST_EXPOSURE <= given <= most):
        raise GateInputError(what, given, f"0 or a number from {LEAST_EXPOSURE:g} to {most:g} is wanted")
    if errors and given == 0:
        raise GateInputError(what, given, f"{errors} errors need some exposure to happen in")
    return float(given)
