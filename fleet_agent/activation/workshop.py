"""What activation and boot work with."""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fleet_agent.activation.outcomes import OnCount, OnProgress
from fleet_agent.activation.slots import SlotFile
from fleet_agent.activation.store import ModelStore
from fleet_agent.activation.trial import TrialSettings
from fleet_agent.durable import FolderLock
from fleet_agent.engines.contract import Backend
from fleet_agent.plans.cache import PlanCache
from fleet_agent.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """All that activation works with; made by `fleet_agent.activation.opening`.

    Attributes:
        lock: Of the store.
        slots: Of the store.
        store: Models.
        plans: Plans.
        backend: That runs models on this cart.
        reference: ONNX Runtime on the CPU.
        base: Folder of the configured or shipped model.
        shipped: Folder of the model that came with the agent: the last resort.
        base_is_configured: The cart's owner named it.
        settings: How engines are made here.
        clock: Time.
        on_count: Called with a counter's name.
        on_progress: Told of each step.
        pinned: Returns models to keep besides those of the slots, by the sha256 of their manifests.
    """

    lock: FolderLock
    slots: SlotFile
    store: ModelStore
    plans: PlanCache
    backend: Backend
    reference: Backend
    base: Path
    shipped: Path
    base_is_configured: bool
    settings: TrialSettings
    clock: Clock
    on_count: OnCount
    on_progress: OnProgress
    pinned: Callable[[], Collection[str]] = frozenset

    def clean(self) -> None:
        """Delete models and plans that nobody names; nothing after the slots were damaged on the disk."""
        if self.slots.damage:
            return
        slots = self.slots.slots
        self.store.clean(slots.models.union(self.pinned()))
        with suppress(OSError):
            self.plans.evict(slots.plans)
