"""How a cart is updated: the numbers of its settings."""

from collections.abc import Callable
from dataclasses import dataclass

from fleet_agent.manifest import ModelManifest

# While an update is under way it is looked after this often. Lower wakes the cart for nothing; higher, and a
# basket that closes only for a moment is missed.
POLL_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateTerms:
    """How a cart is updated.

    Attributes:
        idle_s: How long a cart must rest before it counts as one in which nobody shops.
        probation_s: How long a new model is watched.
        probation_looks: How many inferences it must show at least.
        budget_ms: Returns the longest time of an inference of a model; None: there is no limit.
        poll_s: How often an update that is under way is looked after.
    """

    idle_s: float
    probation_s: float
    probation_looks: int
    budget_ms: Callable[[ModelManifest], float | None]
    poll_s: float = POLL_S
