"""What a GPU makes of the models: parity, latency, CUDA graph, build time, in one go.

    python -m benchmarks.gpu_engine > gpu.json
    python -m benchmarks.gpu_engine --models v2 --precisions fp16 int8 --runs 1000

For each usable runtime (TensorRT, TensorRT for RTX), model and precision: a plan is built for this GPU in a
child process, as on a cart, and opened with and without a CUDA graph. Then

- `build`: seconds and bytes;
- `open_s`: deserialise, allocate, warm up, record the graph; for RTX its kernels are compiled here;
- `parity`: largest difference to ONNX Runtime on the CPU, to the same artifact and to the FP32 one, on the
  golden frames where the model has some, else on noise; and the verdict of the cart's own parity gate;
- `graph`: whether there is one, and whether it answers bit for bit as the plain enqueue does;
- `latency_ms`: median and 99th percentile of `infer` by the wall clock (copies in and out, synchronisation,
  Python), with and without graph; the GPU's own time of copies and network, and of the network alone;
  and ONNX Runtime on the CPU beside it, in the same process, on the same batch.

ONNX Runtime's CUDA provider, where it is installed, is measured likewise; it has no plan and no graph.

Exit status: 0; 1 when something that was tried failed, or an engine answers wrongly; 2 without a GPU.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.gpu_artifacts import (
    Artifact,
    Measured,
    Settings,
    answers,
    artifacts,
    gate,
    parity,
    timed,
)
from fleet_agent.config.model import ModelConfig
from fleet_agent.engines.onnxruntime_engine import OnnxRuntimeEngine
from fleet_agent.engines.onnxruntime_provider import Provider
from fleet_agent.engines.tensorrt.backend import TensorRtBackend
from fleet_agent.engines.tensorrt.bindings import RUNTIME_NAMES, RuntimeName
from fleet_agent.engines.tensorrt.cuda import CudaGpu, load_cuda
from fleet_agent.engines.tensorrt.engine import TensorRtEngine
from fleet_agent.errors import EngineError, ModelError, PlanBuildError
from fleet_agent.manifest import PRECISIONS
from fleet_agent.plans.builder import Built, build_plan
from fleet_agent.ports import SystemClock

BUILD_TIMEOUT_S = 900.0
# How ONNX Runtime on the GPU is called beside the runtimes of plans.
CUDA_PROVIDER = "onnxruntime_cuda"


def latencies(
    with_graph: TensorRtEngine, plain: TensorRtEngine, cpu: OnnxRuntimeEngine, settings: Settings
) -> Measured:
    """Time everything, one after the other on the same batch."""
    rows, runs = settings.cameras, settings.runs
    wall = timed(lambda: with_graph.infer(rows), runs)
    wall_plain = timed(lambda: plain.infer(rows), runs)
    gpu = [with_graph.times_ms() for _ in range(runs)]
    reference = timed(lambda: cpu.infer(rows), max(20, runs // 10))
    return {
        "infer": wall,
        "infer_without_graph": wall_plain,
        "gpu_copies_and_network_median": round(statistics.median(whole for whole, _ in gpu), 4),
        "gpu_network_median": round(statistics.median(network for _, network in gpu), 4),
        "onnxruntime_cpu": reference,
        "graph_speedup": round(wall_plain["median"] / wall["median"], 3),
        "speedup_over_cpu": round(reference["median"] / wall["median"], 2),
    }


def run(artifact: Artifact, name: RuntimeName, built: Built, settings: Settings) -> Measured:
    """Open a plan with and without graph, compare, time."""

    def opened(*, cuda_graph: bool) -> TensorRtEngine:
        config = ModelConfig(device=settings.device, cuda_graph=cuda_graph)
        return TensorRtBackend.on_device(name, config).open(
            artifact.directory,
            artifact.manifest,
            precision=artifact.precision,
            cameras=settings.cameras,
            plan=built.plan,
        )

    started = time.perf_counter()
    with_graph = opened(cuda_graph=True)
    open_s = time.perf_counter() - started
    plain = opened(cuda_graph=False)
    cpu = artifact.on_cpu(settings, artifact.precision)
    try:
        batch = artifact.batch(settings)
        seen, seen_plain = answers(with_graph, batch), answers(plain, batch)
        same = all(np.array_equal(array, seen_plain[output]) for output, array in seen.items())
        cpu.input[:] = batch
        return {
            "engine": str(with_graph.info),
            "open_s": round(open_s, 3),
            "graph": {"active": not with_graph.info.note, "note": with_graph.info.note, "same_answers": same},
            "parity": parity(artifact, seen, batch, settings),
            "gate": gate(artifact, with_graph, settings),
            "latency_ms": latencies(with_graph, plain, cpu, settings),
        }
    finally:
        for engine in (with_graph, plain, cpu):
            engine.close()


def identity(artifact: Artifact, runtime: str) -> Measured:
    """Say what is measured."""
    return {
        "runtime": runtime,
        "model": artifact.directory.name,
        "digest": artifact.manifest.digest,
        "precision": artifact.precision,
    }


def measure_cuda_provider(artifact: Artifact, settings: Settings) -> Measured:
    """Run one artifact with ONNX Runtime on the GPU: what a cart has whose TensorRT is missing or refused."""
    entry = identity(artifact, CUDA_PROVIDER)
    started = time.perf_counter()
    try:
        engine = artifact.through(Provider(name="cuda", device=settings.device), settings, artifact.precision)
    except ModelError as error:
        return entry | {"error": str(error)}
    open_s = time.perf_counter() - started
    cpu = artifact.on_cpu(settings, artifact.precision)
    try:
        batch = artifact.batch(settings)
        seen = answers(engine, batch)
        cpu.input[:] = batch
        rows, runs = settings.cameras, settings.runs
        wall = timed(lambda: engine.infer(rows), runs)
        reference = timed(lambda: cpu.infer(rows), max(20, runs // 10))
        return entry | {
            "engine": str(engine.info),
            "open_s": round(open_s, 3),
            "parity": parity(artifact, seen, batch, settings),
            "gate": gate(artifact, engine, settings),
            "latency_ms": {
                "infer": wall,
                "onnxruntime_cpu": reference,
                "speedup_over_cpu": round(reference["median"] / wall["median"], 2),
            },
        }
    finally:
        engine.close()
        cpu.close()


def measure(artifact: Artifact, name: RuntimeName, folder: Path, settings: Settings) -> Measured:
    """Build and run one artifact; a failure is a result like any other."""
    entry = identity(artifact, name)
    try:
        backend = TensorRtBackend.on_device(name, ModelConfig(device=settings.device))
        described = artifact.manifest.artifacts[artifact.precision]
        plan = folder / f"{described.sha256[:12]}-{name}.plan"
        request = artifact.request(plan, settings)
        built = build_plan(backend, request, clock=SystemClock(), timeout_s=BUILD_TIMEOUT_S)
        entry["build"] = {"seconds": built.seconds, "bytes": built.size_bytes}
        entry |= run(artifact, name, built, settings)
    except PlanBuildError as error:
        entry |= {"error": str(error), "log": list(error.log)}
    except ModelError as error:
        entry["error"] = str(error)
    return entry


def is_good(entry: Measured) -> bool:
    """Whether an artifact ran, and right: `v3-bad` is bad by its training, not by its engine.

    A plan's engine without a CUDA graph is good only where the runtime itself says that there can be none.
    """
    if "error" in entry:
        return False
    graph = entry.get("graph", {"active": True, "same_answers": True})
    captured = graph["active"] or "cannot be captured" in graph["note"]
    return bool(
        captured
        and entry["parity"]["finite"]
        and graph["same_answers"]
        and entry["gate"]["passed"] is not False
    )


def usable(device: int) -> tuple[list[RuntimeName], dict[str, str]]:
    """Return the runtimes of plans that this GPU has, and what is missing or refuses the chip, and why.

    ONNX Runtime's CUDA provider is among the second where it is not installed.
    """
    names: list[RuntimeName] = []
    refused: dict[str, str] = {}
    try:
        Provider(name="cuda").check_present()
    except EngineError as error:
        refused[CUDA_PROVIDER] = str(error)
    for name in RUNTIME_NAMES:
        try:
            TensorRtBackend.on_device(name, ModelConfig(device=device))
            names.append(name)
        except EngineError as error:
            refused[name] = str(error)
    return names, refused


def gpu_facts(device: int) -> Measured | str:
    """Return what the GPU is, or why there is none."""
    try:
        return asdict(CudaGpu(load_cuda(), device).facts())
    except EngineError as error:
        return str(error)


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="*", default=[], help="folders of fleet_agent/models; all")
    parser.add_argument("--precisions", nargs="*", default=list(PRECISIONS), choices=PRECISIONS)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of ONNX Runtime")
    parser.add_argument("--workspace-mb", type=int, default=512)
    parser.add_argument("--optimization-level", type=int, default=3, choices=range(6))
    return parser.parse_args()


def main() -> int:
    """Measure and print JSON; return the exit status."""
    given = options()
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "load_1_min": os.getloadavg()[0]}
    gpu = gpu_facts(given.device)
    if isinstance(gpu, str):
        print(json.dumps({"machine": machine, "gpu": None, "reason": f"no GPU answers: {gpu}"}, indent=2))
        return 2
    settings = Settings(
        given.cameras,
        given.runs,
        given.device,
        given.threads,
        given.workspace_mb,
        given.optimization_level,
    )
    names, refused = usable(given.device)
    with tempfile.TemporaryDirectory() as folder:
        results = [
            measure(artifact, name, Path(folder), settings)
            for name in names
            for artifact in artifacts(given.models, given.precisions)
        ]
    if CUDA_PROVIDER not in refused:
        results += [
            measure_cuda_provider(artifact, settings)
            for artifact in artifacts(given.models, given.precisions)
        ]
    found = {"machine": machine, "gpu": gpu, "settings": asdict(settings), "refused": refused}
    print(json.dumps({**found, "results": results}, indent=2))
    return 0 if results and all(map(is_good, results)) else 1


if __name__ == "__main__":
    sys.exit(main())
