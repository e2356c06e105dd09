"""Stories about the process that builds plans: real children, really killed."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.durable import file_sha256, sweep
from fleet_agent.engines.contract import PlanRequest
from fleet_agent.engines.tensorrt.backend import TensorRtBackend
from fleet_agent.engines.tensorrt.bindings import Bindings
from tests.fleet_agent.engines.graphs import center_model
from tests.fleet_agent.engines.shipped import SHIPPED

# Longest that a child is waited for; it takes a second.
TIMEOUT_S = 120


@pytest.fixture
def backend(rtx: Bindings) -> TensorRtBackend:
    """TensorRT for RTX, without a GPU."""
    assert rtx.is_rtx
    return TensorRtBackend.building_only("8.6")


@pytest.fixture
def request_of_v1(tmp_path: Path) -> PlanRequest:
    """The plan of a shipped model."""
    artifact = SHIPPED[0]
    spec, described = artifact.manifest.input, artifact.manifest.artifacts[artifact.precision]
    return PlanRequest(
        onnx=artifact.directory / described.file,
        sha256=described.sha256,
        precision=artifact.precision,
        input_name=spec.name,
        shape=(4, 3, spec.height, spec.width),
        plan=tmp_path / "0123456789abcdef.plan",
        workspace_mb=256,
        optimization_level=3,
    )


def finished(command: list[str]) -> tuple[int, list[dict[str, Any]], str]:
    """Run a child to its end; return status, lines of stdout, stderr."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_the_child_reports_progress_and_writes_the_plan(
    backend: TensorRtBackend, request_of_v1: PlanRequest
) -> None:
    """Every line is JSON; the last one tells the plan's size, and the plan alone is in the folder."""
    status, lines, errors = finished(backend.build_command(request_of_v1))
    assert (status, errors) == (0, "")
    assert all({"phase", "step", "of"} == set(line) for line in lines[:-1])
    assert len(lines) > 10
    size = request_of_v1.plan.stat().st_size
    assert lines[-1]["built"] == size > 100_000
    assert lines[-1]["seconds"] > 0
    assert [path.name for path in request_of_v1.plan.parent.iterdir()] == [request_of_v1.plan.name]


def test_timings_are_not_kept_where_the_runtime_keeps_none(
    backend: TensorRtBackend, request_of_v1: PlanRequest, tmp_path: Path
) -> None:
    """TensorRT for RTX chooses kernels on the cart; its timing cache is deprecated and not touched."""
    request = replace(request_of_v1, timing_cache=tmp_path / "timings")
    status, _, errors = finished(backend.build_command(request))
    assert (status, errors) == (0, "")
    assert not (tmp_path / "timings").exists()


def test_a_broken_model_ends_with_the_reason(backend: TensorRtBackend, request_of_v1: PlanRequest) -> None:
    """Status 1, a last line with the error and the runtime's log, and no plan."""
    model = center_model(request_of_v1.plan.parent)
    model.onnx().write_bytes(b"\x08\x01broken")
    wrong = replace(request_of_v1, onnx=model.onnx())
    for request, why in (
        (wrong, "is not the artifact of sha256"),
        (replace(wrong, sha256=file_sha256(model.onnx())), "cannot be parsed"),
        (replace(request_of_v1, shape=(4, 3, 32, 32)), "(4, 3, 32, 32) was asked for"),
    ):
        status, lines, _ = finished(backend.build_command(request))
        assert status == 1
        assert why in lines[-1]["error"]
        assert isinstance(lines[-1]["log"], list)
        assert not request.plan.exists()


def test_a_folder_that_is_not_there_is_told(backend: TensorRtBackend, request_of_v1: PlanRequest) -> None:
    """A plan that cannot be written is a reason like any other."""
    request = replace(request_of_v1, plan=request_of_v1.plan.parent / "nowhere" / "a.plan")
    status, lines, _ = finished(backend.build_command(request))
    assert status == 1
    assert "No such file" in lines[-1]["error"]


@pytest.mark.parametrize("shape", ["4x3x32", "0x3x32x32", "4x3x32x32x1", "axbxcxd"])
def test_a_shape_that_is_none_is_refused(
    backend: TensorRtBackend, request_of_v1: PlanRequest, shape: str
) -> None:
    """The command line is checked before anything is loaded."""
    command = backend.build_command(request_of_v1)
    command[command.index("--shape") + 1] = shape
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 2
    assert "is not like 4x3x160x160" in done.stderr


def lines_of(child: subprocess.Popen[str]) -> Iterator[str]:
    """Yield what a child prints, as it comes."""
    assert child.stdout is not None
    yield from child.stdout


@pytest.mark.parametrize("after_lines", [1, 4, 9, 16, 25, 27])
def test_a_killed_child_leaves_no_plan_or_a_whole_one(
    backend: TensorRtBackend, request_of_v1: PlanRequest, after_lines: int
) -> None:
    """SIGKILL at any point: never half a plan, and the next build works."""
    folder = request_of_v1.plan.parent
    with subprocess.Popen(backend.build_command(request_of_v1), stdout=subprocess.PIPE, text=True) as child:
        for count, _ in enumerate(lines_of(child), start=1):
            if count == after_lines:
                os.kill(child.pid, signal.SIGKILL)
                break
        child.wait(TIMEOUT_S)
    left = request_of_v1.plan.read_bytes() if request_of_v1.plan.exists() else None
    sweep(folder)
    assert {path.name for path in folder.iterdir()} <= {request_of_v1.plan.name}
    status, lines, _ = finished(backend.build_command(request_of_v1))
    assert status == 0
    assert left is None or len(left) == lines[-1]["built"]
