"""A plan in memory: deserialised, its one context, its tensors; each None and False of TensorRT an error."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleet_agent.engines.fitting import TensorFacts
from fleet_agent.engines.tensorrt.bindings import Bindings, made
from fleet_agent.engines.tensorrt.logger import runtime_log
from fleet_agent.errors import InferenceError, PlanLoadError

# A cart's plans have some megabytes; a file beyond this would push everything else out of a Jetson's memory.
MAX_PLAN_BYTES = 2 << 30
# TensorRT's types that numpy has; a plan with others (BF16, FP8, INT4) at its borders is not one of ours.
NUMPY_TYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "BOOL": "bool",
}


class LoadedPlan:
    """A plan that can be run; made and closed by one engine.

    Host code in plans stays forbidden (`engine_host_code_allowed` keeps its default): a plan computes on the
    GPU and does nothing else.

    Args:
        path: The plan.
        bindings: The runtime that built it.

    Raises:
        PlanLoadError: missing, too large, corrupt, of another version or GPU, or there is no memory for it.
            Carries TensorRT's words.
    """

    def __init__(self, path: Path, bindings: Bindings) -> None:
        self._path = path
        self._trt = bindings.trt
        self._log, self._logger = runtime_log(bindings)
        self._mark = self._log.mark()
        document = _read(path)
        self._runtime: Any = self._made("no runtime was made", self._trt.Runtime, self._logger)
        try:
            self._engine: Any = self._made("refused", self._runtime.deserialize_cuda_engine, document)
            self._context: Any = self._made(
                "no execution context: is memory short?", self._engine.create_execution_context
            )
        except PlanLoadError:
            self.close()
            raise

    def close(self) -> None:
        """Let go of context, engine and runtime, in this order."""
        self._context = None
        self._engine = None
        self._runtime = None

    def fix_inputs(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Fix the inputs' shapes for the plan's life.

        Raises:
            PlanLoadError: a shape that the plan was not built for, or an input that was not fixed.
        """
        for name, shape in shapes.items():
            if not self._context.set_input_shape(name, shape):
                raise self._error(f"built for another shape of {name!r} than {shape}")
        if missing := list(self._context.infer_shapes()):
            raise self._error(f"shapes of {missing} are not known")

    def inputs(self) -> list[TensorFacts]:
        """Return what goes in; free dimensions are None until they are fixed."""
        return [self._facts(name) for name in self._names() if self._is_input(name)]

    def outputs(self) -> list[TensorFacts]:
        """Return what comes out, after `fix_inputs`.

        Raises:
            PlanLoadError: a size depends on the data, as of suppression inside the network.
        """
        facts = [self._facts(name) for name in self._names() if not self._is_input(name)]
        for tensor in facts:
            if None in tensor.shape:
                raise self._error(
                    f"the size of {tensor} depends on the data; export the network without suppression"
                )
        return facts

    def _names(self) -> list[str]:
        return [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]

    def _is_input(self, name: str) -> bool:
        return bool(self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT)

    def _facts(self, name: str) -> TensorFacts:
        if self._engine.get_tensor_location(name) != self._trt.TensorLocation.DEVICE:
            raise self._error(f"{name!r} lives in the CPU's memory: it is a shape, not a picture")
        kind = self._engine.get_tensor_dtype(name)
        for theirs, ours in NUMPY_TYPES.items():
            if kind == getattr(self._trt.DataType, theirs, None):
                shape = tuple(self._context.get_tensor_shape(name))
                return TensorFacts(name, tuple(None if size < 0 else size for size in shape), ours)
        raise self._error(f"{name!r} is of type {kind}, which numpy lacks")

    def bind(self, name: str, pointer: int) -> None:
        """Tell where a tensor lies.

        Raises:
            PlanLoadError: TensorRT refuses the address.
        """
        if not self._context.set_tensor_address(name, pointer):
            raise self._error(f"refuses the address of {name!r}")

    def can_be_captured(self, stream: int) -> bool:
        """Whether the work can be recorded as a CUDA graph; only TensorRT for RTX knows, others must try."""
        ask = getattr(self._context, "is_stream_capturable", None)
        return ask is None or bool(ask(stream))

    def enqueue(self, stream: int) -> None:
        """Put one inference onto the stream.

        Raises:
            InferenceError: TensorRT refuses.
        """
        mark = self._log.mark()
        if not self._context.execute_async_v3(stream):
            raise InferenceError("TensorRT did not run the network", self._log.since(mark))

    def _made(self, why: str, factory: Callable[..., Any], *arguments: Any) -> Any:
        thing = made(factory, *arguments)
        if thing is None:
            raise self._error(why)
        return thing

    def _error(self, why: str) -> PlanLoadError:
        return PlanLoadError(f"{self._path.name}: {why}", self._log.since(self._mark))


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_PLAN_BYTES:
            raise PlanLoadError(f"{path}: {size} bytes are more than a plan may have ({MAX_PLAN_BYTES})")
        return path.read_bytes()
    except OSError as error:
        raise PlanLoadError(f"{path}: {error.strerror}") from error
