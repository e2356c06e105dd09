"""A GPU and a TensorRT of numpy, for what cannot be seen without a GPU: order, failures, graphs.

Copies and inferences happen at once, or, while a graph is recorded, at its launch. Memory of the GPU is
apart from the arrays of the engine, so a copy that is forgotten is a wrong answer.
"""

import itertools
import weakref
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fleet_agent.engines.fitting import TensorFacts
from fleet_agent.engines.tensorrt.bindings import Bindings
from fleet_agent.errors import DeviceError

Network = Callable[[NDArray[Any]], Mapping[str, NDArray[Any]]]


class GpuDouble:
    """Implements `Gpu`.

    Args:
        failing: Methods that refuse.
    """

    def __init__(self, failing: tuple[str, ...] = ()) -> None:
        self.failing = set(failing)
        self.done: list[str] = []
        self.memory: dict[int, NDArray[np.uint8]] = {}
        self.pinned_arrays: dict[int, NDArray[Any]] = {}
        self.streams: set[int] = set()
        self.graphs: set[int] = set()
        self._recording: list[Callable[[], None]] | None = None
        self._handles = itertools.count(1)

    @property
    def held(self) -> int:
        """How many things were not given back."""
        return len(self.memory) + len(self.pinned_arrays) + len(self.streams) + len(self.graphs)

    def _step(self, name: str) -> int:
        self.done.append(name)
        if name in self.failing:
            raise DeviceError(name, "cudaErrorDouble", "as the test wants it")
        return next(self._handles)

    def submit(self, work: Callable[[], None]) -> None:
        """Do it now, or keep it for the graph that is being recorded."""
        if self._recording is None:
            work()
        else:
            self._recording.append(work)

    def use(self) -> None:
        """Note it."""
        self._step("use")

    def create_stream(self) -> int:
        """Return a handle."""
        stream = self._step("create_stream")
        self.streams.add(stream)
        return stream

    def destroy_stream(self, stream: int) -> None:
        """Forget a handle."""
        self._step("destroy_stream")
        self.streams.remove(stream)

    def synchronize(self, stream: int) -> None:
        """Everything is done already."""
        assert stream in self.streams
        self._step("synchronize")

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return zeros."""
        self._step("pinned")
        array = np.zeros(shape, dtype)
        self.pinned_arrays[array.ctypes.data] = array
        return array

    def unpin(self, array: NDArray[Any]) -> None:
        """Forget an array."""
        self._step("unpin")
        del self.pinned_arrays[array.ctypes.data]

    def allocate(self, size_bytes: int) -> int:
        """Return a handle of bytes."""
        pointer = self._step("allocate")
        self.memory[pointer] = np.zeros(size_bytes, np.uint8)
        return pointer

    def free(self, pointer: int) -> None:
        """Forget bytes."""
        self._step("free")
        del self.memory[pointer]

    def _bytes(self, array: NDArray[Any]) -> NDArray[np.uint8]:
        assert array.ctypes.data in self.pinned_arrays, "only pinned memory is copied"
        return array.reshape(-1).view(np.uint8)

    def copy_in(self, pointer: int, array: NDArray[Any], stream: int) -> None:
        """Copy bytes, on the stream."""
        assert stream in self.streams
        self._step("copy_in")
        self.submit(lambda: np.copyto(self.memory[pointer], self._bytes(array)))

    def copy_out(self, array: NDArray[Any], pointer: int, stream: int) -> None:
        """Copy bytes, on the stream."""
        assert stream in self.streams
        self._step("copy_out")
        self.submit(lambda: np.copyto(self._bytes(array), self.memory[pointer]))

    def capture(self, work: Callable[[], None], stream: int) -> Any:
        """Keep what `work` submits."""
        assert stream in self.streams
        handle = self._step("capture")
        self._recording = []
        try:
            work()
            recorded = self._recording
        finally:
            self._recording = None
        self.graphs.add(handle)
        return handle, recorded

    def launch(self, graph: Any, stream: int) -> None:
        """Do what was kept."""
        assert stream in self.streams
        assert graph[0] in self.graphs
        self._step("launch")
        for work in graph[1]:
            work()

    def destroy_graph(self, graph: Any) -> None:
        """Forget it."""
        self._step("destroy_graph")
        self.graphs.remove(graph[0])

    def elapsed_ms(self, work: Callable[[], None], stream: int) -> float:
        """Do it."""
        assert stream in self.streams
        work()
        return 1.0


class TensorRtDouble:
    """Stands for the module `tensorrt` as far as running a plan goes.

    Args:
        gpu: Whose memory it reads and writes.
        inputs: Of the plan.
        outputs: Of the plan.
        network: What it computes: the input's array to the outputs'.
        refusing: Functions that return None or False, as TensorRT's do.
        capturable: What the context says of CUDA graphs.
    """

    def __init__(
        self,
        gpu: GpuDouble,
        inputs: list[TensorFacts],
        outputs: list[TensorFacts],
        network: Network,
        *,
        refusing: str = "",
        capturable: bool = True,
    ) -> None:
        self.gpu = gpu
        self.inputs = {tensor.name: tensor for tensor in inputs}
        self.outputs = {tensor.name: tensor for tensor in outputs}
        self.network = network
        self.refusing = refusing
        self.capturable = capturable
        self.on_host: set[str] = set()
        self.threads_in_enqueue: Callable[[], None] = lambda: None
        self.TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")
        self.TensorLocation = SimpleNamespace(DEVICE="device", HOST="host")
        self.DataType = SimpleNamespace(FLOAT="float32", HALF="float16", INT64="int64")
        self.ILogger = LoggerBase

    @property
    def bindings(self) -> Bindings:
        """It, as the engine gets it."""
        return Bindings("tensorrt", "10.3.0", self)

    def Runtime(self, logger: Any) -> Any:  # noqa: N802  # TensorRT's name
        """Make a runtime; its logger tells the reason where the plan is refused."""
        if self.refusing == "runtime":
            raise TypeError("pybind11::init(): factory function returned nullptr")
        runtime = _RuntimeDouble(self, logger)
        weakref.finalize(runtime, self.gpu.done.append, "runtime gone")
        return runtime


class LoggerBase:
    """TensorRT's base of loggers."""

    WARNING = 2


