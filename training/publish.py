"""From a finished run to the folder a cart loads: three precisions, golden frames, manifest, card.

Everything is measured in the cart's own ONNX Runtime engine and decoder.
"""

import hashlib
import shutil
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import onnx

from fleet_agent.activation.golden import Golden
from fleet_agent.activation.recording import recorded
from fleet_agent.basket.separability import separability
from fleet_agent.config import FusionConfig
from fleet_agent.engines.onnxruntime_engine import OnnxRuntimeModel
from fleet_agent.manifest import PRECISIONS, Artifact, ModelManifest, ParityLimits, Precision
from training import measure, precision
from training.dataset import as_input, held_out_views, render_set
from training.golden import compared, limits_for, render_golden
from training.held_out import HeldOut
from training.interface import CLASSES, DECODER, INPUT, MODEL_NAME
from training.model_card import write_card
from training.recipes import Recipe
from training.run import FinishedRun
from training.scenes import SceneSampler
from training.scores import rounded, scores_of, short_scores_of, speed_of

FILES: Mapping[Precision, str] = {
    "fp32": "model.onnx",
    "fp16": "model.fp16.onnx",
    "int8": "model.int8.onnx",
}
# A cart with four cameras at ten frames a second has this long for one batch before it falls behind. An
# engine that is slower is of no use there, however right it is. One core of a small x86 machine needs 6 ms.
LATENCY_BUDGET_MS = 100.0
# Of scenes as in training, neither trained nor scored on: for the ranges of eight bits, and for a run's own
# validation.
CALIBRATION_SEED, OWN_SEED_STEP = 920_001, 50_000
# As a cart has; golden frames go through in such batches.
CAMERAS = 4


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much is rendered for measuring; fewer than these give scores that wobble by more than a point.

    Attributes:
        frames: Random held-out frames per set.
        events: Single-item events per condition.
        golden_per_camera: Golden frames of each camera.
        calibration: Frames for the ranges of eight bits; as many again choose the method.
    """

    frames: int = 1000
    events: int = 400
    golden_per_camera: int = 8
    calibration: int = 256


def publish(
    run: FinishedRun,
    folder: Path,
    held_out: HeldOut,
    amounts: Amounts,
    *,
    recipe: Recipe,
    start: Path | None = None,
) -> ModelManifest:
    """Convert, measure and write one model; its version is the folder's name.

    Args:
        run: Finished training.
        folder: Is replaced.
        held_out: Scenes for the scores.
        amounts: Of everything else that is rendered.
        recipe: By which it was trained: what the card says of its purpose.
        start: ONNX file of the model the training started from, measured beside it for comparison.

    Raises:
        NothingFoundError: The model finds no item at all.
    """
    scratch = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    facts = {"purpose": recipe.purpose, "warning": recipe.warning, **run.facts()}
    facts["int8"] = _write_precisions(run, scratch, amounts.calibration)
    manifest = _draft(scratch, folder.name)
    golden = render_golden(scratch, per_camera=amounts.golden_per_camera)
    manifest = _measured(scratch, manifest, held_out, facts)
    own = _own_validation(scratch, manifest, run, start, amounts.frames)
    manifest = msgspec.structs.replace(manifest, scores={**manifest.scores, "own_validation": own})
    manifest = _held_to_golden(scratch, manifest, golden)
    _write(scratch, manifest)
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)
    return manifest


def _write_precisions(run: FinishedRun, folder: Path, count: int) -> dict[str, Any]:
    """Write the three ONNX files and return how the eight-bit one was made."""
    (folder / FILES["fp32"]).write_bytes(run.model.read_bytes())
    model = onnx.load(str(run.model))
    onnx.save(precision.half(model), str(folder / FILES["fp16"]))
    inputs = as_input(render_set(SceneSampler(), 2 * count, CALIBRATION_SEED).images)
    eight = precision.quantised(model, inputs[:count], inputs[count:])
    onnx.save(eight.model, str(folder / FILES["int8"]))
    differences = {name: round(value, 6) for name, value in eight.differences.items()}
    return {"frames": count, "method": eight.method, "mean_difference": differences}


def _draft(folder: Path, version: str) -> ModelManifest:
    """Return a manifest with all that needs no measuring."""
    basket = FusionConfig()
    by_weight = separability(CLASSES, basket.scale_sd_g, max_quantity=basket.max_quantity)
    return ModelManifest(
        schema=2,
        name=MODEL_NAME,
        version=version,
        artifacts={name: Artifact(file=file, sha256=_sha256(folder / file)) for name, file in FILES.items()},
        input=INPUT,
        decoder=DECODER,
        temperature=1.0,
        classes=CLASSES,
        latency_budget_ms=LATENCY_BUDGET_MS,
        weight_separability=by_weight.to_dict(),
    )


def _measured(
    folder: Path, manifest: ModelManifest, held_out: HeldOut, facts: dict[str, Any]
) -> ModelManifest:
    """Fit the temperature and score every precision with it."""
    with closing(OnnxRuntimeModel(folder, manifest)) as reference:
        temperature = round(measure.temperature_of(measure.show(reference, held_out.for_temperature)), 4)
        scores = scores_of(reference, held_out, temperature)
    scores["by_precision"], facts["speed"] = {}, {}
    for name in PRECISIONS:
        with closing(OnnxRuntimeModel(folder, manifest, precision=name)) as model:
            scores["by_precision"][name] = short_scores_of(model, held_out, temperature)
            facts["speed"][name] = speed_of(model)
    return msgspec.structs.replace(manifest, temperature=temperature, scores=scores, training=facts)


def _own_validation(
    folder: Path, manifest: ModelManifest, run: FinishedRun, start: Path | None, frames: int
) -> dict[str, Any]:
    """Measure as the makers themselves would: on scenes like those of the training, rare items rare."""
    settings = run.settings
    scenes = render_set(settings.sampler, frames, settings.seed + OWN_SEED_STEP, held_out_views())
    out: dict[str, Any] = {"frames": frames, "light_level": settings.sampler.light_level}
    with closing(OnnxRuntimeModel(folder, manifest)) as model:
        out["map50"] = measure.map50(model, scenes)
    if start is not None:
        artifact = Artifact(file=start.name, sha256=_sha256(start))
        other = msgspec.structs.replace(manifest, artifacts={"fp32": artifact})
        with closing(OnnxRuntimeModel(start.parent, other)) as model:
            out[f"map50_of_{settings.starts_from}"] = measure.map50(model, scenes)
    return rounded(out)


def _held_to_golden(folder: Path, manifest: ModelManifest, golden: tuple[Golden, ...]) -> ModelManifest:
    """Record what FP32 sees in the golden frames, and set each precision's limits by what it sees."""
    with closing(OnnxRuntimeModel(folder, manifest)) as reference:
        frames = recorded(reference.engine(CAMERAS), manifest, golden)
    manifest = msgspec.structs.replace(manifest, golden=frames)
    artifacts: dict[Precision, Artifact] = {}
    parity: dict[str, Any] = {}
    for name in PRECISIONS:
        with closing(OnnxRuntimeModel(folder, manifest, precision=name)) as model:
            found = compared(model.engine(CAMERAS), manifest, golden, name)
        limits: ParityLimits = limits_for(found, name)
        artifacts[name] = msgspec.structs.replace(manifest.artifacts[name], parity=limits)
        parity[name] = {
            "required": found.required,
            "lost": found.unmatched,
            "invented": found.extra,
            "worst_score_difference": found.worst_score_difference,
            "worst_overlap": found.worst_overlap,
        }
    scores = {**manifest.scores, "golden_parity": rounded(parity)}
    return msgspec.structs.replace(manifest, artifacts=artifacts, scores=scores)


def _write(folder: Path, manifest: ModelManifest) -> None:
    (folder / "manifest.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    write_card(folder)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
