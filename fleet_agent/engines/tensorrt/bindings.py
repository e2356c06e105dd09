"""TensorRT's Python modules, loaded when they are asked for, and what differs between their versions."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, get_args

from fleet_agent.errors import EngineError

RuntimeName = Literal["tensorrt", "tensorrt_rtx"]
RUNTIME_NAMES: tuple[RuntimeName, ...] = get_args(RuntimeName)
# Of JetPack 6.1; every call made here was looked up in it. An older one fails in the middle of something.
OLDEST_TENSORRT = (10, 3)
# From here on networks are always strongly typed, and the flag that says so is gone or does nothing.
ALWAYS_TYPED = 11


@dataclass(frozen=True, slots=True)
class Bindings:
    """A loaded TensorRT.

    Attributes:
        name: Of the Python module.
        version: The full one: plans do not survive a patch.
        trt: The module.
    """

    name: RuntimeName
    version: str
    trt: Any

    @property
    def is_rtx(self) -> bool:
        """Whether kernels are compiled for the GPU when a plan is loaded, not when it is built."""
        return self.name == "tensorrt_rtx"

    @property
    def network_flags(self) -> int:
        """Flags of a strongly typed network: the types in the ONNX file are the types that run."""
        if self.is_rtx or _release(self.version)[0] >= ALWAYS_TYPED:
            return 0
        return 1 << int(self.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)

    @property
    def keeps_timings(self) -> bool:
        """Whether kernels are timed while building. RTX does not, and deprecates the calls."""
        return not self.is_rtx

    def compute_capability(self, target: str) -> Any:
        """Return the runtime's constant of a compute capability that a plan is built for.

        Args:
            target: Such as `8.6`.

        Raises:
            EngineError: this runtime cannot build for that chip; names those it can.
        """
        if not self.is_rtx:
            raise EngineError(f"{self.name} {self.version} builds only for the GPU that is present")
        known = self.compute_capabilities()
        if target not in known:
            raise EngineError(
                f"{self.name} {self.version} refuses chips of compute capability {target};"
                f" it builds for {', '.join(known)}"
            )
        return getattr(self.trt.ComputeCapability, "SM" + target.replace(".", ""))

    def compute_capabilities(self) -> tuple[str, ...]:
        """Return the chips that plans can be built for without having them; empty for plain TensorRT."""
        if not self.is_rtx:
            return ()
        names = [name[2:] for name in dir(self.trt.ComputeCapability) if name.startswith("SM")]
        return tuple(f"{number // 10}.{number % 10}" for number in sorted(map(int, names)))


def check_installed(name: RuntimeName) -> None:
    """Look whether a TensorRT is installed, without loading it.

    Raises:
        EngineError: it is not.
    """
    try:
        found = name in sys.modules or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError) as error:
        raise EngineError(f"{name} cannot be imported: {error}") from error
    if not found:
        raise EngineError(f"{name} cannot be imported: No module named {name!r}")


def load_bindings(name: RuntimeName) -> Bindings:
    """Import a TensorRT.

    Raises:
        EngineError: not installed, its libraries do not load, or too old.
    """
    try:
        module = importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineError(f"{name} cannot be imported: {error}") from error
    return wrap(name, module)


def wrap(name: RuntimeName, module: ModuleType) -> Bindings:
    """Check an imported TensorRT's version.

    Raises:
        EngineError: too old.
    """
    version = str(module.__version__)
    if name == "tensorrt" and _release(version) < OLDEST_TENSORRT:
        oldest = ".".join(map(str, OLDEST_TENSORRT))
        raise EngineError(
            f"TensorRT {version} is too old; {oldest} (JetPack 6) is the oldest that is supported"
        )
    return Bindings(name, version, module)


def made(factory: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of TensorRT that makes something.

    Returns:
        The thing, or None: functions return that where they fail, and classes raise a TypeError of pybind11
        ("factory function returned nullptr").
    """
    try:
        return factory(*arguments)
    except TypeError:
        return None


def _release(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
