"""Kernel timings kept between builds: the second build of a model takes seconds instead of minutes."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fleet_agent.durable import write_file

# A cart's models need some hundred kilobytes; a larger file is not ours.
MAX_TIMINGS_BYTES = 64 << 20


class TimingCache:
    """A file of timings; several builds may share it. A damaged or foreign one is begun anew.

    Args:
        path: Of one runtime version and one GPU.
        on_trouble: Told why timings were not read or kept; a full disk costs time and no plan.
    """

    def __init__(self, path: Path, on_trouble: Callable[[str], None]) -> None:
        self._path = path
        self._on_trouble = on_trouble

    def give(self, config: Any) -> None:
        """Let a builder configuration begin with what is known."""
        known = b""
        with self._telling(), self._locked():
            known = self._read()
        # False: refuse timings of another GPU or version, they would choose wrong kernels.
        if not config.set_timing_cache(config.create_timing_cache(known), False):  # noqa: FBT003
            config.set_timing_cache(config.create_timing_cache(b""), False)  # noqa: FBT003

    def keep(self, config: Any) -> None:
        """Add what a build has measured; a failure to write costs time, not the plan."""
        measured = config.get_timing_cache()
        if measured is None:
            return
        with self._telling(), self._locked():
            other = config.create_timing_cache(self._read())
            if other is not None:
                measured.combine(other, False)  # noqa: FBT003
            write_file(self._path, bytes(memoryview(measured.serialize())))

    def _read(self) -> bytes:
        try:
            if self._path.stat().st_size > MAX_TIMINGS_BYTES:
                return b""
            return self._path.read_bytes()
        except FileNotFoundError:
            return b""

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._on_trouble(f"timings of {self._path}: {error.strerror or error}")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the file for the moment of reading or writing, never during a build."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_name(self._path.name + ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
