"""Golden frames: what every engine of a model must see alike, and how near its own precisions come."""

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fleet_agent.activation.golden import FOLDER, Golden
from fleet_agent.activation.matching import match, sightings
from fleet_agent.activation.observing import observe
from fleet_agent.activation.parity import Agreement, agreement
from fleet_agent.manifest import ModelManifest, ParityLimits, Precision
from fleet_agent.perception import PerceptionEngine
from fleet_agent.ports import SystemClock
from training.dataset import held_out_views
from training.scenes import SceneRenderer, SceneSampler

GOLDEN_SEED = 910_001
JPEG_QUALITY = 90
# Lights of one camera's frames, from a failing lamp to a bright shop; they take turns.
LIGHTS = ((0.25, 0.4), (0.5, 0.7), (0.8, 1.0), (1.1, 1.3))
# Every so many frames of a camera is one without an item: an engine that invents items must be found too.
EMPTY_EVERY = 4
# How far a box may move. Half precision keeps boxes to the pixel; eight bits were seen to move one by a fifth
# of its area on a CPU whose kernels overflow, by a twentieth elsewhere.
LEAST_OVERLAP: dict[Precision, float] = {"fp32": 0.9, "fp16": 0.9, "int8": 0.7}
# Detections, lost or invented, that are forgiven although none was measured: eight bits put a doubtful one on
# the other side of the floor on one runtime and not on the next.
FORGIVEN: dict[Precision, int] = {"fp32": 0, "fp16": 0, "int8": 1}
# Nothing below the defaults of the gate, which other runtimes and other CPUs need for their own rounding.
LEAST_DIFFERENCE = 0.05
# Wider, and other networks of the same items pass for this one.
MOST_DIFFERENCE = 0.30
# Other runtimes round otherwise than the one that was measured: half as much again, and a little.
MARGIN, MARGIN_SCORE = 1.5, 0.02


def render_golden(folder: Path, *, per_camera: int) -> tuple[Golden, ...]:
    """Write golden frames of held-out aisles and return them as a cart decodes them, in all lights.

    Args:
        folder: The model's folder; files go into its folder ``golden``.
        per_camera: Frames of each camera.
    """
    rng = np.random.default_rng(GOLDEN_SEED)
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    frames = []
    for view in held_out_views():
        renderer = SceneRenderer(view)
        for number in range(per_camera):
            pixels = renderer.render(_sampler(number).draw(rng), rng)
            frames.append(_write(folder / FOLDER / f"{view.name}-{number:02d}.jpg", pixels))
    return tuple(frames)


def _sampler(number: int) -> SceneSampler:
    empty = number % EMPTY_EVERY == EMPTY_EVERY - 1
    hands = (
        {"calm_share": 0.3, "empty_hand_share": 0.7} if empty else {"calm_share": 0, "empty_hand_share": 0}
    )
    return SceneSampler(light_level=LIGHTS[number % len(LIGHTS)], max_smear=0.4, **hands)


def _write(path: Path, pixels: NDArray[np.uint8]) -> Golden:
    _, document = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    encoded = document.tobytes()
    path.write_bytes(encoded)
    return Golden(path.name, encoded, ())


def compared(
    engine: PerceptionEngine,
    manifest: ModelManifest,
    golden: tuple[Golden, ...],
    precision: Precision,
) -> Agreement:
    """Compare what an engine sees with the manifest's recording."""
    limits = ParityLimits(least_overlap=LEAST_OVERLAP[precision])
    expected = {frame.file: sightings(frame.expected) for frame in manifest.golden}
    seen = observe(engine, manifest, golden, clock=SystemClock(), runs=0)
    return agreement(
        [(frame.name, match(expected[frame.name], frame.sightings, limits)) for frame in seen.frames]
    )


def limits_for(found: Agreement, precision: Precision) -> ParityLimits:
    """Return limits that fit a precision: what was measured, with a margin for other runtimes.

    Raises:
        ValueError: they would be so wide that another network would pass; the artifact is not published.
    """
    difference = max(LEAST_DIFFERENCE, MARGIN * found.worst_score_difference + MARGIN_SCORE)
    if difference > MOST_DIFFERENCE:
        raise ValueError(
            f"{precision} moves scores too far: a limit of {difference:.2f} would hold nothing back"
        )
    unmatched = found.unmatched + found.extra
    return ParityLimits(
        least_overlap=LEAST_OVERLAP[precision],
        max_score_difference=math.ceil(100 * min(1.0, difference)) / 100,
        max_unmatched=max(FORGIVEN[precision], math.ceil(MARGIN * unmatched)),
    )
