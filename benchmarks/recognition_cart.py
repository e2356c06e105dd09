"""One model on rendered shopping trips: through the cart's own engine, decoder, fusion and books."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.recognition_scenes import CAMERAS, Images, Told, Trip, TripFrames
from fleet_agent.basket.basket import Basket
from fleet_agent.basket.evidence import CameraEvidence
from fleet_agent.basket.fusion import Decision, fuse
from fleet_agent.basket.item_events import Circumstances, item_event
from fleet_agent.config import FusionConfig
from fleet_agent.decoding import decode
from fleet_agent.engines.onnxruntime_engine import OnnxRuntimeModel
from fleet_agent.events import ItemEvent, Label
from fleet_agent.manifest import ModelManifest, Precision, load_manifest
from fleet_agent.perception import Detection
from fleet_agent.preprocess import Preprocessor
from fleet_agent.settling import WeightChange
from fleet_agent.telemetry import Telemetry

# Without a scale: all of the weight's likelihood is outliers, so it says the same about every item, and
# nothing weighs this much.
NO_SCALE = FusionConfig(weight_outlier_share=1 - 1e-12, max_quantity=1)
NO_WEIGHT_G = 19_000.0


@dataclass(frozen=True, slots=True)
class SeenTrip:
    """A trip and what a model saw of it: evidence of all cameras per movement."""

    trip: Trip
    evidence: tuple[tuple[CameraEvidence, ...], ...]


class Eyes:
    """A model through ONNX Runtime, with a row of input per camera.

    Raises:
        AgentError: the model is not there, or is not usable.
    """

    def __init__(self, directory: Path, precision: Precision) -> None:
        self.manifest: ModelManifest = load_manifest(directory)
        self._model = OnnxRuntimeModel(directory, self.manifest, precision=precision)
        self._engine = self._model.engine(len(CAMERAS))
        self._preprocessor = Preprocessor(self.manifest.input, self._engine.input)

    @property
    def network(self) -> OnnxRuntimeModel:
        """The network, for frames that are input already."""
        return self._model

    def look(self, shots: Images) -> list[tuple[Detection, ...]]:
        """Return what each camera sees at one moment."""
        letterboxes = self._preprocessor.fill(list(shots))
        outputs = self._engine.infer(len(shots))
        return [tuple(found) for found in decode(outputs, self.manifest, letterboxes)]

    def watch(self, frames: TripFrames) -> SeenTrip:
        """Look at all frames of a trip."""
        seen = [self.look(shots) for shots in frames.pixels]
        evidence = tuple(_evidence(seen, told) for told in frames.trip.movements)
        return SeenTrip(frames.trip, evidence)

    def close(self) -> None:
        """Give the model back."""
        self._engine.close()
        self._model.close()


def _evidence(seen: Sequence[Sequence[tuple[Detection, ...]]], told: Told) -> tuple[CameraEvidence, ...]:
    calm, *moving = seen[told.first : told.first + told.moments]
    return tuple(
        CameraEvidence(name, tuple(shots[camera] for shots in moving), calm[camera])
        for camera, name in enumerate(CAMERAS)
    )


@dataclass(frozen=True, slots=True)
class Judged:
    """One decision and the truth.

    Attributes:
        condition: Of the trip.
        item_ix: What really moved.
        right: Item and quantity, and the direction with them.
        posterior: Of the decision.
        accepted: Not asked.
    """

    condition: str
    item_ix: int
    right: bool
    posterior: float
    accepted: bool


@dataclass(frozen=True, slots=True)
class JudgedTrip:
    """The decisions of a trip, and whether the books are right in the end."""

    condition: str
    decisions: tuple[Judged, ...]
    basket_right: bool


def right_without_scale(
    seen: SeenTrip, cameras: int, manifest: ModelManifest, *, one_frame: bool = False
) -> list[bool]:
    """Tell for each movement whether so many cameras alone name the item.

    Args:
        seen: The trip.
        cameras: How many; which ones goes around.
        manifest: Of the model.
        one_frame: Each looks at one frame only, in which the item is in the hand.
    """
    right = []
    for number, (told, evidence) in enumerate(zip(seen.trip.movements, seen.evidence, strict=True)):
        chosen = [evidence[(number + step) % len(evidence)] for step in range(cameras)]
        if one_frame:
            chosen = [_one_frame(camera, adds=told.adds) for camera in chosen]
        decision = fuse(chosen, NO_WEIGHT_G, manifest.classes, NO_SCALE, temperature=manifest.temperature)
        # Who saw nothing has named nothing, whatever is most likely then.
        right.append(bool(decision.camera_confidence) and decision.item_ix == told.item_ix)
    return right


def _one_frame(evidence: CameraEvidence, *, adds: bool) -> CameraEvidence:
    """Keep the third frame, or the third from the end of an item that is taken out."""
    middle = min(2, len(evidence.frames) - 1)
    return replace(evidence, frames=(evidence.frames[middle if adds else -1 - middle],))


class Till:
    """Decides about a trip as a cart does, movement after movement, with its books.

    Args:
        manifest: Of the model.
        config: Of the fusion.
        scale_sd_g: How exact the simulated scale is.
        scans: What the cart asks about is scanned, every time; otherwise its best guess is booked.
    """

    def __init__(
        self, manifest: ModelManifest, config: FusionConfig, *, scale_sd_g: float, scans: bool
    ) -> None:
        self._manifest = manifest
        self._config = config
        self._scale_sd_g = scale_sd_g
        self._scans = scans
        # One cart for all trips: what it learns of weights from scans it keeps.
        self._basket = Basket(manifest.classes, config, store=None, telemetry=Telemetry())
        self._events = 0

    def judge(self, seen: SeenTrip) -> JudgedTrip:
        """Decide about a whole trip."""
        rng = np.random.default_rng([seen.trip.seed, 1])
        self._basket.session(f"trip-{seen.trip.seed}")
        inside: Counter[str] = Counter()
        level_g, judged = 0.0, []
        for told, evidence in zip(seen.trip.movements, seen.evidence, strict=True):
            change_g = told.change_g + float(rng.normal(0.0, self._scale_sd_g))
            level_g += change_g
            decision = self._decide(evidence, change_g)
            judged.append(_judged(decision, told, seen.trip.condition))
            self._book(decision, told, WeightChange(change_g, 0.0, 0.5, 1.0, level_g))
            inside[self._manifest.classes[told.item_ix].item_id] += told.quantity * (1 if told.adds else -1)
        truth = {item_id: n for item_id, n in inside.items() if n}
        return JudgedTrip(seen.trip.condition, tuple(judged), self._basket.contents.pieces() == truth)

    def _decide(self, evidence: Sequence[CameraEvidence], change_g: float) -> Decision:
        return fuse(
            evidence,
            change_g,
            self._manifest.classes,
            self._config,
            temperature=self._manifest.temperature,
            inside=self._basket.inside() if change_g < 0 else None,
            weights=self._basket.weights,
            returning_g=self._basket.returning_g(),
        )

    def _book(self, decision: Decision, told: Told, change: WeightChange) -> None:
        event = item_event(
            decision,
            change.change_g,
            self._manifest.classes,
            self._basket.weights,
            name=self._name,
            when=Circumstances(0, None, None),
        )
        rows = () if event is None else event.rows
        if not self._scans:
            rows = tuple(replace(row, outcome="accepted") for row in rows)
        self._basket.book(rows, change)
        if self._scans and rows and rows[0].outcome == "asked":
            self._scan(rows, told)

    def _scan(self, rows: Sequence[ItemEvent], told: Told) -> None:
        """Say by barcode what the first row was; a second one was nothing."""
        for row, item_ix in zip(rows, (told.item_ix, None), strict=False):
            self._basket.label(
                Label(
                    type="scan",
                    ref_event_id=row.event_id,
                    ref_at_ms=0,
                    item_id=None if item_ix is None else self._manifest.classes[item_ix].item_id,
                    quantity=None if item_ix is None else told.quantity,
                )
            )

    def _name(self) -> str:
        self._events += 1
        return f"e{self._events}"


def _judged(decision: Decision, told: Told, condition: str) -> Judged:
    right = (
        decision.kind == "item"
        and decision.item_ix == told.item_ix
        and decision.quantity == told.quantity
        and decision.direction == ("add" if told.adds else "remove")
    )
    return Judged(condition, told.item_ix, right, decision.posterior, decision.outcome == "accepted")
