"""Stories about what machines tell of themselves: trees of `/sys`, lines of tegrastats, NVML."""

import ctypes
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.health.machine import GPU_LOADS, DiskReader, LinuxReader, Machine, Readings
from fleet_agent.health.nvml import NvmlReader
from fleet_agent.health.tegrastats import MB, TegrastatsReader, one_line, parse
from tests.fleet_agent.worlds import SteppedClock


def put(root: Path, files: dict[str, str]) -> Path:
    """Write a tree of small files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


ZONES = "sys/class/thermal"


def test_a_machine_that_tells_nothing_gives_nothing(tmp_path: Path) -> None:
    """Absent is absent, not zero."""
    assert LinuxReader(tmp_path).read() == {}


def test_a_jetson_tells_temperatures_throttling_gpu_and_memory(tmp_path: Path) -> None:
    """As the tree of an Orin: zones by name, unconnected and constant ones not; load in per mille."""
    put(
        tmp_path,
        {
            f"{ZONES}/thermal_zone0/type": "cpu-thermal\n",
            f"{ZONES}/thermal_zone0/temp": "48718\n",
            f"{ZONES}/thermal_zone1/type": "gpu-thermal\n",
            f"{ZONES}/thermal_zone1/temp": "51250\n",
            f"{ZONES}/thermal_zone2/type": "cv0-thermal\n",
            f"{ZONES}/thermal_zone2/temp": "-256000\n",
            f"{ZONES}/thermal_zone3/type": "PMIC-Die\n",
            f"{ZONES}/thermal_zone3/temp": "100000\n",
            f"{ZONES}/cooling_device0/type": "pwm-fan\n",
            f"{ZONES}/cooling_device0/cur_state": "2\n",
            f"{ZONES}/cooling_device1/type": "cpu-throttle-alert\n",
            f"{ZONES}/cooling_device1/cur_state": "0\n",
            GPU_LOADS[0]: "437\n",
            "proc/meminfo": "MemTotal: 7990000 kB\nMemAvailable: 4000000 kB\n"
            "SwapTotal: 3900000 kB\nSwapFree: 3800000 kB\n",
        },
    )
    assert LinuxReader(tmp_path).read() == {
        "temp_c": 51.25,
        "gpu_temp_c": 51.25,
        "throttled": 0.0,
        "gpu_percent": 43.7,
        "memory_available_bytes": 4_000_000 * 1024.0,
        "swap_bytes": 100_000 * 1024.0,
    }
    put(tmp_path, {f"{ZONES}/cooling_device1/cur_state": "1\n"})
    assert LinuxReader(tmp_path).read()["throttled"] == 1.0


def test_an_intel_machine_is_throttled_when_its_count_grows(tmp_path: Path) -> None:
    """The count is since boot: only its growth between two looks says something about now."""
    count = "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"
    reader = LinuxReader(put(tmp_path, {count: "17\n"}))
    assert reader.read()["throttled"] == 0.0
    put(tmp_path, {count: "18\n"})
    assert reader.read()["throttled"] == 1.0
    assert reader.read()["throttled"] == 0.0


@pytest.mark.parametrize(("bits", "throttled"), [("0x50000", 0.0), ("0x50005", 1.0), ("rubbish", None)])
def test_a_raspberry_pi_tells_by_bits(tmp_path: Path, bits: str, throttled: float | None) -> None:
    """The upper bits are history; the lower ones are now."""
    put(tmp_path, {"sys/devices/platform/soc/soc:firmware/get_throttled": bits})
    assert LinuxReader(tmp_path).read().get("throttled") == throttled


@given(st.binary(max_size=80))
def test_rubbish_in_any_file_is_nothing(tmp_path_factory: pytest.TempPathFactory, rubbish: bytes) -> None:
    """A driver that prints nonsense leaves its gauge out, or a number in range; it never raises."""
    root = tmp_path_factory.mktemp("sys")
    for name in (f"{ZONES}/thermal_zone0/temp", f"{ZONES}/thermal_zone0/type", GPU_LOADS[0], "proc/meminfo"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(rubbish)
    found = LinuxReader(root).read()
    assert 0 < found.get("temp_c", 20.0) < 200


class Fixed:
    """A reader that always says the same."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def read(self) -> Readings:
        """Say it."""
        return self._readings


