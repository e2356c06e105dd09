"""Types shared by everything that sees: frames, detections, and the Protocol of a network.

Training, benchmarks and the demo import these; nothing here runs a network or opens a device.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fleet_agent.manifest import Precision

Pixels = NDArray[np.uint8]
Tensor = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of one camera.

    Attributes:
        camera: Name of the camera.
        pixels: uint8, height x width x 3, blue first.
        captured_s: When it was taken, on the process's monotonic clock.
    """

    camera: str
    pixels: Pixels
    captured_s: float


@dataclass(frozen=True, slots=True)
class Detection:
    """One item seen in one frame.

    Attributes:
        item_ix: Index into the manifest's classes.
        score: 0..1.
        box: x0, y0, x1, y1 as fractions of the frame, 0..1.
        class_scores: float32, one score 0..1 per class, at this place of the picture.
    """

    item_ix: int
    score: float
    box: tuple[float, float, float, float]
    class_scores: Tensor


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What runs the network, for telemetry and people.

    Attributes:
        backend: `onnxruntime`, `tensorrt`, `tensorrt_rtx` or `fake`.
        version: Of the runtime.
        device: Such as `cpu`, `cuda`, or the GPU's name.
        precision: Of the ONNX file.
        plan: First 12 characters of the plan's key; empty where there is no plan.
        note: What is not as it was asked for, such as a CUDA graph that the GPU refused; empty: nothing.
    """

    backend: str
    version: str
    device: str
    precision: Precision
    plan: str = ""
    note: str = ""

    def __str__(self) -> str:
        plan = f" plan {self.plan}" if self.plan else ""
        note = f" ({self.note})" if self.note else ""
        return f"{self.backend} {self.version} {self.precision} on {self.device}{plan}{note}"


class PerceptionEngine(Protocol):
    """A network that is ready to run: loaded, checked against its manifest, warmed up.

    One thread owns an engine: it writes frames into `input`, calls `infer`, and reads the outputs
    before it writes again.
    """

    @property
    def info(self) -> EngineInfo:
        """What it is."""

    @property
    def input(self) -> Tensor:
        """The network's input, float32 B x 3 x height x width, contiguous (pinned where there is a GPU).

        B is fixed: the number of cameras. It is the same memory for the engine's whole life.
        """

    def infer(self, frames: int) -> Mapping[str, Tensor]:
        """Run the network on the first frames of `input`.

        Args:
            frames: 1 to B. The caller has written that many rows; an engine of fixed batch runs the others
                too, and what they hold does not matter.

        Returns:
            Output name to float32 array, the first dimension at least `frames`. The arrays are the engine's
            and hold until its next call.

        Raises:
            EngineError: the runtime failed; carries its own words.
        """

    def close(self) -> None:
        """Give back memory and devices; calling twice is harmless."""
