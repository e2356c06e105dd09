"""An engine's tensors: each a pinned array here and memory on the GPU, allocated once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet_agent.engines.fitting import TensorFacts
from fleet_agent.engines.tensorrt.cuda import Gpu
from fleet_agent.errors import EngineError
from fleet_agent.perception import Tensor


class Buffer:
    """One tensor's memory.

    Args:
        facts: Name, fixed shape, numpy type.
        gpu: Where.
        copied: False for an output that nobody reads: it has no array here.
    """

    def __init__(self, facts: TensorFacts, gpu: Gpu, *, copied: bool = True) -> None:
        self.name = facts.name
        shape = tuple(size or 0 for size in facts.shape)
        dtype = np.dtype(facts.dtype)
        self._gpu = gpu
        # Never nothing: TensorRT wants an address even for an empty tensor.
        self.pointer = gpu.allocate(max(1, int(np.prod(shape)) * dtype.itemsize))
        self.host: NDArray[Any] | None = None
        if copied:
            try:
                self.host = gpu.pinned(shape, dtype)
            except EngineError:
                gpu.free(self.pointer)
                raise
        # FP16 is widened into this: callers read float32 only.
        self._wide = None if dtype == np.float32 or self.host is None else np.zeros(shape, np.float32)

    def read(self) -> Tensor:
        """Return the array as float32; holds until the next inference."""
        assert self.host is not None  # noqa: S101  # only copied buffers are read
        if self._wide is None:
            return self.host
        np.copyto(self._wide, self.host)
        return self._wide

    def copy_in(self, stream: int) -> None:
        """Copy to the GPU."""
        if self.host is not None:
            self._gpu.copy_in(self.pointer, self.host, stream)

    def copy_out(self, stream: int) -> None:
        """Copy from the GPU."""
        if self.host is not None:
            self._gpu.copy_out(self.host, self.pointer, stream)

    def close(self) -> None:
        """Give the GPU's memory back and unpin the array, which stays readable."""
        self._gpu.free(self.pointer)
        if self.host is not None:
            self._gpu.unpin(self.host)


def allocate_all(tensors: Sequence[TensorFacts], copied: Sequence[str], gpu: Gpu) -> list[Buffer]:
    """Allocate tensors, all or none.

    Raises:
        DeviceError: the GPU has no memory left.
    """
    buffers: list[Buffer] = []
    try:
        for facts in tensors:
            buffers.append(Buffer(facts, gpu, copied=facts.name in copied))  # noqa: PERF401  # half of it is freed
    except EngineError:
        for buffer in buffers:
            buffer.close()
        raise
    return buffers
