"""Train the reference detector on rendered scenes: ``python -m training.train --seed 7 --out DIR``.

Writes ``weights.pt`` and ``progress.json`` after every epoch (an interrupted run continues from there) and
``model.onnx`` at the end. ``training.make_models`` makes the shipped models of such runs. Reproducible for a
seed on the same machine and library versions; other machines round differently.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import structlog
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training.dataset import BAR, FRAME_HEIGHT, PAD_GREY, SceneSet, render_set
from training.export import export_onnx
from training.losses import box_loss, class_loss, heat_loss
from training.network import CentreDetector
from training.run import MODEL, PROGRESS, SCENES, SETTINGS, WEIGHTS, Progress
from training.scenes import CATALOGUE
from training.settings import TrainSettings
from training.targets import Targets, make_targets

log = structlog.get_logger()


class Trainer:
    """One run: network, optimiser, schedule and the running average of the weights.

    Args:
        settings: What to do.
        scenes: Training frames.
    """

    def __init__(self, settings: TrainSettings, scenes: SceneSet) -> None:
        self.settings, self.scenes = settings, scenes
        torch.manual_seed(self.settings.seed)
        self.network = CentreDetector(len(CATALOGUE), self.settings.width)
        decay = get_ema_multi_avg_fn(self.settings.average_decay)
        self.average = AveragedModel(self.network, multi_avg_fn=decay, use_buffers=True)
        rate, weight_decay = self.settings.peak_learning_rate, self.settings.weight_decay
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=rate, weight_decay=weight_decay)
        steps = self.settings.epochs * self.steps_per_epoch
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, rate, total_steps=steps, pct_start=0.2, final_div_factor=300
        )

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one pass; the incomplete last batch is left out."""
        return len(self.scenes) // self.settings.batch

    def train_epoch(self, epoch: int) -> float:
        """Go once over all frames and return the mean loss."""
        rng = np.random.default_rng((self.settings.seed, epoch))
        self.network.train()
        losses = [self._step(rows, rng) for rows in self._batches(rng)]
        return float(np.mean(losses))

    def _batches(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        order = rng.permutation(len(self.scenes))
        for start in range(0, self.steps_per_epoch * self.settings.batch, self.settings.batch):
            yield order[start : start + self.settings.batch]

    def _step(self, rows: np.ndarray, rng: np.random.Generator) -> float:
        targets = make_targets(self.scenes, rows, len(CATALOGUE), self.settings.min_visible)
        images, targets = augmented(self.scenes.images[rows], targets, rng, self.settings.gain)
        logits, boxes = self.network(images)
        loss = batch_loss(logits, boxes, targets, self.settings)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimiser.step()
        self.schedule.step()
        self.average.update_parameters(self.network)
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write everything a later ``load`` needs to go on."""
        parts = {
            name: getattr(self, name).state_dict() for name in ("network", "average", "optimiser", "schedule")
        }
        scratch = path.with_suffix(".tmp")
        torch.save(parts, scratch)
        scratch.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a saved state."""
        parts = torch.load(path, weights_only=True)
        for name, state in parts.items():
            getattr(self, name).load_state_dict(state)

    def start_from(self, path: Path) -> None:
        """Begin with the averaged weights of a finished run."""
        average = torch.load(path, weights_only=True)["average"]
        self.average.load_state_dict(average)
        self.network.load_state_dict(self.average.module.state_dict())


def batch_loss(logits: Tensor, boxes: Tensor, targets: Targets, settings: TrainSettings) -> Tensor:
    """Return the weighted sum of all losses of a batch."""
    heat = heat_loss(logits, torch.from_numpy(targets.heat), torch.from_numpy(targets.counted))
    box = box_loss(boxes, torch.from_numpy(targets.boxes), torch.from_numpy(targets.box_weight))
    item = class_loss(logits, torch.from_numpy(targets.centre_class))
    return heat + settings.box_weight * box + settings.class_weight * item


def augmented(
    images: np.ndarray,
    targets: Targets,
    rng: np.random.Generator,
    brightness: tuple[float, float] = (0.8, 1.2),
) -> tuple[Tensor, Targets]:
    """Return a batch as network input, changed at random: mirrored, lit, tinted, partly covered."""
    frames = torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255.0)
    count = len(images)
    gain = rng.uniform(*brightness, (count, 1, 1, 1)) * rng.uniform(0.94, 1.06, (count, 3, 1, 1))
    shift = rng.uniform(-0.04, 0.04, (count, 1, 1, 1))
    frames.mul_(torch.from_numpy(gain.astype(np.float32))).add_(torch.from_numpy(shift.astype(np.float32)))
    for index in np.flatnonzero(rng.random(count) < 0.3):
        _cover(frames[index], rng)
    full = torch.full((count, 3, FRAME_HEIGHT + 2 * BAR, frames.shape[3]), PAD_GREY / 255)
    full[:, :, BAR : BAR + FRAME_HEIGHT] = frames.clamp_(0, 1)
    if rng.random() < 0.5:
        return torch.flip(full, dims=[3]), mirrored(targets)
    return full, targets


