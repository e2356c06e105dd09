"""Gauges of this process, and the name of the machine; the machine's own are in `health.machine`."""

import platform
from pathlib import Path

import psutil

DEVICE_TREE_MODEL = Path("/proc/device-tree/model")


class Host:
    """Reads processor and memory of this process.

    Several agents in one process report the same figures: they are the process's.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._process.cpu_percent(interval=None)  # the first call has nothing to compare with

    def gauges(self) -> dict[str, float]:
        """Return cpu_percent and rss_bytes: of this process, not of the machine."""
        return {
            "cpu_percent": self._process.cpu_percent(interval=None),
            "rss_bytes": float(self._process.memory_info().rss),
        }


def hardware_name() -> str:
    """Return what the machine calls itself: a board's name where it has one."""
    try:
        model = DEVICE_TREE_MODEL.read_text(encoding="ascii").strip("\0\n ")
    except (OSError, UnicodeDecodeError):
        model = f"{platform.system()} {platform.machine()}"
    return model[:64]
