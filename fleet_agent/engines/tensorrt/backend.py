"""TensorRT as a backend: what its plans depend on, the child that builds them, and opening them."""

import sys
from collections.abc import Mapping
from pathlib import Path

from fleet_agent.config.model import ModelConfig
from fleet_agent.engines.contract import RECORDED, PlanRequest
from fleet_agent.engines.tensorrt.bindings import Bindings, RuntimeName, check_installed, load_bindings
from fleet_agent.engines.tensorrt.cuda import CudaGpu, GpuFacts, load_cuda
from fleet_agent.engines.tensorrt.engine import TensorRtEngine
from fleet_agent.errors import EngineError
from fleet_agent.manifest import ModelManifest, Precision

TEGRA_RELEASE = Path("/etc/nv_tegra_release")
POWER_MODE = Path("/var/lib/nvpmodel/status")
GPU_CLOCKS = Path("/sys/class/devfreq")
NO_GPU = GpuFacts("", "", 0, 0, 0)


class TensorRtBackend:
    """TensorRT or TensorRT for RTX.

    Args:
        bindings: Which.
        gpu: The GPU that plans run on; None builds plans (RTX only) and runs none.
        target: Compute capability that plans are built for, such as `8.6`; empty: the GPU's.
        cuda_graph: Whether engines record their work.

    Raises:
        EngineError: the runtime does not build for that chip.
    """

    def __init__(
        self, bindings: Bindings, gpu: CudaGpu | None, *, target: str = "", cuda_graph: bool = True
    ) -> None:
        self._bindings = bindings
        self._gpu = gpu
        self._gpu_facts = NO_GPU if gpu is None else gpu.facts()
        self._target = target or self._gpu_facts.compute_capability
        self._cuda_graph = cuda_graph
        if bindings.is_rtx:
            bindings.compute_capability(self._target)
        elif gpu is None:
            raise EngineError("TensorRT builds plans only on the GPU that runs them")

    @classmethod
    def on_device(cls, name: RuntimeName, config: ModelConfig) -> "TensorRtBackend":
        """Return the backend of this machine's GPU.

        Raises:
            EngineError: not installed, too old, no GPU answers, or the runtime refuses this chip.
        """
        check_installed(name)
        # The GPU before TensorRT: without one its libraries would take 100 MB of a cart for nothing.
        gpu = CudaGpu(load_cuda(), config.device)
        return cls(load_bindings(name), gpu, cuda_graph=config.cuda_graph)

    @classmethod
    def building_only(cls, target: str) -> "TensorRtBackend":
        """Return TensorRT for RTX without a GPU: it builds plans for a chip, and opens none.

        Args:
            target: Compute capability, such as `8.6`.

        Raises:
            EngineError: not installed, or it refuses that chip.
        """
        return cls(load_bindings("tensorrt_rtx"), None, target=target)

    @property
    def name(self) -> str:
        """Of the runtime."""
        return self._bindings.name

    def facts(self) -> Mapping[str, str | int]:
        """Return all of machine and runtime that a plan depends on."""
        gpu = self._gpu_facts
        return {
            "runtime": self._bindings.name,
            "version": self._bindings.version,
            "cuda_runtime": gpu.runtime,
            "cuda_driver": gpu.driver,
            "l4t": _first_line(TEGRA_RELEASE),
            "gpu": gpu.name,
            "compute_capability": self._target,
            "multiprocessors": gpu.multiprocessors,
            **_recorded(),
        }

    def build_command(self, request: PlanRequest) -> list[str]:
        """Return the arguments of the process that builds a plan."""
        command = [sys.executable, "-m", "fleet_agent.engines.tensorrt.build"]
        command += ["--runtime", self._bindings.name, "--onnx", str(request.onnx)]
        command += ["--sha256", request.sha256, "--input", request.input_name]
        command += ["--shape", "x".join(map(str, request.shape)), "--plan", str(request.plan)]
        command += ["--workspace-mb", str(request.workspace_mb)]
        command += ["--optimization-level", str(request.optimization_level)]
        if request.timing_cache is not None:
            command += ["--timing-cache", str(request.timing_cache)]
        if self._bindings.is_rtx:
            command += ["--compute-capability", self._target]
        return command

    def open(
        self,
        directory: Path,
        manifest: ModelManifest,
        *,
        precision: Precision,
        cameras: int,
        plan: Path | None,
    ) -> TensorRtEngine:
        """Return an engine that is checked against the manifest and warmed up.

        Raises:
            EngineError: there is no plan or no GPU.
            PlanLoadError: the plan cannot be used here, or is not the manifest's network.
        """
        if plan is None:
            raise EngineError(f"{self.name} runs plans, and none was given for {directory}")
        if self._gpu is None:
            raise EngineError(f"{self.name} was opened without a GPU: it builds plans and runs none")
        return TensorRtEngine(
            plan,
            manifest,
            bindings=self._bindings,
            gpu=self._gpu,
            device=self._gpu_facts.name,
            precision=precision,
            cameras=cameras,
            cuda_graph=self._cuda_graph,
        )


def _recorded() -> dict[str, str | int]:
    """Return the clocks that kernels were timed at: for people, no part of a plan's key."""
    clocks = [_first_line(path) for path in sorted(GPU_CLOCKS.glob("*gpu*/max_freq"))]
    return {RECORDED + "power_mode": _first_line(POWER_MODE), RECORDED + "gpu_max_hz": " ".join(clocks)}


def _first_line(path: Path) -> str:
    """Return what a file of the system says; empty where there is none."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return lines[0].strip() if lines else ""
