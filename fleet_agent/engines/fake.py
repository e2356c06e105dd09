"""The double of a network: sees items by the colour of the picture's middle."""

from collections.abc import Mapping, Sequence

import numpy as np

from fleet_agent.manifest import CenterDecoder, ModelManifest
from fleet_agent.perception import EngineInfo, Tensor

# Cells of the grid it answers on; the real network's is 20.
GRID = 8
# Longest distance in RGB (0..1) at which a colour still is an item's.
REACH = 0.25


class FakeEngine:
    """Answers like a `center` model whose items each have one plain colour.

    Args:
        manifest: Its classes and names; a `center` model's.
        cameras: Rows of its input.
        colors: Red, green, blue 0..1 of each class; as many as classes.
        confidence: Score of a match.
    """

    def __init__(
        self,
        manifest: ModelManifest,
        colors: Sequence[tuple[float, float, float]],
        *,
        cameras: int = 4,
        confidence: float = 0.95,
    ) -> None:
        self._manifest = manifest
        spec = manifest.input
        self._input: Tensor = np.zeros((cameras, 3, spec.height, spec.width), np.float32)
        self._colors = np.asarray(colors, np.float32)
        self._confidence = confidence
        self.calls = 0

    @property
    def info(self) -> EngineInfo:
        """Say that it is a double."""
        return EngineInfo("fake", "1", "cpu", "fp32")

    @property
    def input(self) -> Tensor:
        """Where frames are written."""
        return self._input

    def infer(self, frames: int) -> Mapping[str, Tensor]:
        """Score the mean colour of the middle of each picture."""
        self.calls += 1
        batch = self._input[:frames]
        _, _, height, width = batch.shape
        middle = batch[:, :, height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8]
        colors = self._denormalised(middle.mean(axis=(2, 3)))
        scores = np.zeros((frames, len(self._colors), GRID, GRID), np.float32)
        boxes = np.zeros((frames, 4, GRID, GRID), np.float32)
        boxes[:] = np.array([0.5, 0.5, 0.25, 0.25], np.float32).reshape(1, 4, 1, 1)
        distance = np.linalg.norm(colors[:, None, :] - self._colors[None], axis=2)
        near = np.clip(1.0 - distance / REACH, 0.0, 1.0) * self._confidence
        scores[:, :, GRID // 2, GRID // 2] = near
        names = self._manifest.decoder
        assert isinstance(names, CenterDecoder)  # noqa: S101  # its docstring says so
        return {names.scores: scores, names.boxes: boxes}

    def _denormalised(self, colors: Tensor) -> Tensor:
        spec = self._manifest.input
        pixels = (colors * np.asarray(spec.std, np.float32) + np.asarray(spec.mean, np.float32)) / spec.scale
        rgb = pixels if spec.color == "RGB" else pixels[:, ::-1]
        return np.asarray(rgb / 255.0, np.float32)

    def close(self) -> None:
        """Nothing is held."""
