"""ONNX Runtime as a backend: it needs no plan."""

from collections.abc import Mapping
from pathlib import Path

import onnxruntime

from fleet_agent.config.model import ModelConfig
from fleet_agent.engines.contract import PlanRequest
from fleet_agent.engines.onnxruntime_engine import OnnxRuntimeEngine, OnnxRuntimeModel
from fleet_agent.engines.onnxruntime_provider import CPU_PROVIDER, Provider
from fleet_agent.errors import EngineError
from fleet_agent.manifest import ModelManifest, Precision


class OnnxRuntimeBackend:
    """ONNX Runtime on the CPU or on what was asked for.

    Args:
        threads: Threads of one inference.
        provider: What computes; its `rows` are replaced by the number of cameras.

    Raises:
        EngineError: this ONNX Runtime has no such provider.
    """

    def __init__(self, *, threads: int = 1, provider: Provider = CPU_PROVIDER) -> None:
        provider.check_present()
        self._threads = threads
        self._provider = provider

    @classmethod
    def configured(cls, config: ModelConfig) -> "OnnxRuntimeBackend":
        """Return the backend of the settings.

        Raises:
            EngineError: this ONNX Runtime has no such provider.
        """
        cache = Path(config.plan_directory) / "onnxruntime" if config.plan_directory else None
        provider = Provider(
            name=config.provider,
            device=config.device,
            cache=cache,
            workspace_mb=config.workspace_mb,
            optimization_level=config.optimization_level,
        )
        return cls(threads=config.threads, provider=provider)

    @property
    def name(self) -> str:
        """`onnxruntime`."""
        return "onnxruntime"

    def facts(self) -> Mapping[str, str | int]:
        """Return runtime, version and provider."""
        return {"runtime": self.name, "version": onnxruntime.__version__, "provider": str(self._provider)}

    def build_command(self, request: PlanRequest) -> None:
        """Return None: there is no plan to build."""
        del request

    def open(
        self,
        directory: Path,
        manifest: ModelManifest,
        *,
        precision: Precision,
        cameras: int,
        plan: Path | None = None,
    ) -> OnnxRuntimeEngine:
        """Return an engine that is checked against the manifest and warmed up.

        Raises:
            EngineError: the artifact cannot be loaded or does not fit the manifest, or a plan was given.
        """
        if plan is not None:
            raise EngineError(f"ONNX Runtime runs no plans, and {plan} was given")
        model = OnnxRuntimeModel(
            directory,
            manifest,
            precision=precision,
            threads=self._threads,
            provider=self._provider.for_rows(cameras),
        )
        try:
            return model.engine(cameras, owns_model=True)
        except EngineError:
            model.close()
            raise
