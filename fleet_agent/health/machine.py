"""Temperatures, throttling, memory, disk and GPU load of the machine, from where Linux keeps them.

What a machine does not tell is absent from the readings, never zero. Every path hangs below a root, so
that tests bring their own tree. Sources: the kernel's `Documentation/driver-api/thermal/sysfs-api.rst`,
`Documentation/filesystems/proc.rst` (meminfo), `Documentation/admin-guide/thermal/intel_powerclamp.rst`;
NVIDIA's Jetson Linux developer guide (thermal zones, GPU load in tenths of a percent).
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

Readings = Mapping[str, float]

# Where Jetsons keep the load of their GPU, newest boards first.
GPU_LOADS = (
    "sys/devices/platform/bus@0/17000000.gpu/load",
    "sys/devices/platform/17000000.gpu/load",
    "sys/devices/platform/gpu.0/load",
    "sys/devices/gpu.0/load",
)
# Cooling devices that take speed away; others blow air or dim screens.
SLOWING = ("processor", "cpufreq", "devfreq", "throttle", "gpu")
# Bits of the Raspberry Pi firmware that say what is so now: under-voltage, capped, throttled, soft limit.
PI_NOW = 0b1111
# Zones that read a constant 100 degrees on some Jetsons, as in `tegrastats`: always the hottest.
CONSTANT = "pmic"
# Sensors outside this range are not connected: they read 0 or below absolute zero.
COLDEST_C, HOTTEST_C = 0.0, 200.0


class MachineReader(Protocol):
    """One place that tells something about the machine."""

    def read(self) -> Readings:
        """Return what it tells now, by gauge name; empty when it tells nothing. Never raises."""


class Machine:
    """All readers together; the first that knows a gauge is believed, of temperatures the hottest.

    Args:
        readers: In order of trust.
    """

    def __init__(self, readers: Sequence[MachineReader]) -> None:
        self._readers = readers

    def read(self) -> dict[str, float]:
        """Return all that is known now."""
        found: dict[str, float] = {}
        for reader in self._readers:
            for name, value in reader.read().items():
                hotter = name in ("temp_c", "throttled") and value > found.get(name, value)
                if name not in found or hotter:
                    found[name] = value
        return found


class LinuxReader:
    """What the kernel tells in `/sys` and `/proc`.

    Args:
        root: Below which they lie.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._throttle_count = self._throttle_counts()

    def read(self) -> Readings:
        """Return temp_c, gpu_temp_c, throttled, memory_available_bytes, swap_bytes, gpu_percent."""
        return {
            **self._temperatures(),
            **self._throttled(),
            **_memory(_text(self._root / "proc/meminfo")),
            **self._gpu_load(),
        }

    def _temperatures(self) -> dict[str, float]:
        zones = sorted((self._root / "sys/class/thermal").glob("thermal_zone*"))
        found = [(_text(zone / "type").lower(), _celsius(zone / "temp")) for zone in zones]
        known = [(k, celsius) for k, celsius in found if celsius is not None and not k.startswith(CONSTANT)]
        gpu = [celsius for kind, celsius in known if "gpu" in kind]
        return {
            **({"temp_c": max(celsius for _, celsius in known)} if known else {}),
            **({"gpu_temp_c": max(gpu)} if gpu else {}),
        }

    def _throttled(self) -> dict[str, float]:
        """Say whether the machine has taken speed away, now or since the last reading."""
        told = [*self._cooling(), *self._pi_firmware()]
        before, self._throttle_count = self._throttle_count, self._throttle_counts()
        if self._throttle_count is not None:
            told.append(before is not None and self._throttle_count > before)
        return {"throttled": float(any(told))} if told else {}

    def _cooling(self) -> list[bool]:
        devices = sorted((self._root / "sys/class/thermal").glob("cooling_device*"))
        slowing = [d for d in devices if any(word in _text(d / "type").lower() for word in SLOWING)]
        states = [_number(device / "cur_state") for device in slowing]
        return [state > 0 for state in states if state is not None]

    def _pi_firmware(self) -> list[bool]:
        bits = _text(self._root / "sys/devices/platform/soc/soc:firmware/get_throttled")
        try:
            return [bool(int(bits, 16) & PI_NOW)] if bits else []
        except ValueError:
            return []

    def _throttle_counts(self) -> float | None:
        """Return how often Intel's cores were throttled since boot; None where nobody counts."""
        cpus = self._root / "sys/devices/system/cpu"
        counts = [_number(path) for path in cpus.glob("cpu[0-9]*/thermal_throttle/core_throttle_count")]
        known = [n for n in counts if n is not None]
        return sum(known) if known else None

    def _gpu_load(self) -> dict[str, float]:
        for path in GPU_LOADS:
            per_mille = _number(self._root / path)
            if per_mille is not None:
                return {"gpu_percent": per_mille / 10.0}
        return {}


class DiskReader:
    """Free space where the spool lies.

    Args:
        path: A file or folder there; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Readings:
        """Return disk_free_bytes: what this user may still write."""
        for place in (self._path, *self._path.absolute().parents):
            try:
                disk = os.statvfs(place)
            except OSError:
                continue
            return {"disk_free_bytes": float(disk.f_bavail * disk.f_frsize)}
        return {}


def _memory(meminfo: str) -> dict[str, float]:
    kilobytes: dict[str, int] = {}
    for line in meminfo.splitlines():
        name, _, rest = line.partition(":")
        digits = rest.split()[0] if rest.split() else ""
        if digits.isascii() and digits.isdigit():
            kilobytes[name] = int(digits)
    found: dict[str, float] = {}
    if "MemAvailable" in kilobytes:
        found["memory_available_bytes"] = kilobytes["MemAvailable"] * 1024.0
    if "SwapTotal" in kilobytes and "SwapFree" in kilobytes:
        found["swap_bytes"] = (kilobytes["SwapTotal"] - kilobytes["SwapFree"]) * 1024.0
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:  # absent, or a sensor that is asleep
        return ""


def _number(path: Path) -> float | None:
    try:
        return float(int(_text(path)))
    except ValueError:
        return None


def _celsius(path: Path) -> float | None:
    milli = _number(path)
    if milli is None or not COLDEST_C < milli / 1000.0 < HOTTEST_C:
        return None
    return milli / 1000.0
