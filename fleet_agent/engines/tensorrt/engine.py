"""A plan that sees: pinned input, one stream, one context, one CUDA graph."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from fleet_agent.engines.fitting import (
    check_cameras,
    check_frames,
    check_input,
    check_names,
    check_outputs,
    wanted_outputs,
)
from fleet_agent.engines.ownership import Ownership
from fleet_agent.engines.tensorrt.bindings import Bindings
from fleet_agent.engines.tensorrt.cuda import Gpu
from fleet_agent.engines.tensorrt.memory import Buffer, allocate_all
from fleet_agent.engines.tensorrt.plan import LoadedPlan
from fleet_agent.errors import EngineError, PlanLoadError
from fleet_agent.manifest import ModelManifest, Precision
from fleet_agent.perception import EngineInfo, Tensor

# The first enqueue loads kernels, the second settles memory, the third is as fast as the thousandth. A graph
# that is recorded before that records the loading as well.
WARM_UP_RUNS = 3
# Of the plan's key, in telemetry.
KEY_CHARACTERS = 12

log = structlog.get_logger()


class TensorRtEngine:
    """A plan of TensorRT 10.3 to 11 or of TensorRT for RTX, ready to run.

    Args:
        plan: The file; its name begins with the plan's key.
        manifest: What the network must be.
        bindings: The runtime.
        gpu: Where it runs.
        device: The GPU's name.
        precision: Of the artifact that the plan was built from.
        cameras: Rows of the input.
        cuda_graph: Record the work once and replay it. Where that is refused, the engine runs without it and
            says so in its log and in `info`.

    Raises:
        PlanLoadError: the plan cannot be used here, or is not the manifest's network.
        DeviceError: the GPU refuses, as where its memory is full.
        InferenceError: the warm-up fails.
    """

    def __init__(
        self,
        plan: Path,
        manifest: ModelManifest,
        *,
        bindings: Bindings,
        gpu: Gpu,
        device: str,
        precision: Precision,
        cameras: int,
        cuda_graph: bool = True,
    ) -> None:
        self._gpu = gpu
        self._ownership = Ownership()
        self._thread = threading.get_ident()
        self._graph: Any = None
        self._graph_refused = ""
        self._buffers: list[Buffer] = []
        self._plan: LoadedPlan | None = None
        gpu.use()
        self._stream = gpu.create_stream()
        try:
            self._plan = LoadedPlan(plan, bindings)
            self._outputs = self._fit(self._plan, manifest, cameras)
            self._warm_up()
            if cuda_graph:
                self._record()
        except BaseException:  # whatever it is, the GPU's memory must not stay behind
            self._release()
            raise
        identity = (bindings.name, bindings.version, device, precision, plan.stem[:KEY_CHARACTERS])
        self._info = EngineInfo(*identity, note=self._graph_refused)

    def _fit(self, plan: LoadedPlan, manifest: ModelManifest, cameras: int) -> list[Buffer]:
        """Check the plan against the manifest, allocate and bind; return what the decoder reads."""
        spec = manifest.input
        wanted = wanted_outputs(manifest)
        try:
            check_cameras(check_input(manifest, plan.inputs()), cameras)
            plan.fix_inputs({spec.name: (cameras, 3, spec.height, spec.width)})
            outputs = plan.outputs()
            check_names(manifest, outputs)
            check_outputs(manifest, {tensor.name: tensor for tensor in outputs}, cameras)
        except PlanLoadError:
            raise
        except EngineError as error:
            raise PlanLoadError(str(error)) from error
        self._buffers = allocate_all([*plan.inputs(), *outputs], (spec.name, *wanted), self._gpu)
        for buffer in self._buffers:
            plan.bind(buffer.name, buffer.pointer)
        self._input = self._buffers[0].read()
        return [buffer for buffer in self._buffers if buffer.name in wanted]

    def _warm_up(self) -> None:
        for _ in range(WARM_UP_RUNS):
            self._enqueue()
        self._gpu.synchronize(self._stream)

    def _record(self) -> None:
        """Record copies and network as one graph; an engine without one is slower, not wrong."""
        assert self._plan is not None  # noqa: S101  # only called while it is loaded
        try:
            if not self._plan.can_be_captured(self._stream):
                raise EngineError("the plan cannot be captured")  # noqa: TRY301
            self._graph = self._gpu.capture(self._enqueue, self._stream)
            self._gpu.launch(self._graph, self._stream)
            self._gpu.synchronize(self._stream)
        except EngineError as error:
            self._drop_graph()
            self._graph_refused = f"no CUDA graph: {error}"
            log.warning("engine_without_cuda_graph", reason=str(error))

    def _enqueue(self) -> None:
        assert self._plan is not None  # noqa: S101  # guarded by the ownership
        self._buffers[0].copy_in(self._stream)
        self._plan.enqueue(self._stream)
        for buffer in self._outputs:
            buffer.copy_out(self._stream)

    @property
    def info(self) -> EngineInfo:
        """Runtime, GPU, precision and plan; the note says where there is no CUDA graph."""
        return self._info

    @property
    def input(self) -> Tensor:
        """Where frames are written: pinned, the same memory for the engine's whole life."""
        return self._input

    def infer(self, frames: int) -> Mapping[str, Tensor]:
        """Run the network on all rows.

        Args:
            frames: How many rows hold pictures; the others are computed too, and mean nothing.

        Raises:
            InferenceError: TensorRT refused; carries its words.
            DeviceError: CUDA refused.
            EngineBusyError: another thread is in here.
        """
        check_frames(frames, len(self._input))
        with self._ownership:
            self._enter_thread()
            self._run()
            self._gpu.synchronize(self._stream)
            return {buffer.name: buffer.read() for buffer in self._outputs}

    def _run(self) -> None:
        if self._graph is None:
            self._enqueue()
        else:
            self._gpu.launch(self._graph, self._stream)

    def _enter_thread(self) -> None:
        """CUDA's current device is each thread's own: a new thread would begin on the first GPU."""
        if self._thread != threading.get_ident():
            self._gpu.use()
            self._thread = threading.get_ident()

    def times_ms(self) -> tuple[float, float]:
        """Run once; for benchmarks.

        Returns:
            Time of copies and network, and of the network alone, by the GPU's clock.
        """
        with self._ownership:
            self._enter_thread()
            plan = self._plan
            assert plan is not None  # noqa: S101  # guarded by the ownership
            whole = self._gpu.elapsed_ms(self._run, self._stream)
            return whole, self._gpu.elapsed_ms(lambda: plan.enqueue(self._stream), self._stream)

    def close(self) -> None:
        """Wait for the GPU, then give everything back.

        Raises:
            EngineBusyError: another thread is in here and does not come out.
        """
        if self._ownership.end():
            self._enter_thread()
            self._release()

    def _release(self) -> None:
        """Let go in the order in which each thing may: what is used after what uses it.

        A failure is logged and the rest goes on: this runs where something has failed already.
        """
        self._try(lambda: self._gpu.synchronize(self._stream))
        self._drop_graph()
        if self._plan is not None:
            self._plan.close()
            self._plan = None
        for buffer in self._buffers:
            self._try(buffer.close)
        self._buffers = []
        self._try(lambda: self._gpu.destroy_stream(self._stream))

    def _drop_graph(self) -> None:
        graph, self._graph = self._graph, None
        if graph is not None:
            self._try(lambda: self._gpu.destroy_graph(graph))

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except EngineError as error:
            log.warning("engine_release_failed", reason=str(error))
