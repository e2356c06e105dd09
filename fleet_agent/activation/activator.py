"""A new model goes live, or the old one stays: what the update lifecycle calls.

Stages: `verified` (signature and every sha256, a copy in the cart's store), `building` (the plan, in a
child process), `selftest` (the parity gate), `active` (the slots are switched). Each is written down
before it begins. Until the last write the cart boots into the old model, after it into the new one;
nothing in between is seen. What is left over from an attempt is deleted when it ends or at the next boot.

`prepare` goes as far as the gate, `switch` takes the last step: a cart may have to wait in between until it
may. `activate` does both. `fall_back` is for a model that went live and proved bad.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from fleet_agent.activation.boot import Boot
from fleet_agent.activation.outcomes import (
    Activated,
    ActivationProgress,
    OnProgress,
    Opened,
    Prepared,
    reason,
)
from fleet_agent.activation.slots import (
    Slot,
    Slots,
    Stage,
    answered,
    begin,
    end,
    loops,
    promote,
    refuse_base,
    tried_base,
    tried_crashed,
    withdraw,
)
from fleet_agent.activation.store import Offer, StoredModel, read_offer
from fleet_agent.activation.trial import Trial
from fleet_agent.activation.workshop import Workshop
from fleet_agent.errors import ActivationError, AgentError, ModelError, StoreError

log = structlog.get_logger()

CANCELLED = "the activation was cancelled"
# How often an update that waits for another activation asks whether it was cancelled. Lower wakes it for
# nothing; higher makes a stop wait.
BUSY_POLL_S = 0.5


class Activator:
    """Activates models on one cart, one at a time. Any thread may call `activate`.

    Args:
        workshop: Its parts; closed by `close`.
    """

    def __init__(self, workshop: Workshop) -> None:
        self._with = workshop
        self._busy = threading.Lock()

    @property
    def slots(self) -> Slots:
        """What is current, what was good before, and what is being tried."""
        return self._with.slots.slots

    def open_at_boot(self) -> Opened:
        """Return an engine that works: current, else last good, else the base model on ONNX Runtime.

        A slot whose plan is lost runs on ONNX Runtime meanwhile; `Opened.pending` is what to activate in
        the background. Every fallback is logged, counted as `activation_fallback_<what>`, and returned.

        Raises:
            ModelError: not even the shipped model can be opened.
        """
        with self._busy:
            return Boot(self._with).open()

    def activate(
        self,
        directory: Path,
        *,
        on_progress: OnProgress | None = None,
        cancelled: threading.Event | None = None,
    ) -> Activated:
        """Put a model live. The engine that serves goes on serving and is not touched.

        Args:
            directory: The model's folder; it is copied into the store and not needed afterwards.
            on_progress: Told of each step, in this thread, besides the cart's own listener.
            cancelled: Set by another thread to end it.

        Returns:
            The new engine, for the caller to hand to the thread that runs it, and what was measured.

        Raises:
            ActivationError: refused; carries the stage, the reason and the parity report if there is one.
                The slots are as they were.
        """
        if not self._busy.acquire(blocking=False):
            raise ActivationError("verified", "another activation is running")
        try:
            attempt = _Attempt(self._with, directory, on_progress, cancelled)
            return self._done(attempt.switch(attempt.prepare()))
        finally:
            self._busy.release()

    def prepare(
        self,
        directory: Path,
        *,
        on_progress: OnProgress | None = None,
        cancelled: threading.Event,
    ) -> Prepared:
        """Verify, build and test a model; waits for an activation that is under way.

        Args:
            directory: The model's folder; it is copied into the store and not needed afterwards.
            on_progress: Told of each step, in this thread, besides the cart's own listener.
            cancelled: Set by another thread to end it.

        Raises:
            ActivationError: refused, or cancelled.
        """
        while not self._busy.acquire(timeout=BUSY_POLL_S):
            if cancelled.is_set():
                raise ActivationError("verified", CANCELLED)
        try:
            return _Attempt(self._with, directory, on_progress, cancelled).prepare()
        finally:
            self._busy.release()

    def switch(self, prepared: Prepared) -> Activated:
        """Put a prepared model live: from now on the cart boots into it.

        Raises:
            ActivationError: the disk refuses; the slots are as they were, and the engine is closed.
        """
        with self._busy:
            self._note_base()
            return self._done(_Attempt(self._with, prepared.model.directory, None, None).switch(prepared))

    def _note_base(self) -> None:
        """A base model that was never tried must not come after what the fleet chose."""
        if self.slots.base is None:
            with suppress(ModelError):
                self._with.slots.save(tried_base(self.slots, read_offer(self._with.base).name))

    def drop(self, prepared: Prepared) -> None:
        """Close a prepared model that will not go live, and forget its attempt."""
        prepared.engine.close()
        with self._busy:
            attempt = self.slots.attempt
            if attempt is not None and attempt.model == prepared.model.name:
                with suppress(StoreError):
                    self._with.slots.save(end(self.slots))
            self._with.clean()

    def clean(self) -> None:
        """Delete models that nobody needs any more; later, if an activation is under way."""
        if self._busy.acquire(blocking=False):
            try:
                self._with.clean()
            finally:
                self._busy.release()

    def kept(self, name: str) -> Path | None:
        """Return the folder of a model that is in the store, whole and signed; None: it is not."""
        with suppress(ModelError):
            return self._with.store.open(name).directory
        return None

    def withdraw(self, model: str) -> None:
        """Take a model that proved bad out of its slot: the next boot opens the last good one.

        Args:
            model: sha256 of its manifest; nothing happens if another one is current.

        Raises:
            StoreError: the disk refuses.
        """
        with self._busy:
            self._with.slots.save(withdraw(self.slots, model))

    def fall_back(self, model: str) -> Opened:
        """Withdraw a model and open an engine of what serves in its place.

        Args:
            model: sha256 of its manifest.

        Raises:
            StoreError: the disk refuses.
            ModelError: not even the shipped model can be opened.
        """
        self.withdraw(model)
        with self._busy:
            return Boot(self._with).open_again()

    def _done(self, activated: Activated) -> Activated:
        self._with.on_count("activation_activated")
        log.info("model_activated", model=activated.manifest.digest, engine=str(activated.engine.info))
        return activated

    def activate_in_background(
        self,
        directory: Path,
        on_done: Callable[[Activated | ActivationError], None],
        *,
        cancelled: threading.Event | None = None,
    ) -> threading.Thread:
        """Start `activate` in a thread of its own.

        Args:
            directory: The model's folder.
            on_done: Called in that thread with what came of it.
            cancelled: Set by another thread to end it.
        """

        def work() -> None:
            try:
                on_done(self.activate(directory, cancelled=cancelled))
            except ActivationError as error:
                on_done(error)

        thread = threading.Thread(target=work, name="activation", daemon=True)
        thread.start()
        return thread

    def serves(self, slot: Slot) -> None:
        """Write down that a running cart took over the engine of an activation: it may be the last good one.

        Args:
            slot: Of `Activated`; nothing happens if another model is current by now.
        """
        file = self._with.slots
        with self._busy, suppress(StoreError):
            if file.slots.current == slot:
                file.save(answered(file.slots, "current"))

    def close(self) -> None:
        """Let another process use the store; calling twice is harmless."""
        self._with.plans.close()
        self._with.lock.release()


class _Attempt:
    """One activation, from its first step to its end."""

    def __init__(
        self,
        workshop: Workshop,
        directory: Path,
        on_progress: OnProgress | None,
        cancelled: threading.Event | None,
    ) -> None:
        self._with = workshop
        self._directory = directory
        self._listener = on_progress
        self._cancelled = cancelled
        self._stage: Stage = "verified"
        self._name = ""

    def prepare(self) -> Prepared:
        """Go as far as the gate; what fails leaves nothing behind."""
        with self._refusing():
            return self._prepare()

    def switch(self, prepared: Prepared) -> Activated:
        """Take the last step; the engine is closed if it fails."""
        self._name = prepared.model.name
        with self._refusing():
            try:
                self._step("active", prepared.plan)
                slot = self._promote(prepared.model, prepared.plan)
            except BaseException:
                prepared.engine.close()
                raise
        self._with.clean()
        model = prepared.model
        return Activated(
            prepared.engine, model.manifest, model.directory, slot, prepared.report, model.signed_by
        )

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Close the attempt when it fails, whatever the error."""
        try:
            yield
        except ActivationError as error:
            self._refused(error)
            raise
        except Exception as error:  # whatever a library does, the cart goes on with the model it has
            if not isinstance(error, AgentError):
                log.exception("activation failed", stage=self._stage)
            refusal = ActivationError(self._stage, reason(error))
            self._refused(refusal)
            raise refusal from error

    def _prepare(self) -> Prepared:
        offer = read_offer(self._directory)
        self._name = offer.name
        self._refuse_loops(offer)
        file = self._with.slots
        if self._directory == self._with.base:
            file.save(tried_base(file.slots, offer.name))
        file.save(tried_crashed(file.slots, offer.name, self._with.clock.epoch_ms()))
        self._step("verified", None)
        model = self._with.store.admit(offer)
        self._refuse_missing(model)
        passed = Trial(
            model,
            backend=self._with.backend,
            reference=self._with.reference,
            plans=self._with.plans,
            settings=self._with.settings,
            clock=self._with.clock,
            on_count=self._with.on_count,
            on_stage=self._step,
            on_progress=self._tell,
            cancelled=self._cancelled,
            protected=self._with.slots.slots.plans,
        ).run()
        return Prepared(passed.engine, model, passed.plan, passed.report)

    def _promote(self, model: StoredModel, plan: str | None) -> Slot:
        slot = Slot(
            model=model.name,
            precision=self._with.settings.precision,
            backend=self._with.backend.name,
            plan=plan,
            activated_at_ms=self._with.clock.epoch_ms(),
        )
        file = self._with.slots
        switched = promote(file.slots, slot)
        file.save(switched)
        return switched.current or slot

    def _step(self, stage: Stage, plan: str | None) -> None:
        """Write a step down before it is taken, and tell of it."""
        self._stage = stage
        if self._cancelled is not None and self._cancelled.is_set():
            raise ActivationError(stage, CANCELLED)
        file, now_ms = self._with.slots, self._with.clock.epoch_ms()
        file.save(begin(file.slots, self._name, stage, plan=plan, now_ms=now_ms))
        self._tell(ActivationProgress(self._name, stage))

    def _tell(self, progress: ActivationProgress) -> None:
        self._with.on_progress(progress)
        if self._listener is not None:
            self._listener(progress)

    def _refuse_loops(self, offer: Offer) -> None:
        file, now_ms = self._with.slots, self._with.clock.epoch_ms()
        if loops(file.slots, offer.name, now_ms):
            self._with.on_count("activation_loop")
            raise ActivationError(
                "verified", "it was begun again and again and never ended: it is left alone for a day"
            )

    def _refuse_missing(self, model: StoredModel) -> None:
        precision = self._with.settings.precision
        if precision not in model.manifest.artifacts:
            raise ActivationError("verified", f"the model has no {precision} artifact")

    def _refused(self, error: ActivationError) -> None:
        self._with.on_count(f"activation_refused_{error.stage}")
        log.warning("model_refused", model=self._name[:16], stage=error.stage, why=error.why)
        with suppress(StoreError):
            self._with.slots.save(self._after_refusal(self._with.slots.slots))
        self._with.clean()

    def _after_refusal(self, slots: Slots) -> Slots:
        now_ms = self._with.clock.epoch_ms()
        cancelled = self._cancelled is not None and self._cancelled.is_set()
        if self._name and self._directory == self._with.base and not cancelled:
            slots = refuse_base(slots, self._name, now_ms)
        # A loop stays written down, or it would begin anew; so does the attempt of another model.
        attempt = slots.attempt
        ours = attempt is not None and attempt.model == self._name
        return end(slots) if ours and not loops(slots, self._name, now_ms) else slots
