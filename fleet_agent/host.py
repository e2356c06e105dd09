"""Gauges of the machine the cart runs on."""

import platform
from pathlib import Path

import psutil

THERMAL = Path("/sys/class/thermal")
DEVICE_TREE_MODEL = Path("/proc/device-tree/model")


class Host:
    """Reads processor, memory and temperature of this process and its machine.

    Several agents in one process report the same figures: they are the process's.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._process.cpu_percent(interval=None)  # the first call has nothing to compare with

    def gauges(self) -> dict[str, float]:
        """Return cpu_percent and rss_bytes, and temp_c where the machine tells it."""
        found = {
            "cpu_percent": self._process.cpu_percent(interval=None),
            "rss_bytes": float(self._process.memory_info().rss),
        }
        temperatures = [t for zone in _zones() if (t := _celsius(zone)) is not None]
        if temperatures:
            found["temp_c"] = max(temperatures)
        return found


def hardware_name() -> str:
    """Return what the machine calls itself: a board's name where it has one."""
    try:
        model = DEVICE_TREE_MODEL.read_text(encoding="ascii").strip("\0\n ")
    except (OSError, UnicodeDecodeError):
        model = f"{platform.system()} {platform.machine()}"
    return model[:64]


def _zones() -> list[Path]:
    return sorted(THERMAL.glob("thermal_zone*/temp"))


def _celsius(zone: Path) -> float | None:
    try:
        milli = int(zone.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    # Zones without a sensor read 0 or below absolute zero.
    return milli / 1000.0 if 0 < milli < 200_000 else None
