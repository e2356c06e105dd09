"""What the benchmarks of a GPU share: artifacts to measure, parity with the processor, and timing."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fleet_agent
from fleet_agent.activation.golden import load_golden
from fleet_agent.activation.parity import check
from fleet_agent.engines.contract import PlanRequest
from fleet_agent.engines.onnxruntime_engine import OnnxRuntimeEngine, OnnxRuntimeModel
from fleet_agent.engines.onnxruntime_provider import CPU_PROVIDER, Provider
from fleet_agent.manifest import ModelManifest, Precision, load_manifest
from fleet_agent.perception import PerceptionEngine, Tensor
from fleet_agent.ports import SystemClock
from fleet_agent.preprocess import Preprocessor

MODELS = Path(fleet_agent.__file__).parent / "models"
# The first inferences after a pause run at a low clock of the GPU.
WARM_UP_RUNS = 50
Measured = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured.

    Attributes:
        cameras: Rows of a batch.
        runs: Timed inferences of each kind.
        device: Which GPU.
        threads: Of ONNX Runtime.
        workspace_mb: For building.
        optimization_level: For building.
    """

    cameras: int
    runs: int
    device: int
    threads: int
    workspace_mb: int
    optimization_level: int


@dataclass(frozen=True, slots=True)
class Artifact:
    """One ONNX file of a model."""

    directory: Path
    manifest: ModelManifest
    precision: Precision

    def request(self, plan: Path, settings: Settings) -> PlanRequest:
        """Return what builds its plan."""
        described = self.manifest.artifacts[self.precision]
        spec = self.manifest.input
        return PlanRequest(
            onnx=self.directory / described.file,
            sha256=described.sha256,
            precision=self.precision,
            input_name=spec.name,
            shape=(settings.cameras, 3, spec.height, spec.width),
            plan=plan,
            workspace_mb=settings.workspace_mb,
            optimization_level=settings.optimization_level,
        )

    def on_cpu(self, settings: Settings, precision: Precision) -> OnnxRuntimeEngine:
        """Return ONNX Runtime's engine of the model on the processor."""
        return self.through(CPU_PROVIDER, settings, precision)

    def through(self, provider: Provider, settings: Settings, precision: Precision) -> OnnxRuntimeEngine:
        """Return ONNX Runtime's engine of the model."""
        model = OnnxRuntimeModel(
            self.directory, self.manifest, precision=precision, threads=settings.threads, provider=provider
        )
        return model.engine(settings.cameras, owns_model=True)

    def batch(self, settings: Settings) -> Tensor:
        """Return golden frames as the network wants them, or noise where the model has none."""
        spec = self.manifest.input
        rng = np.random.default_rng(1)
        rows = rng.random((settings.cameras, 3, spec.height, spec.width), np.float32)
        golden = load_golden(self.directory, self.manifest)[: settings.cameras]
        if golden:
            Preprocessor(spec, rows).fill([frame.pixels for frame in golden])
        return rows


def artifacts(models: list[str], precisions: list[Precision]) -> Iterator[Artifact]:
    """List what there is of what was asked for."""
    for path in sorted(MODELS.glob("*/manifest.json")):
        if models and path.parent.name not in models:
            continue
        manifest = load_manifest(path.parent)
        for precision in precisions:
            if precision in manifest.artifacts:
                yield Artifact(path.parent, manifest, precision)


def answers(engine: PerceptionEngine, batch: Tensor) -> dict[str, Tensor]:
    """Run once and keep the answers."""
    engine.input[:] = batch
    return {name: array.copy() for name, array in engine.infer(len(batch)).items()}


def farthest(first: dict[str, Tensor], second: dict[str, Tensor]) -> dict[str, float]:
    """Return the largest difference of each output."""
    return {name: float(np.abs(array - second[name]).max()) for name, array in first.items()}


def timed(work: Callable[[], object], runs: int) -> Measured:
    """Return median and 99th percentile by the wall clock, in milliseconds."""
    for _ in range(WARM_UP_RUNS):
        work()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1e3)
    return {"median": round(statistics.median(times), 4), "p99": round(float(np.percentile(times, 99)), 4)}


def gate(artifact: Artifact, candidate: PerceptionEngine, settings: Settings) -> Measured:
    """Return the verdict of the cart's own parity gate on the golden frames."""
    manifest = artifact.manifest
    if not manifest.golden:
        return {"passed": None, "reasons": ["the model has no golden frames"]}
    reference = artifact.on_cpu(settings, "fp32")
    same_file = artifact.on_cpu(settings, artifact.precision)
    report = check(
        candidate,
        reference,
        manifest,
        load_golden(artifact.directory, manifest),
        manifest.artifacts[artifact.precision].parity,
        budget_ms=manifest.latency_budget_ms,
        clock=SystemClock(),
        runs=30,
        same_file=same_file,
    )
    reference.close()
    same_file.close()
    agreed = asdict(report.to_reference)
    return {"passed": report.passed, "reasons": list(report.reasons), "frames": report.frames, **agreed}


def parity(artifact: Artifact, seen: dict[str, Tensor], batch: Tensor, settings: Settings) -> Measured:
    """Return the largest differences to ONNX Runtime on the CPU."""
    measured: Measured = {"frames": "golden" if artifact.manifest.golden else "noise"}
    for precision in dict.fromkeys((artifact.precision, "fp32")):
        reference = artifact.on_cpu(settings, precision)
        measured[f"farthest_from_cpu_{precision}"] = farthest(answers(reference, batch), seen)
        reference.close()
    measured["finite"] = all(bool(np.isfinite(array).all()) for array in seen.values())
    return measured
