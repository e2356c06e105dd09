"""What a network is, for whoever brings one: opened by ONNX Runtime as it lies, held to no manifest."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from fleet_agent.engines.fitting import TensorFacts
from fleet_agent.engines.onnxruntime_engine import tensor_facts
from fleet_agent.errors import EngineError
from fleet_agent.perception import Tensor

# 4 is "fatal": what goes wrong is raised, and said once.
LOG_FATAL = 4
# NumPy's kinds of truth values, whole numbers and fractions.
NUMBERS = "biuf"


class Network:
    """A network on the CPU.

    Args:
        path: Its ONNX file; weights beside it are found.

    Raises:
        EngineError: ONNX Runtime cannot load it; carries its own words.
    """

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = LOG_FATAL
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime raises its own classes and plain RuntimeErrors
            raise EngineError(f"ONNX Runtime: {error}") from error

    @property
    def runtime(self) -> str:
        """Name and version of the runtime."""
        return f"ONNX Runtime {onnxruntime.__version__}"

    @property
    def inputs(self) -> Sequence[TensorFacts]:
        """As the file declares them."""
        return [tensor_facts(entry) for entry in self._session.get_inputs()]

    @property
    def outputs(self) -> Sequence[TensorFacts]:
        """As the file declares them."""
        return [tensor_facts(entry) for entry in self._session.get_outputs()]

    def run(self, batch: Tensor) -> dict[str, NDArray[Any]]:
        """Return all outputs that are arrays of numbers, for a batch on the only input.

        Texts, sequences and maps are left out: nothing here decodes them.

        Raises:
            EngineError: ONNX Runtime failed.
        """
        names = [tensor.name for tensor in self.outputs]
        try:
            arrays = self._session.run(names, {self.inputs[0].name: batch})
        except Exception as error:  # ONNX Runtime raises its own classes and plain RuntimeErrors
            raise EngineError(f"ONNX Runtime: {error}") from error
        return {
            name: array
            for name, array in zip(names, arrays, strict=True)
            if isinstance(array, np.ndarray) and array.dtype.kind in NUMBERS
        }
