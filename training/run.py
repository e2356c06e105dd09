"""What a training leaves in its folder, and what it says about the model made of it."""

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from training.errors import UnfinishedRunError
from training.settings import TrainSettings

WEIGHTS, MODEL, SETTINGS, PROGRESS, SCENES = (
    "weights.pt",
    "model.onnx",
    "settings.json",
    "progress.json",
    "scenes.sha256",
)


class Progress(msgspec.Struct, frozen=True):
    """How far a run has come; kept beside its weights."""

    settings_digest: str
    epochs_done: int
    losses: list[float]


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A training that came to its end.

    Attributes:
        folder: Where it lies.
        settings: What it did.
        progress: How the loss fell.
        scenes_sha256: Digest of the rendered training set.
    """

    folder: Path
    settings: TrainSettings
    progress: Progress
    scenes_sha256: str

    @property
    def model(self) -> Path:
        """The FP32 ONNX file."""
        return self.folder / MODEL

    def facts(self) -> dict[str, Any]:
        """Return how the model was made, for its manifest."""
        settings = self.settings
        return {
            "seed": settings.seed,
            "scenes": settings.scenes,
            "scenes_sha256": self.scenes_sha256,
            "epochs": self.progress.epochs_done,
            "starts_from": settings.starts_from,
            "torch": importlib.metadata.version("torch"),
            "settings": msgspec.to_builtins(settings),
            "settings_digest": settings.digest(),
            "epoch_losses": self.progress.losses,
        }


def finished(folder: Path, settings: TrainSettings) -> FinishedRun | None:
    """Return the run in a folder if it is one with these settings and came to its end, else None."""
    if not all((folder / name).exists() for name in (WEIGHTS, MODEL, PROGRESS, SCENES)):
        return None
    progress = msgspec.json.decode((folder / PROGRESS).read_bytes(), type=Progress)
    if progress.settings_digest != settings.digest() or progress.epochs_done < settings.epochs:
        return None
    return FinishedRun(folder, settings, progress, (folder / SCENES).read_text(encoding="ascii").strip())


def finished_or_raise(folder: Path, settings: TrainSettings) -> FinishedRun:
    """Return the run in a folder.

    Raises:
        UnfinishedRunError: It did not come to its end, or is one with other settings.
    """
    run = finished(folder, settings)
    if run is None:
        raise UnfinishedRunError(str(folder))
    return run
