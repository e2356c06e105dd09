"""Plans on the cart's disk: found by their key, checked before use, built when missing.

    plans/<key>/<key>.plan      what the runtime loads
    plans/<key>/plan.json       the key in full, sha256 and size of the plan, when it was built
    plans/timing-<machine>.cache

An entry is a folder that gets its name when it is whole. One process owns the cache.
"""

import os
import re
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from fleet_agent import durable
from fleet_agent.engines.contract import Backend, PlanRequest
from fleet_agent.errors import PlanBuildError, StoreError
from fleet_agent.plans.builder import build_plan
from fleet_agent.plans.child import OnProgress
from fleet_agent.plans.key import PlanKey
from fleet_agent.plans.sidecar import SIDECAR, UNREADABLE, Sidecar, damage, plan_file, read_sidecar
from fleet_agent.ports import Clock

# Parts of a key that change how fast a plan is, and not whether it is right.
EFFORT = ("optimization_level", "workspace_mb")
# Other folders that runtimes keep here are theirs.
_KEY = re.compile(r"[0-9a-f]{64}")

OnCount = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CachedPlan:
    """A plan that may be loaded.

    Attributes:
        path: The file.
        key: Digest of its key.
        fresh: It was built just now.
    """

    path: Path
    key: str
    fresh: bool


class PlanCache:
    """The plans of one cart.

    Args:
        folder: Of the plans; made if it is not there.
        capacity_bytes: Most bytes of plans; the pinned ones may be more.
        clock: For the order of use and the time-out of a build.
        on_count: Called with a counter's name: `plans_hit`, `plans_older`, `plans_absent`, `plans_corrupt`,
            `plans_truncated`, `plans_foreign`, `plans_unreadable`, `plans_built`, `plans_evicted`,
            `plans_leftover`, `plans_build_<cause>`.

    Raises:
        StoreError: the folder cannot be written, or another process uses it.
    """

    def __init__(self, folder: Path, *, capacity_bytes: int, clock: Clock, on_count: OnCount) -> None:
        self._folder = folder
        self._capacity_bytes = capacity_bytes
        self._clock = clock
        self._count = on_count
        try:
            self._lock = durable.FolderLock(folder)
            for _ in range(durable.sweep(folder)):
                self._count("plans_leftover")
        except OSError as error:
            raise StoreError(f"{folder}: {error.strerror or error}") from error

    def find(self, key: PlanKey) -> CachedPlan | None:
        """Return a plan that is whole and of exactly this key; a damaged one is deleted and counted."""
        entry = self._folder / key.digest
        if not entry.is_dir():
            self._count("plans_absent")
            return None
        cause = damage(entry, key.document)
        self._count(f"plans_{cause or 'hit'}")
        if cause:
            self.drop(key.digest)
            return None
        self._touch(entry)
        return CachedPlan(plan_file(entry), key.digest, fresh=False)

    def find_older(self, key: PlanKey, digest: str) -> CachedPlan | None:
        """Return a plan that serves until the one of `key` is built: only the builder's effort differs.

        Args:
            key: Of the plan that is wanted.
            digest: Of the plan that was used so far.
        """
        entry = self._folder / digest
        with suppress(*UNREADABLE):
            older = read_sidecar(entry).key
            document = {**key.document, **{part: older.get(part) for part in EFFORT}}
            if not damage(entry, document):
                self._count("plans_older")
                self._touch(entry)
                return CachedPlan(plan_file(entry), digest, fresh=False)
        return None

    def build(
        self,
        backend: Backend,
        key: PlanKey,
        request: PlanRequest,
        *,
        timeout_s: float,
        on_progress: OnProgress | None = None,
        cancelled: threading.Event | None = None,
    ) -> CachedPlan:
        """Build a plan and keep it.

        Args:
            backend: That builds it.
            key: Of the plan.
            request: From what; where it is written and its timing cache are the cache's business.
            timeout_s: Longest time.
            on_progress: Called in this thread.
            cancelled: Set by another thread to end the build.

        Raises:
            PlanBuildError: no plan was built.
            StoreError: the disk is full or broken.
        """
        entry = self._folder / key.digest
        temporary = durable.incomplete(entry)
        try:
            temporary.mkdir()
            request = replace(request, plan=temporary / f"{key.digest}.plan", timing_cache=self._timing(key))
            built = build_plan(
                backend,
                request,
                clock=self._clock,
                timeout_s=timeout_s,
                on_progress=on_progress,
                cancelled=cancelled,
            )
            self._write_sidecar(temporary, key, built.seconds)
            durable.remove(entry)
            durable.publish_folder(temporary, entry)
        except PlanBuildError as error:
            self._count(f"plans_build_{error.cause}")
            raise
        except OSError as error:
            raise StoreError(f"{entry}: {error.strerror or error}") from error
        finally:
            with suppress(OSError):
                durable.remove(temporary)
        self._count("plans_built")
        self._touch(entry)
        return CachedPlan(plan_file(entry), key.digest, fresh=True)

    def drop(self, digest: str) -> None:
        """Delete a plan: it is damaged, or the parity gate refused it."""
        with suppress(OSError):
            durable.remove(self._folder / digest)

    def evict(self, pinned: Collection[str]) -> None:
        """Delete the plans that were not used for longest, until the rest fits; never a pinned one."""
        entries = [path for path in self._folder.iterdir() if _KEY.fullmatch(path.name) and path.is_dir()]
        sizes = {path: _size(path) for path in entries}
        used = sum(sizes.values())
        for path in sorted(entries, key=_last_used):
            if used <= self._capacity_bytes:
                return
            if path.name not in pinned:
                self.drop(path.name)
                self._count("plans_evicted")
                used -= sizes[path]

    def sweep_timings(self, key: PlanKey) -> None:
        """Delete timings of kernels that were made for another runtime or device."""
        for path in self._folder.glob("timing-*.cache"):
            if path != self._timing(key):
                for old in (path, path.with_name(path.name + ".lock")):
                    with suppress(OSError):
                        old.unlink()

    def close(self) -> None:
        """Let another process use the folder; calling twice is harmless."""
        self._lock.release()

    def _timing(self, key: PlanKey) -> Path:
        return self._folder / f"timing-{key.machine}.cache"

    def _write_sidecar(self, folder: Path, key: PlanKey, build_s: float) -> None:
        plan = folder / f"{key.digest}.plan"
        sidecar = Sidecar(
            key=key.document,
            sha256=durable.file_sha256(plan),
            size_bytes=plan.stat().st_size,
            built_at_ms=self._clock.epoch_ms(),
            build_s=build_s,
            recorded=dict(key.recorded),
        )
        durable.write_file(folder / SIDECAR, msgspec.json.format(msgspec.json.encode(sidecar)))

    def _touch(self, entry: Path) -> None:
        """Remember the use in the sidecar's time; a disk that refuses only makes eviction less wise."""
        now_ns = self._clock.epoch_ms() * 1_000_000
        with suppress(OSError):
            os.utime(entry / SIDECAR, ns=(now_ns, now_ns))


def _size(entry: Path) -> int:
    total = 0
    for path in entry.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size
    return total


def _last_used(entry: Path) -> tuple[int, str]:
    try:
        return (entry / SIDECAR).stat().st_mtime_ns, entry.name
    except OSError:
        return 0, entry.name
