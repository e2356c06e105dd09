"""From one model to the next in a running cart."""

from collections.abc import Callable
from dataclasses import dataclass

from fleet_agent.basket.rest import Rest
from fleet_agent.manifest import ModelManifest
from fleet_agent.perception import PerceptionEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChange:
    """Another model for a running cart. All is called by its deciding thread, and must not take long.

    Attributes:
        engine: Ready to run, with a row of input per camera; it belongs to the agent once it is used.
        manifest: Of its model.
        may: Asked with what goes on at the cart whether to change over now.
        commit: Called when nothing but it can fail any more: writes down what the next boot shall open. If it
            raises, the model before stays.
        done: Told whether the model is used, and why not in words, if it failed; empty: it may not now.
    """

    engine: PerceptionEngine
    manifest: ModelManifest
    may: Callable[[Rest], bool]
    commit: Callable[[], None]
    done: Callable[[bool, str], None]


@dataclass(frozen=True, slots=True)
class Sight:
    """How a cart's network has fared since the start of the agent.

    Attributes:
        looks: Inferences that answered.
        looks_ms: Time they took, in sum.
        failures: Inferences that failed or answered no numbers, and errors around them.
        stuck: What hangs in the deciding thread or the network; empty: nothing.
        spool_works: Whether the spool takes what it is given.
    """

    looks: int
    looks_ms: float
    failures: int
    stuck: str
    spool_works: bool
