"""Which runtime this cart uses, and why not another."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fleet_agent.config.model import ModelConfig
from fleet_agent.engines.contract import RECORDED, Backend, PlanRequest
from fleet_agent.engines.onnxruntime_backend import OnnxRuntimeBackend
from fleet_agent.engines.tensorrt.backend import TensorRtBackend
from fleet_agent.errors import EngineError

__all__ = ["RECORDED", "Backend", "BackendChoice", "PlanRequest", "choose_backend"]


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """A backend that can be used.

    Attributes:
        backend: The chosen one.
        passed_over: Backends that `auto` tried before, by name, with the reason that each was not usable.
            For logs and telemetry; empty where the backend was named.
    """

    backend: Backend
    passed_over: Mapping[str, str]

    def __str__(self) -> str:
        reasons = "".join(f"; not {name}: {why}" for name, why in self.passed_over.items())
        return f"{self.backend.name}{reasons}"


def _tensorrt(config: ModelConfig) -> Backend:
    return TensorRtBackend.on_device("tensorrt", config)


def _tensorrt_rtx(config: ModelConfig) -> Backend:
    return TensorRtBackend.on_device("tensorrt_rtx", config)


# In the order of `auto`: the fastest first. Each raises EngineError where it cannot be used.
CANDIDATES: Mapping[str, Callable[[ModelConfig], Backend]] = {
    "tensorrt": _tensorrt,
    "tensorrt_rtx": _tensorrt_rtx,
    "onnxruntime": OnnxRuntimeBackend.configured,
}


def choose_backend(config: ModelConfig) -> BackendChoice:
    """Return the backend that the settings name, or for `auto` the first that can be used.

    Args:
        config: `backend` and what belongs to it.

    Raises:
        EngineError: the named backend, or with `auto` every backend, cannot be used here; never is another
            taken in silence.
    """
    if config.backend != "auto":
        return BackendChoice(CANDIDATES[config.backend](config), {})
    passed_over: dict[str, str] = {}
    for name, open_backend in CANDIDATES.items():
        try:
            return BackendChoice(open_backend(config), passed_over)
        except EngineError as error:
            passed_over[name] = str(error)
    raise EngineError("; ".join(f"{name}: {why}" for name, why in passed_over.items()))
