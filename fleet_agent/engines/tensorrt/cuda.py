"""The little of CUDA that an engine needs, typed, each call checked.

Handles are plain integers and opaque values; the numpy arrays belong to numpy and are only pinned here, so an
array that somebody still holds after the engine is closed is ordinary memory, never a hole.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fleet_agent.errors import DeviceError, EngineError

# CUDA pins whole pages: memory that begins inside one would pin, and on close unpin, its neighbours'.
PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """One GPU and its software.

    Attributes:
        name: As the driver says.
        compute_capability: Such as `8.7`.
        multiprocessors: Number of them.
        runtime: CUDA's version as a number, 13000 for 13.0.
        driver: Highest CUDA version that the driver supports, likewise.
    """

    name: str
    compute_capability: str
    multiprocessors: int
    runtime: int
    driver: int


class Gpu(Protocol):
    """One GPU as engines use it. Every method raises DeviceError where CUDA refuses."""

    def use(self) -> None:
        """Make it the calling thread's device."""

    def create_stream(self) -> int:
        """Return a stream that does not wait for the default one."""

    def destroy_stream(self, stream: int) -> None:
        """Give a stream back."""

    def synchronize(self, stream: int) -> None:
        """Wait until everything on a stream is done; lets other Python threads run."""

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return zeros in memory that copies to the GPU need not copy first."""

    def unpin(self, array: NDArray[Any]) -> None:
        """Make pinned memory ordinary again."""

    def allocate(self, size_bytes: int) -> int:
        """Return memory of the GPU."""

    def free(self, pointer: int) -> None:
        """Give memory of the GPU back."""

    def copy_in(self, pointer: int, array: NDArray[Any], stream: int) -> None:
        """Copy a pinned array to the GPU, later, on the stream."""

    def copy_out(self, array: NDArray[Any], pointer: int, stream: int) -> None:
        """Copy from the GPU to a pinned array, later, on the stream."""

    def capture(self, work: Callable[[], None], stream: int) -> Any:
        """Record what `work` puts onto the stream, without running it; return it as a graph to launch."""

    def launch(self, graph: Any, stream: int) -> None:
        """Run a recorded graph on the stream."""

    def destroy_graph(self, graph: Any) -> None:
        """Give a graph back."""

    def elapsed_ms(self, work: Callable[[], None], stream: int) -> float:
        """Run `work` and return the time that the stream took for it, by the GPU's clock."""


def load_cuda() -> Any:
    """Import CUDA's runtime API in its layout since cuda-python 12.6.1.

    Raises:
        EngineError: not installed.
    """
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineError(f"cuda-bindings cannot be imported: {error}") from error


