"""The engine a cart starts with: the first of its models that answers.

Each slot is counted as failed before it is opened and as good after it answered the golden frames. So a
model that ends the process while it loads is known at the next boot, and after three such boots it is
passed over. A model whose plan is lost or does not load runs on ONNX Runtime meanwhile: slower, and right.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import structlog

from fleet_agent.activation.base import BaseOpener, wrong_answers
from fleet_agent.activation.outcomes import Fallback, Opened, reason
from fleet_agent.activation.slots import (
    SLOT_NAMES,
    Slot,
    SlotName,
    Slots,
    answered,
    base_rests,
    count_failure,
    crashed_and_rested,
)
from fleet_agent.activation.store import StoredModel, read_offer
from fleet_agent.activation.trial import plan_key, plan_request
from fleet_agent.activation.workshop import Workshop
from fleet_agent.engines.contract import Backend
from fleet_agent.errors import EngineError, ModelError, StoreError
from fleet_agent.manifest import ModelManifest, Precision
from fleet_agent.perception import PerceptionEngine

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Running:
    """An engine that answered.

    Attributes:
        engine: It.
        manifest: Of its model.
        directory: Of its model.
        name: sha256 of its manifest.
        wanted: It is the engine that the slot asks for, not a stand-in.
    """

    engine: PerceptionEngine
    manifest: ModelManifest
    directory: Path
    name: str
    wanted: bool


class Boot:
    """One start of the cart.

    Args:
        workshop: What it works with.
    """

    def __init__(self, workshop: Workshop) -> None:
        self._with = workshop
        self._fallbacks: list[Fallback] = []

    def open(self) -> Opened:
        """Return the first engine that answers, and clean up.

        Raises:
            ModelError: not even the shipped model can be opened.
        """
        self._note_the_past()
        return self.open_again()

    def open_again(self) -> Opened:
        """Return the first engine that answers, and clean up, in a cart that runs already.

        Raises:
            ModelError: not even the shipped model can be opened.
        """
        for name in SLOT_NAMES:
            slot: Slot | None = getattr(self._with.slots.slots, name)
            running = self._try_slot(name, slot) if slot is not None else None
            if running is not None:
                return self._opened(running, name, self._pending(running))
        return self._opened(self._open_base(), "base", self._pending_base())

    def _opened(self, running: _Running, source: SlotName | Literal["base"], pending: Path | None) -> Opened:
        self._with.clean()
        engine = str(running.engine.info)
        log.info("model_opened", source=source, model=running.manifest.digest, engine=engine)
        return Opened(
            engine=running.engine,
            manifest=running.manifest,
            directory=running.directory,
            model=running.name,
            source=source,
            fallbacks=tuple(self._fallbacks),
            pending=pending,
            interrupted=self._with.slots.slots.attempt,
        )

    def _note_the_past(self) -> None:
        """Count what killed processes left and what a broken disk damaged."""
        for _ in range(self._with.store.leftovers):
            self._with.on_count("activation_leftover")
        if self._with.slots.damage:
            self._pass_over("slots", self._with.slots.damage)
        attempt = self._with.slots.slots.attempt
        if attempt is not None:
            self._with.on_count("activation_interrupted")
            log.warning("activation_was_interrupted", model=attempt.model[:16], stage=attempt.stage)

    def _try_slot(self, name: SlotName, slot: Slot) -> _Running | None:
        if slot.crashes:
            self._pass_over(name, f"{slot.failures} boots in a row ended before it answered")
            return None
        before = self._with.slots.slots
        self._save(count_failure(before, name, self._with.clock.epoch_ms()))
        try:
            running = self._open_slot(self._with.store.open(slot.model), slot)
        except Exception as error:  # noqa: BLE001  # whatever a library does, there is another model to try
            self._save(before)
            self._pass_over(name, reason(error))
            return None
        self._save(answered(self._with.slots.slots, name))
        return running

    def _open_slot(self, model: StoredModel, slot: Slot) -> _Running:
        backend = self._with.backend
        if slot.backend != backend.name:
            self._pass_over("backend", f"it was activated for {slot.backend}, and this is {backend.name}")
            return self._stand_in(model)
        try:
            plan, wanted = self._plan(model, slot)
            engine = self._open_engine(backend, model, slot.precision, plan)
        except Exception as error:  # noqa: BLE001  # a runtime that fails costs speed, not sight
            self._pass_over("plan" if slot.plan else "engine", reason(error))
            return self._stand_in(model)
        return _Running(engine, model.manifest, model.directory, model.name, wanted)

    def _stand_in(self, model: StoredModel) -> _Running:
        engine = self._open_engine(self._with.reference, model, "fp32", None)
        return _Running(engine, model.manifest, model.directory, model.name, wanted=False)

    def _plan(self, model: StoredModel, slot: Slot) -> tuple[Path | None, bool]:
        """Find the plan of a slot for the machine as it is now, and say whether it is the one wanted."""
        settings = replace(self._with.settings, precision=slot.precision)
        request = plan_request(model, settings)
        if self._with.backend.build_command(request) is None:
            return None, True
        key, plans = plan_key(self._with.backend, request), self._with.plans
        wanted = plans.find(key)
        # A builder told to search longer does not make the plan it built before wrong.
        cached = wanted or (plans.find_older(key, slot.plan) if slot.plan else None)
        if cached is None:
            raise EngineError("its plan is lost, or is of another machine or runtime")
        return cached.path, wanted is not None

    def _open_engine(
        self, backend: Backend, model: StoredModel, precision: Precision, plan: Path | None
    ) -> PerceptionEngine:
        """Open an engine and hold it to the recording of training."""
        engine = backend.open(
            model.directory,
            model.manifest,
            precision=precision,
            cameras=self._with.settings.cameras,
            plan=plan,
        )
        try:
            clock = self._with.clock
            _refuse(wrong_answers(engine, model.directory, model.manifest, precision, clock=clock))
        except BaseException:
            engine.close()
            raise
        return engine

    def _open_base(self) -> _Running:
        opener = BaseOpener(
            base=self._with.base,
            shipped=self._with.shipped,
            trusted=self._with.store.trusted,
            reference=self._with.reference,
            cameras=self._with.settings.cameras,
            clock=self._with.clock,
        )
        model = opener.open(lambda why: self._pass_over("base", why))
        return _Running(model.engine, model.manifest, model.directory, model.name, wanted=False)

    def _pending(self, running: _Running) -> Path | None:
        """Return what should be activated in the background, if anything."""
        if not running.wanted:
            return running.directory
        slots = self._with.slots.slots
        if crashed := crashed_and_rested(slots, self._with.clock.epoch_ms()):
            return self._with.store.directory(crashed)
        with suppress(ModelError):
            base = read_offer(self._with.base).name
            current = slots.current.model if slots.current else None
            # A new agent ships a new model: it replaces the shipped one, and not what the fleet chose.
            follows = self._with.base_is_configured or current == slots.base
            if base not in {slots.base, current} and follows:
                return self._with.base
        return None

    def _pending_base(self) -> Path | None:
        slots, now_ms = self._with.slots.slots, self._with.clock.epoch_ms()
        with suppress(ModelError):
            if base_rests(slots, read_offer(self._with.base).name, now_ms):
                return None
        return self._with.base

    def _pass_over(self, what: str, why: str) -> None:
        self._fallbacks.append(Fallback(what, why))
        self._with.on_count(f"activation_fallback_{what}")
        log.warning("fallback_at_boot", what=what, why=why)

    def _save(self, slots: Slots) -> None:
        """Write the slots; a cart whose disk refuses sees nevertheless."""
        try:
            self._with.slots.save(slots)
        except StoreError as error:
            self._pass_over("store", str(error))


def _refuse(wrong: str) -> None:
    if wrong:
        raise EngineError(wrong)