def test_the_first_reader_is_believed_and_the_hottest_sensor_counts() -> None:
    """Two places that tell the same thing do not contradict each other in telemetry."""
    machine = Machine(
        [Fixed({"gpu_percent": 30.0, "temp_c": 50.0}), Fixed({"gpu_percent": 99.0, "temp_c": 60.0})]
    )
    assert machine.read() == {"gpu_percent": 30.0, "temp_c": 60.0}


def test_free_disk_is_that_of_the_spool(tmp_path: Path) -> None:
    """The file need not be there yet; its nearest folder tells."""
    (free,) = DiskReader(tmp_path / "not" / "yet" / "spool.db").read().values()
    assert free > 0


def test_this_machine_is_read_without_error() -> None:
    """Whatever runs the tests tells its memory."""
    assert LinuxReader().read()["memory_available_bytes"] > 0


# Lines of public documentation and logs, of several releases.
LINES = {
    # NVIDIA, Jetson Linux 32.5 developer guide, the examples of the statistics in a row.
    "RAM 220/38955MB (lfb 847x4MB) SWAP 0/1978MB (cached 0MB) IRAM 0/252kB(lfb 252kB) "
    "CPU [1%@102,5%@102,0%@102,0%@102] EMC_FREQ 7%@1600 GR3D_FREQ 14%@140 PMIC@100C GPU@28C AUX@28.5C "
    "CPU@30C thermal@29.1C": {
        "memory_available_bytes": (38955 - 220) * MB,
        "swap_bytes": 0.0,
        "gpu_percent": 14.0,
        "temp_c": 30.0,
        "gpu_temp_c": 28.0,
    },
    # Orin, JetPack 5: a date in front, lower-case zones, cores that are off, a zone without a sensor.
    "11-24-2026 10:11:12 RAM 4096/30536MB (lfb 200x4MB) SWAP 12/15268MB (cached 0MB) "
    "CPU [10%@2201,5%@2201,off,off] GR3D_FREQ 0% cpu@50.031C cv0@-256C soc2@49.75C gpu@52.031C "
    "VDD_GPU_SOC 3200mW/3210mW": {
        "memory_available_bytes": (30536 - 4096) * MB,
        "swap_bytes": 12 * MB,
        "gpu_percent": 0.0,
        "temp_c": 52.031,
        "gpu_temp_c": 52.031,
    },
    # JetPack 6: the frequency of each cluster in brackets.
    "RAM 2847/7772MB (lfb 512x4MB) CPU [12%@1574,0%@729] GR3D_FREQ 76%@[305] tj@51.2C": {
        "memory_available_bytes": (7772 - 2847) * MB,
        "gpu_percent": 76.0,
        "temp_c": 51.2,
    },
    "tegrastats: command not found": {},
    "": {},
}


@pytest.mark.parametrize(("line", "found"), LINES.items())
def test_lines_of_tegrastats(line: str, found: dict[str, float]) -> None:
    """Each release's line gives what it holds, and no more."""
    assert parse(line) == pytest.approx(found)


@given(st.text(max_size=300))
def test_no_line_of_text_breaks_the_parser(line: str) -> None:
    """What is not understood is left out."""
    assert all(name.endswith(("_c", "_percent", "_bytes")) for name in parse(line))


