"""Golden frames for a model of one's own: what the FP32 network sees in pictures goes into its manifest."""

import hashlib
import json
from pathlib import Path

import msgspec

from fleet_agent.activation.golden import FOLDER, MAX_GOLDEN_FRAMES, Golden, read_picture
from fleet_agent.activation.observing import observe
from fleet_agent.durable import write_file
from fleet_agent.engines.onnxruntime_backend import OnnxRuntimeBackend
from fleet_agent.errors import GoldenError, ManifestError
from fleet_agent.manifest import GoldenDetection, GoldenFrame, ModelManifest, load_manifest
from fleet_agent.perception import PerceptionEngine
from fleet_agent.ports import SystemClock

PICTURES = (".jpg", ".jpeg", ".png")


def record(directory: Path) -> tuple[GoldenFrame, ...]:
    """Write into a model's manifest what its FP32 network sees in the pictures of its folder `golden`.

    All else in the manifest stays as it is; a signature beside it does not fit it any more.

    Args:
        directory: The model's folder.

    Returns:
        The frames as recorded.

    Raises:
        ModelError: the manifest or the network cannot be used, or the manifest cannot be written.
        GoldenError: there are no pictures, too many, or one cannot be read.
    """
    manifest = load_manifest(directory)
    golden = _pictures(directory / FOLDER)
    engine = OnnxRuntimeBackend(threads=1).open(directory, manifest, precision="fp32", cameras=1)
    try:
        frames = recorded(engine, manifest, golden)
    finally:
        engine.close()
    path = directory / "manifest.json"
    document = json.loads(path.read_bytes())
    document["golden"] = msgspec.to_builtins(frames)
    try:
        write_file(path, json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n")
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror or error}") from error
    return frames


def _pictures(folder: Path) -> tuple[Golden, ...]:
    names = sorted(p.name for p in folder.glob("*") if p.suffix.lower() in PICTURES)
    if not names:
        raise GoldenError(f"there are no pictures in {folder}: put some there, as the cart's cameras see")
    if len(names) > MAX_GOLDEN_FRAMES:
        raise GoldenError(f"{len(names)} pictures in {folder} are more than {MAX_GOLDEN_FRAMES}")
    return tuple(Golden(name, read_picture(folder / name), ()) for name in names)


def recorded(
    engine: PerceptionEngine, manifest: ModelManifest, golden: tuple[Golden, ...]
) -> tuple[GoldenFrame, ...]:
    """Return pictures with what an engine sees in them.

    Args:
        engine: Of the FP32 artifact.
        manifest: For decoding; its own golden frames are not looked at.
        golden: Pictures.
    """
    seen = observe(engine, manifest, golden, clock=SystemClock(), runs=0)
    by_name = {frame.name: frame.sightings for frame in reversed(seen.frames)}
    return tuple(
        GoldenFrame(
            file=frame.name,
            sha256=hashlib.sha256(frame.encoded).hexdigest(),
            expected=tuple(
                GoldenDetection(
                    item_ix=one.item_ix,
                    score=round(one.score, 4),
                    box=(
                        round(one.box[0], 4),
                        round(one.box[1], 4),
                        round(one.box[2], 4),
                        round(one.box[3], 4),
                    ),
                )
                for one in by_name[frame.name]
            ),
        )
        for frame in golden
    )
