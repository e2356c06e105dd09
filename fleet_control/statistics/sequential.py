r"""Gates of a rollout that may be looked at every second, for ever.

Each gate holds an *e-process*: E_0 = 1, E >= 0, and on average it does not grow while the canary is no worse
than its control. So the probability that it ever reaches 1 / alpha is at most alpha, whenever and however
often one looks (Ville 1939; Ramdas, Gruenwald, Vovk, Shafer 2023, arXiv 2210.01948). `rejected` says that it
has.

| gate | fed with | it rejects |
|---|---|---|
| `ProportionGate` | successes and totals | the canary's share is at least the control's, less a margin |
| `RateGate` | errors and exposure | the canary's error rate is not above the control's |
| `QuantileGate` | how many were over a frozen threshold | not more of the canary's are over it |
| `PairedGate` | differences of matched pairs of carts | the canary loses no more than the margin |

The first three count events. They are exact while all events of a block share their side's rate; carts that
differ of themselves break that. So they may pause a rollout; only `PairedGate`, whose unit is a cart, may
promote one.

One call of `update` per closed block. What belongs to a block must not depend on how its events came out, and
no event may be counted twice: a repeated block squares its evidence. Every gate can be stored and read back
between any two blocks (`to_state`, `from_state`), and then goes on as if nothing had been.
"""

from fleet_control.statistics.paired import PairedGate
from fleet_control.statistics.proportion import ProportionGate
from fleet_control.statistics.quantile import QuantileGate
from fleet_control.statistics.rate import RateGate

__all__ = ["PairedGate", "ProportionGate", "QuantileGate", "RateGate"]