def test_tegrastats_is_asked_once_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that prints a line ten times a second is started, read once, and ended."""
    program = tmp_path / "tegrastats"
    program.write_text(
        f"#!/bin/sh\necho run >> {tmp_path}/runs\nwhile :; do echo 'GR3D_FREQ 42% gpu@40C'; sleep 0.1; done\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    clock = SteppedClock()
    reader = TegrastatsReader(clock)
    for _ in range(3):
        assert reader.read() == {"gpu_percent": 42.0, "temp_c": 40.0, "gpu_temp_c": 40.0}
    clock.now_s += 61.0
    reader.read()
    assert (tmp_path / "runs").read_text().split() == ["run", "run"]


def test_a_program_that_is_not_there_or_says_nothing_gives_no_line() -> None:
    """No line, no figures, no waiting without end."""
    assert one_line(["/does/not/exist"]) == ""
    assert one_line(["true"]) == ""
    assert TegrastatsReader(SteppedClock(), "no-such-program").read() == {}


class FakeNvml:
    """NVIDIA's library with one GPU, as far as the reader calls it."""

    def __init__(self, *, devices: int = 1, reasons: int = 0, old: bool = False) -> None:
        self._devices = devices
        self._reasons = reasons
        if not old:
            self.nvmlDeviceGetCurrentClocksThrottleReasons = self._throttle

    def nvmlInit_v2(self) -> int:  # noqa: N802  # NVIDIA's name
        """Succeed."""
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: int, handle: Any) -> int:  # noqa: ARG002, N802
        """Return the device, or NVML_ERROR_INVALID_ARGUMENT."""
        return 0 if index < self._devices else 2

    def nvmlDeviceGetUtilizationRates(self, device: Any, answer: Any) -> int:  # noqa: ARG002, N802
        """63 % busy."""
        answer._obj.gpu = 63
        return 0

    def nvmlDeviceGetMemoryInfo(self, device: Any, answer: Any) -> int:  # noqa: ARG002, N802
        """Two gigabytes used."""
        answer._obj.used = 2_000_000_000
        return 0

    def nvmlDeviceGetTemperature(self, device: Any, sensor: int, answer: Any) -> int:  # noqa: ARG002, N802
        """NVML_ERROR_NOT_SUPPORTED."""
        return 3

    def _throttle(self, device: Any, answer: Any) -> int:  # noqa: ARG002
        answer._obj.value = self._reasons
        return 0


def test_nvml_tells_load_memory_and_throttling() -> None:
    """What the library refuses or does not know is absent; idle clocks are no throttling."""
    idle, hot = 0x1, 0x40
    reader = NvmlReader(lambda _: FakeNvml(reasons=idle))
    assert reader.read() == {"gpu_percent": 63.0, "gpu_memory_bytes": 2e9, "throttled": 0.0}
    assert NvmlReader(lambda _: FakeNvml(reasons=hot)).read()["throttled"] == 1.0
    assert "throttled" not in NvmlReader(lambda _: FakeNvml(old=True)).read()


def test_without_library_or_gpu_nvml_tells_nothing() -> None:
    """A machine without NVIDIA's driver, a driver without a GPU, a library without these calls."""

    def missing(name: str) -> ctypes.CDLL:
        raise OSError(f"{name}: cannot open shared object file")

    assert NvmlReader(missing).read() == {}
    assert not NvmlReader(lambda _: FakeNvml(devices=0)).present
    assert not NvmlReader(lambda _: object()).present


@pytest.mark.gpu
def test_nvml_agrees_with_nvidias_own_tool() -> None:
    """The real library's temperature is within a few degrees of what nvidia-smi prints."""
    asked = ["nvidia-smi", "--id=0", "--query-gpu=temperature.gpu", "--format=csv,noheader,nounits"]
    printed = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30)
    found = NvmlReader().read()
    assert found["gpu_temp_c"] == pytest.approx(float(printed.stdout), abs=5.0)
    assert 0 <= found["gpu_percent"] <= 100
    assert found["gpu_memory_bytes"] > 0
    assert found["throttled"] in (0.0, 1.0)
