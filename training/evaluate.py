"""Measure a trained model and write what a cart loads.

``python -m training.evaluate --run DIR --publish fleet_agent/models/v1``: the first folder is what
``training.train`` wrote; model, manifest and model card go to the second, whose name is the model's version.
The model runs in the cart's own ONNX Runtime engine.
"""

import argparse
import hashlib
import importlib.metadata
import os
import platform
import time
from pathlib import Path
from typing import Any

import msgspec
import structlog

from fleet_agent.engines.onnxruntime_engine import OnnxRuntimeEngine
from fleet_agent.perception import (
    DecoderSpec,
    InputSpec,
    ItemClass,
    ModelManifest,
    OutputNames,
)
from training import measure
from training.dataset import INPUT_SIDE, PAD_GREY, STRIDE, as_input, empty_set
from training.measure import SCORE_SEED, Conditions, Network
from training.model_card import card_text
from training.scenes import CATALOGUE, SceneSampler
from training.settings import TrainSettings

log = structlog.get_logger()

# Least score of a detection on the cart. Lower lets hands pass as items, higher misses items half covered by
# fingers.
SCORE_THRESHOLD = 0.3
MAX_DETECTIONS = 8
MODEL_NAME = "cartwright-grocery"

CONDITIONS: dict[str, Conditions] = {
    "ordinary": Conditions(),
    "dim": Conditions(light_level=(0.22, 0.40)),
    "smeared": Conditions(smear=0.65),
}


def scores_of(network: Network, *, frames: int, events: int) -> tuple[dict[str, Any], float]:
    """Measure a model on held-out scenes.

    Args:
        network: The model.
        frames: Frames for average precision and false alarms.
        events: Single-item events per condition.

    Returns:
        Scores by name, and the fitted temperature.
    """
    temperature = measure.temperature_of(network, count=events, threshold=SCORE_THRESHOLD)
    scores: dict[str, Any] = {
        "held_out_frames": frames,
        "held_out_events": events,
        "map50": measure.map50(network, SceneSampler(), frames=frames, seed=SCORE_SEED),
        "map50_dim": measure.map50(
            network,
            SceneSampler(light_level=CONDITIONS["dim"].light_level),
            frames=frames,
            seed=SCORE_SEED + 1,
        ),
        "false_alarm_rate": measure.false_alarm_rate(
            network, frames=frames // 4, seed=SCORE_SEED + 2, threshold=SCORE_THRESHOLD
        ),
    }
    for number, (name, conditions) in enumerate(CONDITIONS.items()):
        shown = measure.show_events(
            network, conditions, count=events, seed=SCORE_SEED + 10 + number, threshold=SCORE_THRESHOLD
        )
        for cameras in (1, 2, 3, 4):
            scores[f"top1_{name}_{cameras}_cameras"] = measure.top1(shown, cameras, temperature)
        scores[f"ece_{name}"] = measure.view_calibration(shown, temperature)
        if name == "ordinary":
            scores["ece_ordinary_uncalibrated"] = measure.view_calibration(shown, 1.0)
            scores["commonest_mistakes"] = measure.confusions(shown)
    return {key: round(v, 4) if isinstance(v, float) else v for key, v in scores.items()}, round(
        temperature, 4
    )


def speed_of(network: Network, calls: int = 60) -> dict[str, Any]:
    """Measure the CPU time of one frame, in batches of one and of three (a cart's cameras)."""
    out: dict[str, Any] = {"processor": platform.machine(), "cores": os.cpu_count()}
    for batch in (1, 3):
        inputs = as_input(empty_set(batch).images)
        for _ in range(5):
            network.infer(inputs)
        start_s = time.process_time()
        for _ in range(calls):
            network.infer(inputs)
        spent_ms = 1000 * (time.process_time() - start_s) / calls / batch
        out[f"cpu_ms_per_frame_batch_{batch}"] = round(spent_ms, 2)
    return out


def manifest_of(
    model: Path, version: str, training: dict[str, Any], scores: dict[str, Any], temperature: float
) -> ModelManifest:
    """Return what a cart must know about the model."""
    return ModelManifest(
        schema=1,
        name=MODEL_NAME,
        version=version,
        sha256=hashlib.sha256(model.read_bytes()).hexdigest(),
        input=InputSpec(
            name="images",
            width=INPUT_SIDE,
            height=INPUT_SIDE,
            layout="NCHW",
            color="RGB",
            scale=1 / 255,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            letterbox=True,
            pad=PAD_GREY,
        ),
        decoder=DecoderSpec(
            kind="center", score_threshold=SCORE_THRESHOLD, max_detections=MAX_DETECTIONS, stride=STRIDE
        ),
        outputs=OutputNames(heatmap="scores", boxes="boxes"),
        temperature=temperature,
        classes=tuple(
            ItemClass(
                item_id=item.item_id,
                name=item.name,
                category=item.category,
                barcode=item.barcode,
                weight_g=item.weight_g,
                weight_sd_g=item.weight_sd_g,
            )
            for item in CATALOGUE
        ),
        training=training,
        scores=scores,
    )


def training_facts(run: Path) -> dict[str, Any]:
    """Return how the model in this folder was trained."""
    settings = msgspec.json.decode((run / "settings.json").read_bytes(), type=TrainSettings)
    progress = msgspec.json.decode((run / "progress.json").read_bytes())
    return {
        "seed": settings.seed,
        "scenes": settings.scenes,
        "epochs": progress["epochs_done"],
        "torch": importlib.metadata.version("torch"),
        "settings_digest": settings.digest(),
        "epoch_losses": progress["losses"],
    }


def write_artifact(run: Path, folder: Path, *, frames: int, events: int) -> ModelManifest:
    """Measure the model of a finished run; write model, manifest and card (the folder's name is the version).

    Raises:
        NothingFoundError: The model finds no item at all.
    """
    model, version, facts = run / "model.onnx", folder.name, training_facts(run)
    engine = OnnxRuntimeEngine(model, manifest_of(model, version, {}, {}, 1.0))
    scores, temperature = scores_of(engine, frames=frames, events=events)
    facts["speed"] = speed_of(engine)
    engine.close()
    manifest = manifest_of(model, version, facts, scores, temperature)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model.read_bytes())
    (folder / "manifest.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    (folder / "MODEL_CARD.md").write_text(card_text(manifest, size_bytes=model.stat().st_size))
    return manifest


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder that training.train wrote")
    parser.add_argument(
        "--publish", type=Path, required=True, help="folder for the artifact, named after its version"
    )
    parser.add_argument("--frames", type=int, default=1000, help="frames for average precision")
    parser.add_argument("--events", type=int, default=400, help="single-item events per condition")
    arguments = parser.parse_args(argv)
    manifest = write_artifact(
        arguments.run, arguments.publish, frames=arguments.frames, events=arguments.events
    )
    log.info("model measured", version=manifest.version, temperature=manifest.temperature, **manifest.scores)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
