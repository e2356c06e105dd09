"""One weight change after the other: explained, told, booked. The deciding thread owns it."""

from collections.abc import Callable, Sequence

import structlog

from fleet_agent.basket.basket import Basket
from fleet_agent.basket.evidence import CameraEvidence
from fleet_agent.basket.fusion import Decision, fuse
from fleet_agent.basket.item_events import Circumstances, item_event
from fleet_agent.config import FusionConfig
from fleet_agent.events import ItemEvent, Label, Session
from fleet_agent.manifest import ModelManifest
from fleet_agent.ports import Clock
from fleet_agent.reporter import Reporter
from fleet_agent.settling import WeightChange
from fleet_agent.telemetry import Telemetry

log = structlog.get_logger()


class Checkout:
    """Turns weight changes into item events, and keeps the books of them.

    Args:
        config: Of the fusion.
        manifest: Of the model.
        basket: What lies in the cart.
        telemetry: Counts.
        reporter: Where events go.
        clock: Time.
        on_event: Told each durable item event.
    """

    def __init__(
        self,
        config: FusionConfig,
        manifest: ModelManifest,
        *,
        basket: Basket,
        telemetry: Telemetry,
        reporter: Reporter,
        clock: Clock,
        on_event: Callable[[ItemEvent], None],
    ) -> None:
        self._config = config
        self._manifest = manifest
        self._basket = basket
        self._telemetry = telemetry
        self._reporter = reporter
        self._clock = clock
        self._on_event = on_event
        self._events = 0

    @property
    def session_id(self) -> str | None:
        """The shopping trip; None outside one."""
        return self._basket.session_id

    @property
    def empty(self) -> bool:
        """Whether nothing lies in the cart for sure."""
        return self._basket.empty

    def use_model(self, manifest: ModelManifest) -> None:
        """Explain what comes by another model's classes."""
        self._manifest = manifest
        self._basket.use_classes(manifest.classes)

    def hear(self, said: Label | Session) -> None:
        """Take in what people said."""
        if isinstance(said, Label):
            self._basket.label(said)
        else:
            self._basket.session(said.session_id, said.at_s)

    def settle(
        self, change: WeightChange, evidence: Sequence[CameraEvidence], looked_s: float | None
    ) -> None:
        """Explain a settled weight change, tell it and book it.

        Args:
            change: What was weighed.
            evidence: What the cameras saw.
            looked_s: When the newest frame that was looked at was captured; None when none was.
        """
        with self._basket.trip_of(change.started_s):
            self._settle(change, evidence, looked_s)

    def _settle(
        self, change: WeightChange, evidence: Sequence[CameraEvidence], looked_s: float | None
    ) -> None:
        begun_s = self._clock.monotonic_s()
        decision = self._explain(change, evidence)
        decided_s = self._clock.monotonic_s()
        self._telemetry.time("fuse", decided_s - begun_s)
        decision_s = None if looked_s is None else decided_s - looked_s
        if decision_s is not None:
            self._telemetry.time("camera_to_decision", decision_s)
            # Cameras looked and saw nothing, and no hand is that quick: it was the scale.
            if change.abrupt and not decision.camera_confidence:
                self._telemetry.count("scale_jump")
        self._tell(decision, change, decision_s)

    def _explain(self, change: WeightChange, evidence: Sequence[CameraEvidence]) -> Decision:
        return fuse(
            evidence,
            change.change_g,
            self._manifest.classes,
            self._config,
            temperature=self._manifest.temperature,
            inside=self._basket.inside() if change.change_g < 0 else None,
            weights=self._basket.weights,
            returning_g=self._basket.returning_g(),
        )

    def _tell(self, decision: Decision, change: WeightChange, decision_s: float | None) -> None:
        event = item_event(
            decision,
            change.change_g,
            self._manifest.classes,
            self._basket.weights,
            name=self._next_event_id,
            when=Circumstances(
                at_ms=self._clock.epoch_ms(),
                session_id=self._basket.session_id,
                decision_ms=None if decision_s is None else decision_s * 1000.0,
            ),
        )
        self._basket.book(() if event is None else event.rows, change)
        if event is None:
            self._telemetry.count("shifts")
            return
        self._telemetry.decision(decision)
        if self._reporter.item(event):
            try:
                self._on_event(event)
            except Exception:  # somebody else's callback does not stop the cart
                log.exception("on_event failed", event_id=event.event_id)

    def _next_event_id(self) -> str:
        self._events += 1
        return self._reporter.event_id(self._events)