class CudaGpu:
    """A GPU through cuda-bindings.

    Args:
        runtime: From `load_cuda`.
        index: Which GPU.

    Raises:
        DeviceError: no driver, or no such GPU.
    """

    def __init__(self, runtime: Any, index: int) -> None:
        self._rt = runtime
        self._index = index
        self.use()

    def _call(self, name: str, *arguments: Any) -> Any:
        # Every function of cuda-bindings returns a tuple: the error, then what it gives. It raises where the
        # library that it opens at the first call is missing, or lacks the function.
        try:
            error, *values = getattr(self._rt, name)(*arguments)
        except RuntimeError as missing:
            raise DeviceError(name, "RuntimeError", str(missing)) from missing
        if int(error) != 0:
            text = self._rt.cudaGetErrorString(error)[1]
            # CUDA keeps the error for whoever asks next, and TensorRT asks.
            self._rt.cudaGetLastError()
            raise DeviceError(name, error.name, text.decode() if isinstance(text, bytes) else str(text))
        return values[0] if values else None

    def use(self) -> None:
        """Make it the calling thread's device."""
        self._call("cudaSetDevice", self._index)

    def facts(self) -> GpuFacts:
        """Ask the driver what it is."""
        properties = self._call("cudaGetDeviceProperties", self._index)
        return GpuFacts(
            name=properties.name.split(b"\0")[0].decode(errors="replace"),
            compute_capability=f"{properties.major}.{properties.minor}",
            multiprocessors=int(properties.multiProcessorCount),
            runtime=int(self._call("cudaRuntimeGetVersion")),
            driver=int(self._call("cudaDriverGetVersion")),
        )

    def create_stream(self) -> int:
        """Return a stream that does not wait for the default one."""
        return int(self._call("cudaStreamCreateWithFlags", self._rt.cudaStreamNonBlocking))

    def destroy_stream(self, stream: int) -> None:
        """Give a stream back."""
        self._call("cudaStreamDestroy", stream)

    def synchronize(self, stream: int) -> None:
        """Wait for a stream. CUDA has no time-out here; the cart's watchdog is the one that ends it."""
        self._call("cudaStreamSynchronize", stream)

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return zeros in memory that copies to the GPU need not copy first."""
        array = page_aligned(shape, dtype)
        self._call("cudaHostRegister", array.ctypes.data, array.nbytes, self._rt.cudaHostRegisterDefault)
        return array

    def unpin(self, array: NDArray[Any]) -> None:
        """Make pinned memory ordinary again."""
        self._call("cudaHostUnregister", array.ctypes.data)

    def allocate(self, size_bytes: int) -> int:
        """Return memory of the GPU."""
        return int(self._call("cudaMalloc", size_bytes))

    def free(self, pointer: int) -> None:
        """Give memory of the GPU back."""
        self._call("cudaFree", pointer)

    def copy_in(self, pointer: int, array: NDArray[Any], stream: int) -> None:
        """Copy a pinned array to the GPU, later, on the stream."""
        kind = self._rt.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", pointer, array.ctypes.data, array.nbytes, kind, stream)

    def copy_out(self, array: NDArray[Any], pointer: int, stream: int) -> None:
        """Copy from the GPU to a pinned array, later, on the stream."""
        kind = self._rt.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", array.ctypes.data, pointer, array.nbytes, kind, stream)

    def capture(self, work: Callable[[], None], stream: int) -> Any:
        """Record what `work` puts onto the stream, without running it; return it as a graph to launch."""
        # Of this thread only: another engine's allocations must not spoil the recording.
        mode = self._rt.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", stream, mode)
        try:
            work()
        except EngineError:
            self._abandon(stream)
            raise
        recorded = self._call("cudaStreamEndCapture", stream)
        try:
            return self._call("cudaGraphInstantiate", recorded, 0)
        finally:
            self._call("cudaGraphDestroy", recorded)

    def _abandon(self, stream: int) -> None:
        """End a capture that failed, and take away the error that this leaves for the next call."""
        recorded = self._rt.cudaStreamEndCapture(stream)[1]
        if recorded is not None and int(recorded):
            self._rt.cudaGraphDestroy(recorded)
        self._rt.cudaGetLastError()

    def launch(self, graph: Any, stream: int) -> None:
        """Run a recorded graph on the stream."""
        self._call("cudaGraphLaunch", graph, stream)

    def destroy_graph(self, graph: Any) -> None:
        """Give a graph back."""
        self._call("cudaGraphExecDestroy", graph)

    def elapsed_ms(self, work: Callable[[], None], stream: int) -> float:
        """Run `work` and return the time that the stream took for it, by the GPU's clock."""
        begin, end = self._call("cudaEventCreate"), self._call("cudaEventCreate")
        try:
            self._call("cudaEventRecord", begin, stream)
            work()
            self._call("cudaEventRecord", end, stream)
            self._call("cudaEventSynchronize", end)
            return float(self._call("cudaEventElapsedTime", begin, end))
        finally:
            self._call("cudaEventDestroy", begin)
            self._call("cudaEventDestroy", end)


def page_aligned(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return zeros that begin at a page of memory and share their last page with nobody."""
    kind = np.dtype(dtype)
    size = int(np.prod(shape)) * kind.itemsize
    whole_pages = -(-size // PAGE_BYTES) * PAGE_BYTES
    raw = np.zeros(whole_pages + PAGE_BYTES, np.uint8)
    start = -raw.ctypes.data % PAGE_BYTES
    return raw[start : start + size].view(kind).reshape(shape)