class _RuntimeDouble:
    def __init__(self, trt: TensorRtDouble, logger: Any) -> None:
        self._trt = trt
        self._logger = logger

    def deserialize_cuda_engine(self, document: bytes) -> Any:
        if self._trt.refusing == "deserialize" or not document:
            self._logger.log(1, "the plan is of another machine")
            return None
        engine = _EngineDouble(self._trt)
        weakref.finalize(engine, self._trt.gpu.done.append, "engine gone")
        return engine


class _EngineDouble:
    def __init__(self, trt: TensorRtDouble) -> None:
        self._trt = trt
        self._tensors = trt.inputs | trt.outputs
        self.num_io_tensors = len(self._tensors)

    def create_execution_context(self) -> Any:
        context = _ContextDouble(self._trt)
        weakref.finalize(context, self._trt.gpu.done.append, "context gone")
        return None if self._trt.refusing == "context" else context

    def get_tensor_name(self, index: int) -> str:
        return list(self._tensors)[index]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name in self._trt.inputs else "out"

    def get_tensor_location(self, name: str) -> str:
        return "host" if name in self._trt.on_host else "device"

    def get_tensor_dtype(self, name: str) -> str:
        return self._tensors[name].dtype


class _ContextDouble:
    def __init__(self, trt: TensorRtDouble) -> None:
        self._trt = trt
        self._rows: int | None = None
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        built_for = self._trt.inputs[name].shape
        if self._trt.refusing == "set_input_shape" or built_for[0] not in (None, shape[0]):
            return False
        self._rows = shape[0]
        return True

    def infer_shapes(self) -> list[str]:
        return ["images"] if self._trt.refusing == "infer_shapes" else []

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        first, *rest = (self._trt.inputs | self._trt.outputs)[name].shape
        rows = self._rows if first is None else first
        return tuple(-1 if size is None else size for size in (rows, *rest))

    def set_tensor_address(self, name: str, pointer: int) -> bool:
        self._addresses[name] = pointer
        return self._trt.refusing != "set_tensor_address"

    def is_stream_capturable(self, stream: int) -> bool:
        assert stream in self._trt.gpu.streams
        return self._trt.capturable

    def execute_async_v3(self, stream: int) -> bool:
        gpu = self._trt.gpu
        assert stream in gpu.streams
        gpu.done.append("enqueue")
        self._trt.threads_in_enqueue()
        gpu.submit(self._compute)
        return self._trt.refusing != "execute"

    def _compute(self) -> None:
        (name,) = self._trt.inputs
        shape = self.get_tensor_shape(name)
        given = self._trt.gpu.memory[self._addresses[name]].view(np.float32).reshape(shape)
        for output, array in self._trt.network(given).items():
            tensor = self._trt.outputs[output]
            raw = np.ascontiguousarray(array, tensor.dtype).reshape(-1).view(np.uint8)
            np.copyto(self._trt.gpu.memory[self._addresses[output]], raw)
