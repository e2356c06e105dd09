"""GPU figures from NVIDIA's management library, where the driver brings it. No Python package needed.

Source: NVML API reference. Of several GPUs the first is the cart's.
"""

import ctypes
from collections.abc import Callable, Mapping
from typing import Any

LIBRARY = "libnvidia-ml.so.1"
SUCCESS = 0
TEMPERATURE_GPU = 0
# nvmlClocksThrottleReason: slowed by heat or power, by software or hardware. Idle and a user's own
# limits are no throttling: 0x4 power cap, 0x8 hardware, 0x20 heat (software), 0x40 heat, 0x80 power brake.
SLOWED = 0x4 | 0x8 | 0x20 | 0x40 | 0x80


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class NvmlReader:
    """Reads one GPU; tells nothing where there is no library, no driver or no GPU.

    Args:
        load: Opens the library by name; OSError when it is not there.
    """

    def __init__(self, load: Callable[[str], Any] = ctypes.CDLL) -> None:
        self._library: Any = None
        self._device = ctypes.c_void_p()
        try:
            library = load(LIBRARY)
            if library.nvmlInit_v2() == SUCCESS:
                found = library.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(self._device))
                self._library = library if found == SUCCESS else None
        except (OSError, AttributeError):  # no driver, or one older than these calls
            self._library = None

    @property
    def present(self) -> bool:
        """Whether a GPU answers."""
        return self._library is not None

    def read(self) -> Mapping[str, float]:
        """Return gpu_percent, gpu_memory_bytes (in use), gpu_temp_c and throttled, as far as told."""
        if self._library is None:
            return {}
        found: dict[str, float] = {}
        use, memory = _Utilization(), _Memory()
        celsius, reasons = ctypes.c_uint(), ctypes.c_ulonglong()
        if self._ask("nvmlDeviceGetUtilizationRates", use):
            found["gpu_percent"] = float(use.gpu)
        if self._ask("nvmlDeviceGetMemoryInfo", memory):
            found["gpu_memory_bytes"] = float(memory.used)
        if self._ask("nvmlDeviceGetTemperature", celsius, TEMPERATURE_GPU):
            found["gpu_temp_c"] = found["temp_c"] = float(celsius.value)
        if self._ask("nvmlDeviceGetCurrentClocksThrottleReasons", reasons):
            found["throttled"] = float(bool(reasons.value & SLOWED))
        return found

    def _ask(self, function: str, answer: Any, *arguments: int) -> bool:
        """Call a function of this GPU; False when it is unknown or refuses."""
        call = getattr(self._library, function, None)
        return call is not None and call(self._device, *arguments, ctypes.byref(answer)) == SUCCESS
