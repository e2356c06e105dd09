"""What a backend of engines is, for those who build plans and activate models.

A backend is a runtime on this machine. It knows what a plan depends on, how one is built, and how an
engine is opened. `fleet_agent.engines.backends.choose_backend` finds the cart's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fleet_agent.manifest import ModelManifest, Precision
from fleet_agent.perception import PerceptionEngine

# Facts under such keys are kept beside a plan for people and are no part of its key: a plan built in
# another power mode still runs, its kernels were only chosen at another clock.
RECORDED = "recorded_"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """A plan to be built.

    Attributes:
        onnx: The artifact.
        sha256: What the artifact's must be; the builder checks it.
        precision: Of the artifact; the types are in the file, this is for the key and for people.
        input_name: Of the network's only input.
        shape: Of that input, B x 3 x height x width; B is the number of cameras.
        plan: File to write. Its name should begin with the plan's key: `EngineInfo.plan` is the first 12
            characters of it.
        workspace_mb: Most memory beside the weights.
        optimization_level: 0 to 5.
        timing_cache: File of kernel timings, of this version of the runtime and this GPU; None: keep none.
            Ignored where the runtime keeps none.
    """

    onnx: Path
    sha256: str
    precision: Precision
    input_name: str
    shape: tuple[int, int, int, int]
    plan: Path
    workspace_mb: int
    optimization_level: int
    timing_cache: Path | None = None


class Backend(Protocol):
    """A runtime on this machine."""

    @property
    def name(self) -> str:
        """`tensorrt`, `tensorrt_rtx` or `onnxruntime`."""

    def facts(self) -> Mapping[str, str | int]:
        """Return all of machine and runtime that a plan depends on.

        Keys that begin with `recorded_` are for people: they are no part of a plan's key.

        Raises:
            EngineError: the device does not answer.
        """

    def build_command(self, request: PlanRequest) -> list[str] | None:
        """Return the arguments of the process that builds a plan; None: this backend needs no plan.

        The process prints JSON lines: `{"phase": …, "step": n, "of": m}` while it works and
        `{"built": bytes, "seconds": s}` at its end; or it exits 1 after `{"error": …, "log": […]}`.
        It writes only `request.plan` (and the timing cache), by a temporary file beside it and a rename.
        """

    def open(
        self,
        directory: Path,
        manifest: ModelManifest,
        *,
        precision: Precision,
        cameras: int,
        plan: Path | None,
    ) -> PerceptionEngine:
        """Return an engine that is checked against the manifest and warmed up.

        Args:
            directory: The model's folder.
            manifest: Of that folder.
            precision: Which of its artifacts.
            cameras: Rows of the engine's input.
            plan: As built; None for a backend that needs none.

        Raises:
            EngineError: the artifact or the plan cannot be loaded, or does not fit the manifest.
        """