def _cover(frame: Tensor, rng: np.random.Generator) -> None:
    height, width = (int(value) for value in rng.integers(8, 26, 2))
    top, left = int(rng.integers(0, FRAME_HEIGHT - height)), int(rng.integers(0, frame.shape[2] - width))
    frame[:, top : top + height, left : left + width] = torch.from_numpy(
        rng.random((3, 1, 1)).astype(np.float32)
    )


def mirrored(targets: Targets) -> Targets:
    """Return the targets of the left-right mirrored batch."""
    boxes = np.ascontiguousarray(targets.boxes[..., ::-1])
    boxes[:, 0] = 1.0 - boxes[:, 0]
    return Targets(
        np.ascontiguousarray(targets.heat[..., ::-1]),
        np.ascontiguousarray(targets.counted[..., ::-1]),
        boxes,
        np.ascontiguousarray(targets.box_weight[..., ::-1]),
        np.ascontiguousarray(targets.centre_class[..., ::-1]),
    )


def train(
    settings: TrainSettings,
    out: Path,
    clock_s: Callable[[], float] = time.monotonic,
    *,
    start: Path | None = None,
) -> Path:
    """Run a training to its end or its time limit and return the ONNX file.

    Args:
        settings: What to do.
        out: Folder for weights, progress and model; an unfinished run with the same settings in it is
            continued.
        clock_s: Monotonic clock in seconds.
        start: ``weights.pt`` of the run to start from; None starts from random weights.
    """
    out.mkdir(parents=True, exist_ok=True)
    start_s = clock_s()
    scenes = render_set(settings.sampler, settings.scenes, settings.seed)
    (out / SCENES).write_text(scenes.digest() + "\n", encoding="ascii")
    trainer = Trainer(settings, scenes)
    log.info("scenes rendered", frames=settings.scenes, seconds=round(clock_s() - start_s, 1))
    if start is not None:
        trainer.start_from(start)
    progress = _resumed(trainer, out)
    while progress.epochs_done < settings.epochs and clock_s() - start_s < 60 * settings.max_minutes:
        loss = trainer.train_epoch(progress.epochs_done)
        losses = [*progress.losses, round(loss, 4)]
        progress = Progress(progress.settings_digest, progress.epochs_done + 1, losses)
        trainer.save(out / WEIGHTS)
        (out / PROGRESS).write_bytes(msgspec.json.encode(progress))
        log.info(
            "epoch done", epoch=progress.epochs_done, loss=round(loss, 3), seconds=round(clock_s() - start_s)
        )
    (out / SETTINGS).write_bytes(msgspec.json.format(msgspec.json.encode(settings)))
    export_onnx(trainer.average.module, out / MODEL)
    return out / MODEL


def _resumed(trainer: Trainer, out: Path) -> Progress:
    fresh = Progress(trainer.settings.digest(), 0, [])
    if not (out / PROGRESS).exists():
        return fresh
    kept = msgspec.json.decode((out / PROGRESS).read_bytes(), type=Progress)
    if kept.settings_digest != fresh.settings_digest:
        log.warning("other settings, starting anew", folder=str(out))
        return fresh
    trainer.load(out / WEIGHTS)
    return kept


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    default = TrainSettings()
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and model.onnx")
    for name in ("seed", "scenes", "epochs", "threads"):
        parser.add_argument(f"--{name}", type=int, default=getattr(default, name))
    parser.add_argument("--max-minutes", type=float, default=default.max_minutes)
    arguments = vars(parser.parse_args(argv))
    out: Path = arguments.pop("out")
    settings = dataclasses.replace(default, **arguments)
    # Both change the whole process, so only the command sets them; unflushed, vanishing gradients are slow.
    torch.set_num_threads(settings.threads)
    torch.set_flush_denormal(True)
    train(settings, out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
