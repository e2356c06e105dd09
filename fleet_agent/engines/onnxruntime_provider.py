"""What ONNX Runtime computes on, and the options of each."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import onnxruntime

from fleet_agent.errors import EngineError
from fleet_agent.manifest import Precision

ProviderName = Literal["cpu", "cuda", "tensorrt"]

CPU = "CPUExecutionProvider"
PROVIDERS: dict[ProviderName, str] = {
    "cpu": CPU,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """What computes.

    Attributes:
        name: `cpu`, `cuda` or `tensorrt` (ONNX Runtime's own use of TensorRT, not ours).
        device: Which GPU.
        cache: Folder of the engines that ONNX Runtime builds with TensorRT; None, as where the settings name
            no `plan_directory`: they are built anew at each start.
        rows: Batch that those are built for.
        workspace_mb: Most memory while building.
        optimization_level: 0 to 5.
    """

    name: ProviderName = "cpu"
    device: int = 0
    cache: Path | None = None
    rows: int = 4
    workspace_mb: int = 512
    optimization_level: int = 3

    def __str__(self) -> str:
        return self.name if self.on_cpu else f"{self.name}:{self.device}"

    @property
    def wanted(self) -> str:
        """ONNX Runtime's name of it."""
        return PROVIDERS[self.name]

    @property
    def on_cpu(self) -> bool:
        """Whether it is the processor that computes."""
        return self.name == "cpu"

    def for_rows(self, rows: int) -> "Provider":
        """Return it for another batch."""
        return replace(self, rows=rows)

    def check_present(self) -> None:
        """Check that this ONNX Runtime has it.

        Raises:
            EngineError: it has not; names those it has.
        """
        have = onnxruntime.get_available_providers()
        if self.wanted not in have:
            raise EngineError(
                f"ONNX Runtime {onnxruntime.__version__} has no {self.wanted}; it has {', '.join(have)}"
            )

    def check_chosen(self, session: Any) -> None:
        """Check what a session really uses: ONNX Runtime takes the CPU when a library does not load.

        Raises:
            EngineError: it uses another.
        """
        chosen = session.get_providers()
        if not chosen or chosen[0] != self.wanted:
            raise EngineError(f"ONNX Runtime chose {', '.join(chosen)} instead of {self.wanted}")

    def arguments(
        self, *, sha256: str, precision: Precision, input_name: str, image: tuple[int, int]
    ) -> list[tuple[str, dict[str, str]]]:
        """Return the `providers` of a session.

        Args:
            sha256: Of the ONNX file; its engines are cached under it.
            precision: Of the ONNX file.
            input_name: Of the network.
            image: Height and width of its input.
        """
        if self.on_cpu:
            return [(CPU, {})]
        options = {"device_id": str(self.device)}
        if self.name == "tensorrt":
            options |= self._tensorrt(sha256, precision) | self._shapes(input_name, image)
        return [(self.wanted, options)]

    def _tensorrt(self, sha256: str, precision: Precision) -> dict[str, str]:
        options = {
            "trt_max_workspace_size": str(self.workspace_mb << 20),
            "trt_builder_optimization_level": str(self.optimization_level),
            # ONNX Runtime's networks are weakly typed: types of the file run only where they are allowed.
            "trt_fp16_enable": str(precision == "fp16"),
            "trt_int8_enable": str(precision == "int8"),
        }
        if self.cache is None:
            return options
        # Its cache knows a network by names of file and nodes, not by weights: a retrained model would get
        # its predecessor's engine. So each model has a folder and a prefix of its own.
        folder = self.cache / sha256
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(f"{folder}: {error.strerror}") from error
        return options | {
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": str(folder),
            "trt_engine_cache_prefix": sha256[:16],
            "trt_timing_cache_enable": "True",
            "trt_timing_cache_path": str(folder),
        }

    def _shapes(self, input_name: str, image: tuple[int, int]) -> dict[str, str]:
        height, width = image

        def shape(rows: int) -> str:
            return f"{input_name}:{rows}x3x{height}x{width}"

        return {
            "trt_profile_min_shapes": shape(1),
            "trt_profile_opt_shapes": shape(self.rows),
            "trt_profile_max_shapes": shape(self.rows),
        }


CPU_PROVIDER = Provider()
