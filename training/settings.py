"""Every choice of a training run in one frozen value; its digest goes into the model's manifest."""

import dataclasses
import hashlib
from dataclasses import dataclass, field

import msgspec

from training.scenes import SceneSampler


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """What decides a training run, besides the code.

    Attributes:
        seed: Decides scenes, start weights and order.
        scenes: Training frames to render; they are kept in memory (58 kB each).
        epochs: Passes over them.
        batch: Frames per step.
        peak_learning_rate: Top of the one-cycle schedule.
        weight_decay: AdamW's decoupled decay.
        average_decay: Memory of the running average of the weights that is exported in the end.
        width: Half the channels at stride 4.
        box_weight: Weight of the box loss against the heat map's.
        class_weight: Weight of the cross-entropy at item centres: tells look-alikes apart.
        min_visible: Items less visible than this are neither positives nor negatives.
        max_minutes: Training stops after the epoch in which this time is exceeded.
        threads: Threads PyTorch may use.
        sampler: From which scenes frames are drawn.
        gain: Darkest and brightest factor of the random light that frames get on top of their own.
        starts_from: Recipe whose averaged weights are the start; empty starts from random ones.
    """

    seed: int = 7
    scenes: int = 12_000
    epochs: int = 8
    batch: int = 32
    peak_learning_rate: float = 4e-3
    weight_decay: float = 2e-4
    average_decay: float = 0.997
    width: int = 12
    box_weight: float = 2.0
    class_weight: float = 0.5
    min_visible: float = 0.25
    max_minutes: float = 30.0
    threads: int = 2
    sampler: SceneSampler = field(default_factory=SceneSampler)
    gain: tuple[float, float] = (0.8, 1.2)
    starts_from: str = ""

    def digest(self) -> str:
        """Return the SHA-256 of every setting that decides the result, hexadecimal.

        Time limit and threads do not: a run may be interrupted and continued elsewhere, and stays the same.
        """
        deciding = dataclasses.replace(self, max_minutes=0.0, threads=0)
        return hashlib.sha256(msgspec.json.encode(deciding, order="deterministic")).hexdigest()
