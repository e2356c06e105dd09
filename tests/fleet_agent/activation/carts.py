"""Carts that activate: an activator over a folder, with a backend of the test's choice."""

from collections import Counter
from pathlib import Path

from fleet_agent.activation.activator import Activator
from fleet_agent.activation.outcomes import ActivationProgress
from fleet_agent.activation.slots import SlotFile
from fleet_agent.activation.store import ModelStore
from fleet_agent.activation.trial import TrialSettings
from fleet_agent.activation.workshop import Workshop
from fleet_agent.decoding import decode
from fleet_agent.durable import FolderLock
from fleet_agent.engines.contract import Backend
from fleet_agent.engines.onnxruntime_backend import OnnxRuntimeBackend
from fleet_agent.manifest import ModelManifest
from fleet_agent.perception import PerceptionEngine
from fleet_agent.plans.cache import PlanCache
from fleet_agent.ports import Clock
from fleet_agent.preprocess import Preprocessor
from fleet_agent.updates.record import RecordFile
from tests.fleet_agent.activation.copying import CopyingBackend
from tests.fleet_agent.activation.models import SCENES, TRUSTED, picture
from tests.fleet_agent.worlds import SteppedClock

SETTINGS = TrialSettings(cameras=2, build_timeout_s=60.0, runs=3)


class CartOnBench:
    """One cart's store, opened.

    Args:
        folder: Of the cart.
        base: Folder of the model it ships with.
        backend: That runs models.
        settings: How engines are made.
        clock: Time.
        trusted: Keys; None asks for no signatures.
        shipped: Folder of the model that came with the agent; None: the same.
        plan_bytes: Capacity of the plan cache beyond what is pinned.
        base_is_configured: The cart's owner named the base model.
        record: Of the updates, whose models are kept; None: there are none.
    """

    def __init__(
        self,
        folder: Path,
        base: Path,
        *,
        backend: Backend | None = None,
        settings: TrialSettings = SETTINGS,
        clock: Clock | None = None,
        trusted: dict[str, bytes] | None = TRUSTED,
        plan_bytes: int = 0,
        base_is_configured: bool = False,
        shipped: Path | None = None,
        record: RecordFile | None = None,
    ) -> None:
        self.counted: Counter[str] = Counter()
        self.progress: list[ActivationProgress] = []
        self.folder = folder
        clock = clock or SteppedClock()
        self.workshop = Workshop(
            lock=FolderLock(folder),
            slots=SlotFile(folder / "slots.json", self._count),
            store=ModelStore(folder / "models", trusted),
            plans=PlanCache(folder / "plans", capacity_bytes=plan_bytes, clock=clock, on_count=self._count),
            backend=backend or CopyingBackend(),
            reference=OnnxRuntimeBackend(),
            base=base,
            shipped=shipped or base,
            base_is_configured=base_is_configured,
            settings=settings,
            clock=clock,
            on_count=self._count,
            on_progress=self.progress.append,
            pinned=(lambda: record.record.pins) if record else frozenset,
        )
        self.activator = Activator(self.workshop)

    def _count(self, name: str) -> None:
        self.counted[name] += 1

    def close(self) -> None:
        """Let go of the folder."""
        self.activator.close()

    def again(self, **changes: object) -> "CartOnBench":
        """Start the cart anew."""
        self.close()
        kept = {
            "backend": self.workshop.backend,
            "settings": self.workshop.settings,
            "clock": self.workshop.clock,
        }
        return CartOnBench(self.folder, self.workshop.base, **{**kept, **changes})  # type: ignore[arg-type]

    def leftovers(self) -> list[str]:
        """Return what should not be there: half-written things, models and plans that no slot names."""
        slots = self.activator.slots
        wanted = {"models": slots.models, "plans": slots.plans}
        wrong = [str(path) for path in self.folder.rglob(".incomplete-*")]
        for name, keep in wanted.items():
            wrong += [
                str(path)
                for path in (self.folder / name).iterdir()
                if path.is_dir() and path.name not in keep and not path.name.startswith(".incomplete-")
            ]
        return wrong


def items_seen(engine: PerceptionEngine, manifest: ModelManifest) -> list[set[str]]:
    """Return the names of the items that an engine sees in each golden scene, for any order of classes."""
    rows = Preprocessor(manifest.input, engine.input)
    seen = []
    for scene in SCENES:
        places = rows.fill([picture(scene)])
        [found] = decode(engine.infer(1), manifest, places)
        seen.append({manifest.classes[entry.item_ix].item_id for entry in found})
    return seen


ITEMS_SHOWN = [{f"item-{ix}" for ix in scene if ix is not None} for scene in SCENES]
