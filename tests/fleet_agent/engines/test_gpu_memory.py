"""Stories that only a GPU can tell, of what is below TensorRT: pinned memory, streams, graphs, clocks."""

from collections.abc import Iterator

import numpy as np
import pytest

from fleet_agent.engines.tensorrt.cuda import CudaGpu, load_cuda
from fleet_agent.errors import DeviceError, EngineError

pytestmark = pytest.mark.gpu

SHAPE = (4, 3, 160, 160)


@pytest.fixture
def gpu() -> CudaGpu:
    """The first GPU."""
    try:
        return CudaGpu(load_cuda(), 0)
    except EngineError as error:
        pytest.skip(str(error))


@pytest.fixture
def stream(gpu: CudaGpu) -> Iterator[int]:
    """A stream of its own."""
    made = gpu.create_stream()
    yield made
    gpu.destroy_stream(made)


def test_what_is_copied_in_comes_out(gpu: CudaGpu, stream: int) -> None:
    """Pinned memory to the GPU and back to other pinned memory, over one stream."""
    there, back = gpu.pinned(SHAPE, np.float32), gpu.pinned(SHAPE, np.float32)
    memory = gpu.allocate(there.nbytes)
    there[:] = np.random.default_rng(1).random(SHAPE, np.float32)
    gpu.copy_in(memory, there, stream)
    gpu.copy_out(back, memory, stream)
    gpu.synchronize(stream)
    np.testing.assert_array_equal(back, there)
    for array in (there, back):
        gpu.unpin(array)
    gpu.free(memory)


def test_a_recorded_graph_copies_what_is_there_at_its_launch(gpu: CudaGpu, stream: int) -> None:
    """Recording runs nothing; each launch reads the input anew."""
    there, back = gpu.pinned(SHAPE, np.float32), gpu.pinned(SHAPE, np.float32)
    memory = gpu.allocate(there.nbytes)

    def work() -> None:
        gpu.copy_in(memory, there, stream)
        gpu.copy_out(back, memory, stream)

    there[:] = 1.0
    graph = gpu.capture(work, stream)
    gpu.synchronize(stream)
    assert not back.any(), "recording must not run"
    for value in (2.0, 3.0):
        there[:] = value
        gpu.launch(graph, stream)
        gpu.synchronize(stream)
        assert (back == value).all()
    assert gpu.elapsed_ms(lambda: gpu.launch(graph, stream), stream) > 0.0
    gpu.destroy_graph(graph)
    for array in (there, back):
        gpu.unpin(array)
    gpu.free(memory)


def test_a_recording_that_fails_leaves_the_gpu_usable(gpu: CudaGpu, stream: int) -> None:
    """A call that may not be recorded spoils the recording, and nothing after it."""

    def forbidden() -> None:
        gpu.synchronize(stream)

    with pytest.raises(DeviceError):
        gpu.capture(forbidden, stream)
    array = gpu.pinned((8,), np.float32)
    memory = gpu.allocate(array.nbytes)
    gpu.copy_in(memory, array, stream)
    gpu.synchronize(stream)
    gpu.unpin(array)
    gpu.free(memory)


def test_memory_that_the_gpu_has_not_is_refused_and_the_next_call_works(gpu: CudaGpu) -> None:
    """CUDA's own name of the error arrives, and does not linger."""
    with pytest.raises(DeviceError, match="cudaErrorMemoryAllocation"):
        gpu.allocate(1 << 50)
    gpu.free(gpu.allocate(1024))


def test_an_array_outlives_its_pin(gpu: CudaGpu) -> None:
    """Whoever still holds an engine's input after its end reads memory, not a hole."""
    array = gpu.pinned(SHAPE, np.float32)
    array[:] = 7.0
    gpu.unpin(array)
    assert (array == 7.0).all()
    with pytest.raises(DeviceError, match="cudaErrorHostMemoryNotRegistered"):
        gpu.unpin(array)
