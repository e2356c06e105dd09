"""Builds a plan in a child process, while the engine that serves goes on serving.

The child prints JSON lines (`fleet_agent.engines.contract.Backend.build_command`). Whatever it does, it
cannot hurt the agent: what it prints is read in bounded pieces, it has a time-out, and at the end its
whole process group is killed.
"""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fleet_agent.engines.contract import Backend, PlanRequest
from fleet_agent.errors import PlanBuildError
from fleet_agent.plans.child import Child, OnProgress
from fleet_agent.ports import Clock


@dataclass(frozen=True, slots=True)
class Built:
    """A plan that was built.

    Attributes:
        plan: The file.
        size_bytes: Of it.
        seconds: By the child's clock.
    """

    plan: Path
    size_bytes: int
    seconds: float


def build_plan(
    backend: Backend,
    request: PlanRequest,
    *,
    clock: Clock,
    timeout_s: float,
    on_progress: OnProgress | None = None,
    cancelled: threading.Event | None = None,
) -> Built:
    """Build a plan and wait for it.

    Args:
        backend: One that needs plans.
        request: Where the plan goes and from what it is built.
        clock: For the time-out.
        timeout_s: Longest time.
        on_progress: Called in this thread.
        cancelled: Set by another thread to end the build.

    Raises:
        PlanBuildError: the child could not be started, failed, took too long, was cancelled, or left no plan.
    """
    # The child works in an empty folder: nothing that lies about is taken for a part of the model.
    command = backend.build_command(_absolute(request))
    if command is None:
        raise PlanBuildError("start", f"{backend.name} builds no plans")
    with _empty_folder() as folder, Child(command, folder) as child:
        deadline_s = clock.monotonic_s() + timeout_s
        while child.read(on_progress):
            if cancelled is not None and cancelled.is_set():
                raise PlanBuildError("cancelled", "the build of the plan was cancelled", child.log)
            if clock.monotonic_s() > deadline_s:
                raise PlanBuildError("timeout", f"the plan was not built in {timeout_s:g} s", child.log)
        return _result(child, request)


def _absolute(request: PlanRequest) -> PlanRequest:
    timing_cache = None if request.timing_cache is None else request.timing_cache.absolute()
    return replace(
        request, onnx=request.onnx.absolute(), plan=request.plan.absolute(), timing_cache=timing_cache
    )


@contextmanager
def _empty_folder() -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="plan-build-", ignore_cleanup_errors=True)
    except OSError as error:
        raise PlanBuildError("start", f"no folder for the builder: {error.strerror}") from error
    with folder as path:
        yield Path(path)


def _result(child: Child, request: PlanRequest) -> Built:
    status = child.end()
    if child.error is not None or status:
        raise PlanBuildError("failed", _why(child, status), child.log)
    try:
        size_bytes = request.plan.stat().st_size
    except OSError:
        size_bytes = 0
    if child.built is None or not size_bytes:
        raise PlanBuildError("no_plan", "the builder ended without a plan", child.log)
    return Built(request.plan, size_bytes, child.seconds)


def _why(child: Child, status: int) -> str:
    if child.error is not None:
        return f"the plan was not built: {child.error}"
    ended = f"by signal {-status} (memory?)" if status < 0 else f"with status {status}"
    last = child.log[-1] if child.log else "it said nothing"
    return f"the builder ended {ended}: {last}"
