"""What `tegrastats` prints on a Jetson, for what its `/sys` does not tell.

Source: "tegrastats Utility" in NVIDIA's Jetson Linux developer guide. The line differs between
releases: `GR3D_FREQ 0%`, `GR3D_FREQ 0%@114`, `GR3D_FREQ 0%@[114,114]`; `GPU@33.5C` or `gpu@33.5C`.
"""

import re
import select
import shutil
import subprocess
from collections.abc import Mapping

from fleet_agent.ports import Clock

# Longest wait for a line that comes every 100 ms.
LINE_TIMEOUT_S = 2.0
# A process is started for each line: more often would cost more than the figures are worth.
PERIOD_S = 60.0
MB = 1024.0 * 1024.0

_RAM = re.compile(r"\bRAM (\d{1,9})/(\d{1,9})MB")
_SWAP = re.compile(r"\bSWAP (\d{1,9})/(\d{1,9})MB")
_GPU = re.compile(r"\bGR3D(?:_FREQ)? (\d{1,3})%")
_ZONE = re.compile(r"\b([A-Za-z][A-Za-z0-9_]{0,31})@(-?\d{1,4}(?:\.\d{1,4})?)C\b")
# Zones without a sensor print -256C; PMIC is a constant 100C on some boards.
_COLDEST_C = 0.0
_CONSTANT_ZONES = frozenset({"pmic"})


def parse(line: str) -> dict[str, float]:
    """Return gpu_percent, temp_c, gpu_temp_c, memory_available_bytes and swap_bytes of a line.

    What a line does not hold is absent; a line of something else gives nothing.
    """
    found: dict[str, float] = {}
    if ram := _RAM.search(line):
        found["memory_available_bytes"] = max(0, int(ram[2]) - int(ram[1])) * MB
    if swap := _SWAP.search(line):
        found["swap_bytes"] = int(swap[1]) * MB
    if gpu := _GPU.search(line):
        found["gpu_percent"] = float(gpu[1])
    zones = {name.lower(): float(celsius) for name, celsius in _ZONE.findall(line)}
    real = {n: c for n, c in zones.items() if c > _COLDEST_C and n not in _CONSTANT_ZONES}
    if real:
        found["temp_c"] = max(real.values())
    if "gpu" in real:
        found["gpu_temp_c"] = real["gpu"]
    return found


class TegrastatsReader:
    """Asks tegrastats for one line a minute; tells nothing where it is not installed.

    Args:
        clock: Time.
        command: The program.
    """

    def __init__(self, clock: Clock, command: str = "tegrastats") -> None:
        self._clock = clock
        self._path = shutil.which(command)
        self._due_s = clock.monotonic_s()
        self._latest: dict[str, float] = {}

    def read(self) -> Mapping[str, float]:
        """Return the latest line's figures."""
        if self._path is not None and self._clock.monotonic_s() >= self._due_s:
            self._due_s = self._clock.monotonic_s() + PERIOD_S
            self._latest = parse(one_line([self._path, "--interval", "100"]))
        return self._latest


def one_line(command: list[str]) -> str:
    """Start a program, return the first line it prints, and end it; empty when none comes in time."""
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return ""
    with process:
        try:
            assert process.stdout is not None  # noqa: S101  # it is a pipe
            ready, _, _ = select.select([process.stdout], [], [], LINE_TIMEOUT_S)
            return process.stdout.readline(4096).decode("ascii", "replace") if ready else ""
        finally:
            process.kill()
