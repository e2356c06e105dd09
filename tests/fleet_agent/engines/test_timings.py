"""Stories about kernel timings kept between builds; the runtime's side is a double that keeps bytes.

TensorRT for RTX keeps no timings, and plain TensorRT builds only on a GPU.
"""

import threading
from pathlib import Path

import pytest

from fleet_agent.engines.tensorrt import timings
from fleet_agent.engines.tensorrt.timings import TimingCache


class CacheDouble:
    """A set of timings; the bytes are their names."""

    def __init__(self, document: bytes) -> None:
        self.names = set(document.decode().split())

    def combine(self, other: "CacheDouble", ignore_mismatch: bool) -> bool:  # noqa: FBT001  # TensorRT's signature
        """Take another's timings along."""
        assert not ignore_mismatch
        self.names |= other.names
        return True

    def serialize(self) -> bytes:
        """Return bytes."""
        return " ".join(sorted(self.names)).encode()


class ConfigDouble:
    """A builder configuration of one GPU: it refuses timings that do not begin with the GPU's name."""

    def __init__(self, gpu: str = "orin") -> None:
        self.gpu = gpu
        self.cache: CacheDouble | None = None

    def create_timing_cache(self, document: bytes) -> CacheDouble:
        """Return timings."""
        return CacheDouble(document)

    def set_timing_cache(self, cache: CacheDouble, ignore_mismatch: bool) -> bool:  # noqa: FBT001  # TensorRT's
        """Take timings of this GPU only."""
        assert not ignore_mismatch
        if any(not name.startswith(self.gpu) for name in cache.names):
            return False
        self.cache = cache
        return True

    def get_timing_cache(self) -> CacheDouble | None:
        """Return what was set."""
        return self.cache


def build(path: Path, kernel: str, gpu: str = "orin", trouble: list[str] | None = None) -> set[str]:
    """Build something that measures one kernel; return what was known before."""
    config, cache = ConfigDouble(gpu), TimingCache(path, (trouble if trouble is not None else []).append)
    cache.give(config)
    assert config.cache is not None
    known = set(config.cache.names)
    config.cache.names.add(kernel)
    cache.keep(config)
    return known


def test_what_one_build_measured_the_next_one_knows(tmp_path: Path) -> None:
    """The file grows with each build."""
    path = tmp_path / "timings"
    assert build(path, "orin-a") == set()
    assert build(path, "orin-b") == {"orin-a"}
    assert build(path, "orin-c") == {"orin-a", "orin-b"}


def test_timings_of_another_gpu_are_not_used(tmp_path: Path) -> None:
    """A disk that moved to another cart: its kernels are measured anew."""
    path = tmp_path / "timings"
    build(path, "xavier-a", gpu="xavier")
    assert build(path, "orin-a") == set()


def test_builds_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    """What another build has written meanwhile is combined, not written over."""
    path = tmp_path / "timings"
    start = threading.Barrier(6)

    def one(ix: int) -> None:
        start.wait(20)
        build(path, f"orin-{ix}")

    threads = [threading.Thread(target=one, args=(ix,)) for ix in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert build(path, "orin-z") == {f"orin-{ix}" for ix in range(6)}


def test_a_file_of_absurd_size_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not ours is not read into memory."""
    monkeypatch.setattr(timings, "MAX_TIMINGS_BYTES", 8)
    path = tmp_path / "timings"
    path.write_bytes(b"orin-a orin-b")
    assert build(path, "orin-c") == set()


def test_a_full_disk_costs_the_timings_and_not_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever cannot be written or read is told of, and the build goes on."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(timings, "write_file", full)
    trouble: list[str] = []
    assert build(tmp_path / "timings", "orin-a", trouble=trouble) == set()
    assert len(trouble) == 1
    assert "No space left on device" in trouble[0]
    (tmp_path / "file").write_bytes(b"")
    assert build(tmp_path / "file" / "timings", "orin-a", trouble=trouble) == set()
    assert len(trouble) == 3
