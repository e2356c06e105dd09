"""Stories about `benchmarks/gpu_engine.py`: without a GPU it says so, with one it measures."""

import json
import subprocess
import sys
from typing import Any

import pytest

from benchmarks.gpu_engine import is_good
from fleet_agent.engines.tensorrt.cuda import CudaGpu, load_cuda
from fleet_agent.errors import EngineError


def measured(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Run the benchmark; return its status and its JSON."""
    command = [sys.executable, "-m", "benchmarks.gpu_engine", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert not done.stderr
    return done.returncode, json.loads(done.stdout)


def test_without_a_gpu_the_benchmark_says_so() -> None:
    """It measures nothing, says why, and its status is 2."""
    try:
        CudaGpu(load_cuda(), 0)
    except EngineError:
        status, found = measured()
    else:
        status, found = measured("--device", "1000")
    assert status == 2
    assert found["gpu"] is None
    assert found["reason"].startswith("no GPU answers: cudaSetDevice: cudaError")


@pytest.mark.parametrize(
    ("active", "note", "good"),
    [
        (True, "", True),
        (False, "no CUDA graph: the plan cannot be captured", True),
        (False, "no memory", False),
    ],
)
def test_an_engine_without_its_graph_is_not_called_good(*, active: bool, note: str, good: bool) -> None:
    """Two engines without a graph agree with each other: that is no proof of a graph."""
    entry = {
        "parity": {"finite": True},
        "graph": {"active": active, "note": note, "same_answers": True},
        "gate": {"passed": True},
    }
    assert is_good(entry) is good


def test_an_engine_without_a_plan_needs_no_graph() -> None:
    """ONNX Runtime on the GPU is judged by its answers."""
    assert is_good({"parity": {"finite": True}, "gate": {"passed": True}})
    assert not is_good({"parity": {"finite": True}, "gate": {"passed": False}})


@pytest.mark.gpu
def test_with_a_gpu_every_artifact_is_measured_or_refused_plainly() -> None:
    """Each runtime is used, or its refusal of the chip is in the JSON."""
    status, found = measured("--models", "v1", "--runs", "50")
    assert {entry["runtime"] for entry in found["results"]} | set(found["refused"]) == {
        "tensorrt",
        "tensorrt_rtx",
        "onnxruntime_cuda",
    }
    assert status == (0 if found["results"] else 1)
    assert not [entry["error"] for entry in found["results"] if "error" in entry]
