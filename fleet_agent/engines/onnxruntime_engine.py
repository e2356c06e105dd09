"""ONNX Runtime: the reference engine, and what runs where there is no GPU."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from fleet_agent.errors import EngineError
from fleet_agent.manifest import ModelManifest, Precision
from fleet_agent.perception import EngineInfo, Tensor

PROVIDERS = ["CPUExecutionProvider"]
# 3 is "error": warnings of ONNX Runtime are about its own optimisations.
LOG_ERRORS = 3


class OnnxRuntimeModel:
    """A model's ONNX file, loaded once and checked against its manifest.

    Any number of engines run it, each of its own thread: they share the weights.

    Args:
        directory: The model's folder.
        manifest: Of that folder.
        precision: Which of its artifacts.
        threads: Threads of one inference.

    Raises:
        EngineError: the file is not the manifest's, cannot be loaded, or does not fit it.
    """

    def __init__(
        self, directory: Path, manifest: ModelManifest, *, precision: Precision = "fp32", threads: int = 1
    ) -> None:
        self.manifest = manifest
        self.precision = precision
        self._session: Any = self._load(directory, threads)
        self._check_input()
        self.output_names = [output.name for output in self._session.get_outputs()]
        self.engine(1).infer(1)

    def _load(self, directory: Path, threads: int) -> Any:
        artifact = self.manifest.artifacts.get(self.precision)
        if artifact is None:
            raise EngineError(f"{directory} has no {self.precision} artifact")
        path = directory / artifact.file
        try:
            document = path.read_bytes()
        except OSError as error:
            raise EngineError(f"{path}: {error.strerror}") from error
        digest = hashlib.sha256(document).hexdigest()
        if digest != artifact.sha256:
            raise EngineError(f"{path} is not the manifest's model: its sha256 is {digest}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = LOG_ERRORS
        # Spinning threads make inference 2 % faster and an idle cart burn a core.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(document, options, providers=PROVIDERS)
        except Exception as error:  # ONNX Runtime raises its own classes and plain RuntimeErrors
            raise EngineError(f"{path}: {error}") from error
        if session.get_providers() != PROVIDERS:
            raise EngineError(f"ONNX Runtime chose {session.get_providers()} instead of {PROVIDERS}")
        return session

    def _check_input(self) -> None:
        spec = self.manifest.input
        inputs = {entry.name: entry for entry in self._session.get_inputs()}
        if list(inputs) != [spec.name]:
            raise EngineError(f"the model's inputs are {sorted(inputs)}, the manifest says {spec.name!r}")
        shape = inputs[spec.name].shape
        if shape[1:] != [3, spec.height, spec.width]:
            raise EngineError(
                f"the model wants {shape}, the manifest says N x 3 x {spec.height} x {spec.width}"
            )
        if isinstance(shape[0], int):
            raise EngineError(f"the model has a fixed batch of {shape[0]}; a free one is needed")

    def engine(self, cameras: int) -> "OnnxRuntimeEngine":
        """Return an engine with an input of its own.

        Args:
            cameras: Rows of its input.
        """
        return OnnxRuntimeEngine(self, cameras)

    def run(self, batch: Tensor) -> Mapping[str, Tensor]:
        """Run the network on rows; may be called from several threads.

        Raises:
            EngineError: ONNX Runtime failed, or the model is closed.
        """
        session = self._session
        if session is None:
            raise EngineError("the model is closed")
        try:
            arrays = session.run(self.output_names, {self.manifest.input.name: batch})
        except Exception as error:  # ONNX Runtime raises its own classes and plain RuntimeErrors
            raise EngineError(f"ONNX Runtime: {error}") from error
        return dict(zip(self.output_names, arrays, strict=True))

    def close(self) -> None:
        """Give the memory back."""
        self._session = None


class OnnxRuntimeEngine:
    """One thread's way through a loaded model.

    Args:
        model: Loaded; closed by whoever loaded it.
        cameras: Rows of the input.
    """

    def __init__(self, model: OnnxRuntimeModel, cameras: int) -> None:
        self._model = model
        spec = model.manifest.input
        self._input: Tensor = np.zeros((max(1, cameras), 3, spec.height, spec.width), np.float32)

    @property
    def info(self) -> EngineInfo:
        """Runtime and precision."""
        return EngineInfo("onnxruntime", onnxruntime.__version__, "cpu", self._model.precision)

    @property
    def input(self) -> Tensor:
        """Where frames are written."""
        return self._input

    def infer(self, frames: int) -> Mapping[str, Tensor]:
        """Run the network on the first rows.

        Raises:
            EngineError: ONNX Runtime failed, or the model is closed.
        """
        return self._model.run(self._input[:frames])

    def close(self) -> None:
        """Nothing of its own is held."""
