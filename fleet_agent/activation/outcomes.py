"""What the activation of a model says while it works and when it is done."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fleet_agent.activation.parity import ParityReport
from fleet_agent.activation.slots import Attempt, Slot, SlotName, Stage
from fleet_agent.activation.store import StoredModel
from fleet_agent.errors import AgentError, PlanBuildError
from fleet_agent.manifest import ModelManifest
from fleet_agent.perception import PerceptionEngine

# Of a builder's log, the last lines name the cause; the whole would not fit a message.
LOG_LINES = 3


@dataclass(frozen=True, slots=True)
class ActivationProgress:
    """Where an activation is.

    Attributes:
        model: sha256 of the manifest.
        stage: The step that is being taken.
        phase: Of a build, as the runtime calls it; empty otherwise.
        step: Done in this phase.
        of: Steps of this phase; 0: not known.
    """

    model: str
    stage: Stage
    phase: str = ""
    step: int = 0
    of: int = 0


OnCount = Callable[[str], None]
OnProgress = Callable[[ActivationProgress], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model that passed the gate and may go live.

    Attributes:
        engine: Ready to run; it belongs to the caller, who hands the whole to `switch` or to `drop`.
        model: In the cart's store.
        plan: Key of its plan; None where there is none.
        report: Of the parity gate.
    """

    engine: PerceptionEngine
    model: StoredModel
    plan: str | None
    report: ParityReport


@dataclass(frozen=True, slots=True)
class Activated:
    """A model that went live.

    Attributes:
        engine: Ready to run; it belongs to the caller, who gives it to the thread that will own it.
        manifest: Of the model.
        directory: Of the model in the cart's store.
        slot: What was written down.
        report: Of the parity gate.
        signed_by: Id of the key; empty where signatures are not asked for.
    """

    engine: PerceptionEngine
    manifest: ModelManifest
    directory: Path
    slot: Slot
    report: ParityReport
    signed_by: str


@dataclass(frozen=True, slots=True)
class Fallback:
    """Something that was passed over at boot.

    Attributes:
        what: `current` or `last_good` (the slot), `plan`, `engine` or `backend` (the slot's model runs on
            ONNX Runtime instead), `slots` or `store` (the disk), `base` (its answers are wrong; or it does
            not open or is not signed, and the shipped model serves).
        why: One sentence.
    """

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Opened:
    """The engine a cart starts with.

    Attributes:
        engine: Ready to run; it belongs to the caller.
        manifest: Of its model.
        directory: Of its model.
        model: sha256 of its manifest.
        source: The slot it is from; `base` is the configured or shipped model.
        fallbacks: What was passed over, and why; empty: all is as it should be.
        pending: Folder of a model that should be activated in the background, because the best engine for
            it is not there: the first boot, a lost plan, another backend, another base model. None: nothing.
        interrupted: An activation that was cut off; its model did not go live.
    """

    engine: PerceptionEngine
    manifest: ModelManifest
    directory: Path
    model: str
    source: SlotName | Literal["base"]
    fallbacks: tuple[Fallback, ...]
    pending: Path | None
    interrupted: Attempt | None


def reason(error: Exception) -> str:
    """Return why something failed, in the runtime's own words where there are any."""
    if isinstance(error, PlanBuildError) and error.log:
        return f"{error} ({' | '.join(error.log[-LOG_LINES:])})"
    return str(error) if isinstance(error, AgentError) else f"{type(error).__name__}: {error}"
