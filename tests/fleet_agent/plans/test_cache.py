"""Stories about plans on the cart's disk."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_agent.errors import PlanBuildError, StoreError
from fleet_agent.plans.cache import CachedPlan, PlanCache
from tests.fleet_agent.activation.copying import CopyingBackend
from tests.fleet_agent.plans.plan_requests import key_of, request_of
from tests.fleet_agent.worlds import SteppedClock


class Bench:
    """A cache whose counters and clock are seen."""

    def __init__(self, folder: Path, capacity_bytes: int = 10_000_000) -> None:
        self.folder = folder / "plans"
        self.sources = folder
        self.counted: Counter[str] = Counter()
        self.clock = SteppedClock()
        self.backend = CopyingBackend()
        self._capacity_bytes = capacity_bytes
        self.cache = self.open()

    def open(self) -> PlanCache:
        """Open it anew."""
        return PlanCache(
            self.folder, capacity_bytes=self._capacity_bytes, clock=self.clock, on_count=self._count
        )

    def _count(self, name: str) -> None:
        self.counted[name] += 1

    def build(self, content: bytes) -> CachedPlan:
        """Build the plan of some bytes, a second later."""
        self.clock.now_s += 1
        request = request_of(self.sources, content)
        return self.cache.build(self.backend, key_of(request), request, timeout_s=60.0)

    def find(self, content: bytes, **facts: str | int) -> CachedPlan | None:
        """Look for the plan of some bytes, a second later."""
        self.clock.now_s += 1
        return self.cache.find(key_of(request_of(self.sources, content), **facts))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An empty cache."""
    return Bench(tmp_path)


def test_a_plan_is_built_once_and_found_again(bench: Bench) -> None:
    """Also by the next process; its key lies beside it in full."""
    assert bench.find(b"one") is None
    built = bench.build(b"one")
    assert built.fresh
    bench.cache.close()
    bench.cache = bench.open()
    found = bench.find(b"one")
    assert found == CachedPlan(built.path, built.key, fresh=False)
    assert found.path.read_bytes() == b"one"
    assert found.path.name == f"{found.key}.plan"
    beside = json.loads((found.path.parent / "plan.json").read_bytes())
    assert beside["key"] == key_of(request_of(bench.sources, b"one")).document
    assert beside["recorded"] == {"recorded_power_mode": "15W"}
    assert bench.counted == {"plans_absent": 1, "plans_built": 1, "plans_hit": 1}


def test_another_machine_finds_nothing(bench: Bench) -> None:
    """A driver of another version needs another plan; the old one is not touched."""
    bench.build(b"one")
    assert bench.find(b"one", cuda_driver=13000) is None
    assert bench.find(b"one") is not None


def _foreign(plan: Path) -> None:
    sidecar = json.loads((plan.parent / "plan.json").read_bytes())
    sidecar["key"]["facts"]["version"] = "0.9"
    (plan.parent / "plan.json").write_text(json.dumps(sidecar))


@pytest.mark.parametrize(
    ("harm", "cause"),
    [
        (lambda plan: plan.write_bytes(b"eno"), "corrupt"),
        (lambda plan: plan.write_bytes(b"on"), "truncated"),
        (lambda plan: plan.write_bytes(b""), "truncated"),
        (lambda plan: plan.unlink(), "unreadable"),
        (lambda plan: (plan.parent / "plan.json").unlink(), "unreadable"),
        (lambda plan: (plan.parent / "plan.json").write_bytes(b"\xff\x00"), "unreadable"),
        (_foreign, "foreign"),
    ],
)
def test_a_plan_that_is_not_what_was_built_is_deleted_and_counted(
    bench: Bench, harm: Callable[[Path], object], cause: str
) -> None:
    """By its cause; the next build brings it back."""
    harm(bench.build(b"one").path)
    assert bench.find(b"one") is None
    assert bench.counted[f"plans_{cause}"] == 1
    assert [path for path in bench.folder.iterdir() if path.is_dir()] == []
    bench.build(b"one")
    assert bench.find(b"one") is not None


def test_a_folder_copied_from_another_key_is_foreign(bench: Bench) -> None:
    """Renaming a plan does not make it another one."""
    one = bench.build(b"one").path.parent
    two = key_of(request_of(bench.sources, b"two")).digest
    one.rename(bench.folder / two)
    assert bench.find(b"two") is None
    assert bench.counted["plans_foreign"] == 1


def test_a_build_that_fails_leaves_nothing(bench: Bench) -> None:
    """Neither an entry nor a half-written folder; the cause is counted."""
    bench.backend = CopyingBackend("import sys; open(sys.argv[2], 'w').write('half'); sys.exit(1)")
    with pytest.raises(PlanBuildError):
        bench.build(b"one")
    assert [path.name for path in bench.folder.iterdir()] == ["lock"]
    assert bench.counted == {"plans_build_failed": 1}


def test_the_plans_not_used_for_longest_go_first(tmp_path: Path) -> None:
    """Finding a plan is using it."""
    bench = Bench(tmp_path, capacity_bytes=_entry_bytes(tmp_path) * 2 + 100)
    for content in (b"one", b"two", b"six"):
        bench.build(content)
    assert bench.find(b"one") is not None
    bench.cache.evict(pinned=())
    assert bench.counted["plans_evicted"] == 1
    assert bench.find(b"two") is None
    assert bench.find(b"one") is not None
    assert bench.find(b"six") is not None


def test_pinned_plans_stay_however_full_the_cache_is(tmp_path: Path) -> None:
    """Current and last good plans are never deleted for space, nor is a folder that a runtime keeps there."""
    bench = Bench(tmp_path, capacity_bytes=0)
    kept = {bench.build(content).key for content in (b"one", b"two")}
    bench.build(b"six")
    (bench.folder / "onnxruntime").mkdir()
    bench.cache.evict(pinned=kept)
    assert {path.name for path in bench.folder.iterdir() if path.is_dir()} == {*kept, "onnxruntime"}


def test_what_a_killed_builder_left_is_swept(bench: Bench) -> None:
    """At the next start, and counted."""
    (bench.folder / ".incomplete-abc-1").mkdir()
    (bench.folder / ".incomplete-abc-1" / "x.plan").write_bytes(b"half")
    (bench.folder / ".incomplete-timing").write_bytes(b"half")
    bench.cache.close()
    bench.cache = bench.open()
    assert [path.name for path in bench.folder.iterdir()] == ["lock"]
    assert bench.counted["plans_leftover"] == 2


def test_timings_of_another_machine_are_swept(bench: Bench) -> None:
    """They are kept for this runtime and device only."""
    key = key_of(request_of(bench.sources, b"one"))
    mine, old = bench.folder / f"timing-{key.machine}.cache", bench.folder / "timing-0123.cache"
    mine.write_bytes(b"t")
    old.write_bytes(b"t")
    lock = old.with_name(f"{old.name}.lock")
    lock.write_bytes(b"")
    bench.cache.sweep_timings(key)
    assert mine.exists()
    assert not old.exists()
    assert not lock.exists()


def test_two_processes_do_not_share_a_cache(bench: Bench) -> None:
    """The second would sweep away what the first is building."""
    with pytest.raises(StoreError, match="another agent"):
        bench.open()


def test_a_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / "plans").write_bytes(b"")
    with pytest.raises(StoreError):
        Bench(tmp_path)


def _entry_bytes(folder: Path) -> int:
    (folder / "probe").mkdir()
    probe = Bench(folder / "probe").build(b"one").path.parent
    return sum(path.stat().st_size for path in probe.iterdir())
