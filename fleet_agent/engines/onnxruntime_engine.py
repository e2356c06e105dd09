"""ONNX Runtime: the reference engine, and what runs where there is no GPU."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from fleet_agent.durable import open_regular
from fleet_agent.engines.fitting import (
    TensorFacts,
    check_cameras,
    check_frames,
    check_input,
    check_names,
    check_outputs,
    wanted_outputs,
)
from fleet_agent.engines.onnx_file import refuse_external
from fleet_agent.engines.onnxruntime_placement import RECORDING, placement_of
from fleet_agent.engines.onnxruntime_provider import CPU_PROVIDER, Provider
from fleet_agent.engines.ownership import Ownership
from fleet_agent.errors import EngineError
from fleet_agent.manifest import ModelManifest, Precision
from fleet_agent.perception import EngineInfo, Tensor

# 3 is "error": warnings of ONNX Runtime are about its own optimisations.
LOG_ERRORS = 3
# A detector of a cart has some megabytes; a file of this size does not fit into a cart's memory twice.
MAX_ONNX_BYTES = 1 << 30
# A provider's first inferences choose algorithms and allocate; the third is as fast as the thousandth.
WARM_UP_RUNS = 3


class OnnxRuntimeModel:
    """A model's ONNX file, loaded once and checked against its manifest.

    Any number of engines run it, each of its own thread: they share the weights.

    Args:
        directory: The model's folder.
        manifest: Of that folder.
        precision: Which of its artifacts.
        threads: Threads of one inference.
        provider: What computes.

    Raises:
        EngineError: the file is not the manifest's, cannot be loaded, or does not fit it; or the provider is
            not there, or cannot run what is heavy in the network.
    """

    def __init__(
        self,
        directory: Path,
        manifest: ModelManifest,
        *,
        precision: Precision = "fp32",
        threads: int = 1,
        provider: Provider = CPU_PROVIDER,
    ) -> None:
        self.manifest = manifest
        self.precision = precision
        self.provider = provider
        provider.check_present()
        path, document, sha256 = _read_artifact(directory, manifest, precision)
        self._session: Any = self._open(path, document, sha256, threads)
        self.note = self._check_placement(path)
        self.fixed_batch = check_input(
            manifest, [tensor_facts(entry) for entry in self._session.get_inputs()]
        )
        check_names(manifest, [tensor_facts(entry) for entry in self._session.get_outputs()])
        self._check_answers()

    def _open(self, path: Path, document: bytes, sha256: str, threads: int) -> Any:
        spec = self.manifest.input
        providers = self.provider.arguments(
            sha256=sha256,
            precision=self.precision,
            input_name=spec.name,
            image=(spec.height, spec.width),
        )
        # What it logs outside of sessions; among it a warning about plugins at every start on a GPU.
        onnxruntime.set_default_logger_severity(LOG_ERRORS)
        try:
            # Without the last argument it would try again on the CPU, and only print that it did.
            session = onnxruntime.InferenceSession(
                document, self._options(threads), providers=providers, enable_fallback=0
            )
        except Exception as error:  # ONNX Runtime raises its own classes and plain RuntimeErrors
            raise EngineError(f"{path}: {error}") from error
        self.provider.check_chosen(session)
        return session

    def _check_placement(self, path: Path) -> str:
        """Return what the provider left to the CPU, in words; refuse where that is work of its own."""
        if self.provider.on_cpu:
            return ""
        placement = placement_of(self._session)
        try:
            placement.check(self.provider.wanted)
        except EngineError as error:
            raise EngineError(f"{path}: {error}") from error
        return placement.note

    def _options(self, threads: int) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = LOG_ERRORS
        # Spinning threads make inference 2 % faster and an idle cart burn a core.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if not self.provider.on_cpu:
            options.add_session_config_entry(*RECORDING)
        return options

    def _check_answers(self) -> None:
        """Run the network once: symbolic shapes say little, its answers say all."""
        rows = self.fixed_batch or 1
        spec = self.manifest.input
        answers = self._run(np.zeros((rows, 3, spec.height, spec.width), np.float32))
        facts = {name: TensorFacts(name, array.shape, array.dtype.name) for name, array in answers.items()}
        check_outputs(self.manifest, facts, rows)

    def engine(self, cameras: int, *, owns_model: bool = False) -> "OnnxRuntimeEngine":
        """Return an engine with an input of its own, warmed up.

        Args:
            cameras: Rows of its input.
            owns_model: Whether closing the engine closes the model, for whoever wants one engine only.

        Raises:
            EngineError: the network's batch is fixed to another number.
        """
        check_cameras(self.fixed_batch, cameras)
        return OnnxRuntimeEngine(self, cameras, owns_model=owns_model)

    def run(self, batch: Tensor) -> Mapping[str, Tensor]:
        """Run the network on rows; may be called from several threads.

        Args:
            batch: N x 3 x height x width; N is the network's batch where that is fixed.

        Returns:
            What the manifest's decoder reads, float32.

        Raises:
            EngineError: ONNX Runtime failed, or the model is closed.
        """
        return {name: np.asarray(array, np.float32) for name, array in self._run(batch).items()}

    def _run(self, batch: Tensor) -> dict[str, Any]:
        session = self._session
        if session is None:
            raise EngineError("the model is closed")
        names = wanted_outputs(self.manifest)
        try:
            arrays = session.run(names, {self.manifest.input.name: batch})
        except Exception as error:  # ONNX Runtime raises its own classes and plain RuntimeErrors
            raise EngineError(f"ONNX Runtime: {error}") from error
        return dict(zip(names, arrays, strict=True))

    def close(self) -> None:
        """Give the memory back."""
        self._session = None


class OnnxRuntimeEngine:
    """One thread's way through a loaded model.

    Args:
        model: Loaded; closed by whoever loaded it.
        cameras: Rows of the input; more than 0.
        owns_model: Whether closing the engine closes the model.
    """

    def __init__(self, model: OnnxRuntimeModel, cameras: int, *, owns_model: bool = False) -> None:
        self._model = model
        self._owns_model = owns_model
        self._ownership = Ownership()
        spec = model.manifest.input
        self._input: Tensor = np.zeros((cameras, 3, spec.height, spec.width), np.float32)
        for _ in range(WARM_UP_RUNS):
            model.run(self._input)

    @property
    def info(self) -> EngineInfo:
        """Runtime and precision; the note says what a GPU leaves to the processor."""
        model = self._model
        identity = ("onnxruntime", onnxruntime.__version__, str(model.provider), model.precision)
        return EngineInfo(*identity, note=model.note)

    @property
    def input(self) -> Tensor:
        """Where frames are written."""
        return self._input

    def infer(self, frames: int) -> Mapping[str, Tensor]:
        """Run the network on the first rows, or on all where its batch is fixed.

        Raises:
            EngineError: ONNX Runtime failed, or the model is closed.
            EngineBusyError: another thread is in here.
        """
        check_frames(frames, len(self._input))
        with self._ownership:
            whole = self._model.fixed_batch is not None
            return self._model.run(self._input if whole else self._input[:frames])

    def close(self) -> None:
        """Let nobody in any more; close the model if it is the engine's own.

        Raises:
            EngineBusyError: another thread is in here and does not come out.
        """
        if self._ownership.end() and self._owns_model:
            self._model.close()


def _read_artifact(directory: Path, manifest: ModelManifest, precision: Precision) -> tuple[Path, bytes, str]:
    artifact = manifest.artifacts.get(precision)
    if artifact is None:
        raise EngineError(f"{directory} has no {precision} artifact")
    path = directory / artifact.file
    try:
        with open_regular(path) as file:
            document = file.read(MAX_ONNX_BYTES + 1)
    except OSError as error:
        raise EngineError(f"{path}: {error.strerror}") from error
    if len(document) > MAX_ONNX_BYTES:
        raise EngineError(f"{path}: more than {MAX_ONNX_BYTES} bytes are no model of a cart")
    digest = hashlib.sha256(document).hexdigest()
    if digest != artifact.sha256:
        raise EngineError(f"{path} is not the manifest's model: its sha256 is {digest}")
    try:
        refuse_external(document)
    except EngineError as error:
        raise EngineError(f"{path}: {error}") from error
    return path, document, digest


# ONNX Runtime's names of types, as in `tensor(float)`.
_TYPES = {"float": "float32", "float16": "float16", "double": "float64"}


def tensor_facts(entry: Any) -> TensorFacts:
    """Return what ONNX Runtime says of an input or output."""
    shape = tuple(size if isinstance(size, int) else None for size in entry.shape)
    name = entry.type.removeprefix("tensor(").removesuffix(")")
    return TensorFacts(entry.name, shape, _TYPES.get(name, name))
