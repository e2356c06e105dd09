"""What every test shares: tools that must be present, free ports, and a hard rule on skipping."""

import functools
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# NumPy's threads wait by spinning: on a busy machine the small products of the scene renderer take 20 times
# as long with them. Set before NumPy is imported; processes that tests start inherit it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A busy machine is not a failure: property tests look at results, never at the clock.
settings.register_profile("no-clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no-clock")

TOOLS = {
    "browser": ("chromium", "apt-get install chromium"),
    "mosquitto": ("mosquitto", "apt-get install mosquitto"),
    "prometheus": ("promtool", "apt-get install prometheus"),
    "postgresql": ("pg_ctl", "apt-get install postgresql"),
}


def _search_path() -> str:
    # Debian puts daemons where they are not on every user's PATH.
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", *map(str, versions)])


def find_tool(name: str) -> str | None:
    """Return the path of a system tool, or None."""
    return shutil.which(name, path=_search_path())


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Name what a test lacks; under CI a lack is a failure, never a skip."""
    for marker, (tool, remedy) in TOOLS.items():
        if item.get_closest_marker(marker) and find_tool(tool) is None:
            _lacking(f"{tool} is missing: {remedy}")
    if item.get_closest_marker("training"):
        try:
            __import__("torch")
        except ImportError:
            _lacking("torch is missing: pip install '.[training]'")
    if item.get_closest_marker("gpu") and not _gpu_answers():
        # No installation cures this, so it is the one lack that CI forgives.
        pytest.skip("no NVIDIA GPU answers on this machine")


@functools.cache
def _gpu_answers() -> bool:
    """Whether NVIDIA's driver is there and lists a GPU."""
    tool = find_tool("nvidia-smi")
    if tool is None:
        return False
    listed = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=30, check=False)
    return listed.returncode == 0 and "GPU 0" in listed.stdout


def _lacking(sentence: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Return a function that finds a free TCP port on the loopback interface."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port

    return find
