"""ONNX Runtime on the CPU: the reference engine, and what runs where there is no GPU."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from fleet_agent.errors import EngineError
from fleet_agent.perception import ModelManifest, Tensor

PROVIDERS = ["CPUExecutionProvider"]
# 3 is "error": warnings of ONNX Runtime are about its own optimisations.
LOG_ERRORS = 3


class OnnxRuntimeEngine:
    """A model's ONNX file, checked against its manifest and warmed up.

    `infer` may be called from several threads, so the agents of one process can share one engine.

    Args:
        path: The ONNX file.
        manifest: What it should be.
        threads: Threads of one inference.

    Raises:
        EngineError: the file is not the manifest's, cannot be loaded, or does not fit it.
    """

    def __init__(self, path: Path, manifest: ModelManifest, *, threads: int = 1) -> None:
        self._manifest = manifest
        self._session: Any = self._load(path, threads)
        self._check_input()
        self._outputs = [output.name for output in self._session.get_outputs()]
        # The first run allocates and is several times slower than the rest.
        spec = manifest.input
        self._check_outputs(self.infer(np.zeros((1, 3, spec.height, spec.width), np.float32)))

    def _load(self, path: Path, threads: int) -> Any:
        try:
            document = path.read_bytes()
        except OSError as error:
            raise EngineError(f"{path}: {error.strerror}") from error
        digest = hashlib.sha256(document).hexdigest()
        if digest != self._manifest.sha256:
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
        spec = self._manifest.input
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

    def _check_outputs(self, outputs: Mapping[str, Tensor]) -> None:
        names, classes = self._manifest.outputs, len(self._manifest.classes)
        for name in (names.heatmap, names.boxes):
            if name not in outputs:
                raise EngineError(f"the model has no output {name!r}; it has {sorted(outputs)}")
        found = outputs[names.heatmap].shape
        if len(found) != 4 or found[1] != classes:
            raise EngineError(f"the model scores {found}, the manifest lists {classes} classes")

    def infer(self, batch: Tensor) -> Mapping[str, Tensor]:
        """Run the network.

        Raises:
            EngineError: ONNX Runtime failed, or the engine is closed.
        """
        if self._session is None:
            raise EngineError("the engine is closed")
        try:
            arrays = self._session.run(self._outputs, {self._manifest.input.name: batch})
        except Exception as error:  # ONNX Runtime raises its own classes and plain RuntimeErrors
            raise EngineError(f"ONNX Runtime: {error}") from error
        return dict(zip(self._outputs, arrays, strict=True))

    def close(self) -> None:
        """Give the memory back."""
        self._session = None
