"""How many more events of the canary it would take to find a harm worth stopping for.

From the growth rate of the evidence, if from now on the canary were as bad as that: the known-effect limit
ln(1 / alpha) / growth, less what there is already. The gates themselves need about a quarter more, because
they do not know the harm.
"""

import math

import numpy as np

from fleet_control.statistics.blocks import EDGE, projection
from fleet_control.statistics.evidence import Floats
from fleet_control.statistics.sequential import ProportionGate, QuantileGate, RateGate

# A harm worth stopping for: twice the margin of accuracy, and this much where the margin is nothing; this
# many times the errors; this many times the slow decisions (20 % longer ones, at the 99th percentile).
LOSS = 0.02
ERROR_RATIO = 3.0
SLOW_RATIO = 3.6


def needed(gate: ProportionGate | RateGate | QuantileGate) -> int | None:
    """Return about how many more canary events it takes; None while the other side is not known."""
    if gate.rejected:
        return 0
    growth = _rate_growth(gate) if isinstance(gate, RateGate) else _share_growth(gate)
    if growth is None or growth <= 0.0:
        return None
    missing = -math.log(gate.alpha) - math.log(max(gate.e_value, 1e-300))
    return max(0, math.ceil(missing / growth))


def _share_growth(gate: ProportionGate | QuantileGate) -> float | None:
    """Return the growth of log E per canary event."""
    state = gate.to_state()
    canary, (hits, control) = state["canary"][1], state["control"]
    if not canary or not control:
        return None
    if isinstance(gate, ProportionGate):
        margin, good = gate.margin, (hits + 0.5) / (control + 1.0)
        harmed = good - max(2.0 * margin, LOSS)
    else:
        margin, good = 0.0, 1.0 - (hits + 0.5) / (control + 1.0)
        harmed = 1.0 - SLOW_RATIO * (1.0 - good)
    theta_b = np.asarray(np.clip(good, margin + 2 * EDGE, 1 - EDGE))
    theta_a = np.asarray(np.clip(harmed, EDGE, 1 - EDGE))
    w = canary / (canary + control)
    b0 = projection(theta_a, theta_b, w, margin)
    growth = w * _divergence(theta_a, b0 - margin) + (1 - w) * _divergence(theta_b, b0)
    return float(growth / w)


def _divergence(p: Floats, q: Floats) -> Floats:
    found: Floats = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    return found


def _rate_growth(gate: RateGate) -> float | None:
    """Return the growth of log E per inference of the canary."""
    state = gate.to_state()
    (canary, control), errors = state["exposure"], state["errors"][1]
    if not canary or not control:
        return None
    rate, rho = (errors + 0.5) / control, canary / (canary + control)
    q = ERROR_RATIO * rho / (ERROR_RATIO * rho + 1 - rho)
    per_error = q * math.log(q / rho) + (1 - q) * math.log((1 - q) / (1 - rho))
    return float(rate * (ERROR_RATIO + (1 - rho) / rho) * per_error)
