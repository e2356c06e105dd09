"""From an ONNX file to a plan: parse, build, serialise. Precision is in the file; no flag changes it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet_agent.engines.onnx_file import refuse_external
from fleet_agent.engines.tensorrt.bindings import Bindings, made
from fleet_agent.engines.tensorrt.logger import RuntimeLog, runtime_log
from fleet_agent.engines.tensorrt.progress import Report, progress_monitor
from fleet_agent.engines.tensorrt.timings import TimingCache
from fleet_agent.errors import EngineError, PlanBuildError

# Parser errors shown; the first is the cause, hundreds may follow from it.
SHOWN_ERRORS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Building:
    """What is built, and within what.

    Attributes:
        onnx: The artifact.
        sha256: What the artifact's must be.
        input_name: Of its only input.
        shape: Of that input: B x 3 x height x width.
        workspace_mb: Most memory beside the weights.
        optimization_level: 0 to 5.
        compute_capability: Chip to build for, such as `8.6`; TensorRT for RTX only, empty: the GPU present.
        timing_cache: File of kernel timings; None: none is kept.
    """

    onnx: Path
    sha256: str
    input_name: str
    shape: tuple[int, ...]
    workspace_mb: int
    optimization_level: int
    compute_capability: str = ""
    timing_cache: Path | None = None


def build_plan(bindings: Bindings, building: Building, report: Report) -> bytes:
    """Build a plan in this process; it takes minutes and much memory, so carts do it in a child.

    Args:
        bindings: The runtime.
        building: What.
        report: Called with the progress, by any thread.

    Returns:
        The serialised plan.

    Raises:
        PlanBuildError: not the artifact, not readable ONNX, another input, or the runtime gave up. Carries
            the parser's and the runtime's words.
    """
    document = _read(building)
    log, logger = runtime_log(bindings)
    return _Build(bindings, building, log, logger).run(document, report)


class _Build:
    """One build: TensorRT's objects, kept alive together until it is done."""

    def __init__(self, bindings: Bindings, building: Building, log: RuntimeLog, logger: Any) -> None:
        self._bindings = bindings
        self._building = building
        self._log = log
        self._mark = log.mark()
        self._logger = logger
        self._builder = self._made("builder", bindings.trt.Builder, logger)
        self._network = self._made("network", self._builder.create_network, bindings.network_flags)
        self._config = self._made("builder configuration", self._builder.create_builder_config)

    def run(self, document: bytes, report: Report) -> bytes:
        """Return the plan."""
        self._parse(document)
        self._check_input()
        self._configure()
        self._fix_batch()
        monitor = progress_monitor(self._bindings, report)
        self._config.progress_monitor = monitor
        timings = self._timings()
        plan = self._builder.build_serialized_network(self._network, self._config)
        if plan is None:
            raise self._error(f"{self._building.onnx.name}: no plan was built")
        if timings is not None:
            timings.keep(self._config)
        return bytes(memoryview(plan))

    def _made(self, what: str, factory: Callable[..., Any], *arguments: Any) -> Any:
        thing = made(factory, *arguments)
        if thing is None:
            raise self._error(f"the runtime made no {what}")
        return thing

    def _error(self, why: str) -> PlanBuildError:
        return PlanBuildError("failed", why, self._log.since(self._mark))

    def _parse(self, document: bytes) -> None:
        parser = self._made("parser", self._bindings.trt.OnnxParser, self._network, self._logger)
        try:
            refuse_external(document)
        except EngineError as error:
            raise self._error(f"{self._building.onnx.name} cannot be parsed: {error}") from error
        if not parser.parse(document):
            count = min(parser.num_errors, SHOWN_ERRORS)
            said = "; ".join(str(parser.get_error(i)) for i in range(count))
            raise self._error(f"{self._building.onnx.name} cannot be parsed: {said or 'no reason was given'}")

    def _check_input(self) -> None:
        network, building = self._network, self._building
        names = [network.get_input(i).name for i in range(network.num_inputs)]
        if names != [building.input_name]:
            raise self._error(f"the network's inputs are {names}, not {building.input_name!r}")
        shape = tuple(network.get_input(0).shape)
        fits = len(shape) == len(building.shape) and all(
            size in (-1, wanted) for size, wanted in zip(shape, building.shape, strict=True)
        )
        if not fits:
            raise self._error(f"the network wants {shape}, and {building.shape} was asked for")

    def _configure(self) -> None:
        pool = self._bindings.trt.MemoryPoolType.WORKSPACE
        self._config.set_memory_pool_limit(pool, self._building.workspace_mb << 20)
        self._config.builder_optimization_level = self._building.optimization_level
        target = self._building.compute_capability
        if not target:
            return
        try:
            constant = self._bindings.compute_capability(target)
        except EngineError as error:
            raise self._error(str(error)) from error
        self._config.num_compute_capabilities = 1
        if not self._config.set_compute_capability(constant, 0):
            raise self._error(f"the runtime refuses compute capability {target}")

    def _fix_batch(self) -> None:
        """Fix every free dimension to the asked one: one shape, one set of kernels, one CUDA graph."""
        if -1 not in tuple(self._network.get_input(0).shape):
            return
        shape = self._building.shape
        profile = self._made("optimisation profile", self._builder.create_optimization_profile)
        profile.set_shape(self._building.input_name, shape, shape, shape)
        if self._config.add_optimization_profile(profile) < 0:
            raise self._error(f"the runtime refuses the shape {shape}")

    def _timings(self) -> TimingCache | None:
        path = self._building.timing_cache
        if path is None or not self._bindings.keeps_timings:
            return None
        timings = TimingCache(path, lambda why: self._log.write("warning", why))
        timings.give(self._config)
        return timings


def _read(building: Building) -> bytes:
    try:
        document = building.onnx.read_bytes()
    except OSError as error:
        raise PlanBuildError("failed", f"{building.onnx}: {error.strerror}") from error
    if hashlib.sha256(document).hexdigest() != building.sha256:
        raise PlanBuildError("failed", f"{building.onnx} is not the artifact of sha256 {building.sha256}")
    return document
