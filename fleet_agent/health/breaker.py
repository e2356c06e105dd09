"""The crash-loop breaker: a cart that keeps dying starts in safe mode, and says so.

Each start is written to disk before anything else is tried; a clean stop or a long healthy run takes it
away again. Too many left within a window: the next start is a safe one (the shipped model on the
processor, no plans), until one run was healthy. A power cut counts as a crash, as it should: it leaves
the same trace as one.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import msgspec
import structlog
from msgspec import Meta

from fleet_agent.config import HealthConfig

log = structlog.get_logger()

SCHEMA = 1
# Starts remembered: more than any sensible limit, and the file stays one disk block.
MOST_STARTS = 64
# Longest name of a stage.
MOST_HUNG = 64
# A file larger than this is not ours.
MAX_FILE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """When starts are a crash loop.

    Attributes:
        starts: So many without a clean stop, the present one not counted, ...
        window_s: ... within this long, at least.
        healthy_after_s: A run of this length ends the loop.
    """

    starts: int = 5
    window_s: float = 600.0
    healthy_after_s: float = 600.0

    @property
    def reach_s(self) -> float:
        """How far back a start counts: runs that all end just before they are healthy are a loop too."""
        return max(self.window_s, self.starts * self.healthy_after_s)


@dataclass(frozen=True, slots=True)
class BreakerState:
    """What is remembered between runs.

    Attributes:
        starts_ms: When runs began that have not ended well, oldest first.
        tripped: The loop was found and no run has been healthy since.
        hung: The stage that hung when the watchdog ended the run before; empty when it did not.
    """

    starts_ms: tuple[int, ...] = ()
    tripped: bool = False
    hung: str = ""


@dataclass(frozen=True, slots=True)
class BreakerDecision:
    """How this run is to be.

    Attributes:
        safe_mode: Start with the least that can go wrong.
        crashes: Starts within the window that did not end well.
        hung: The stage that hung when the watchdog ended the run before; empty when it did not.
        damaged: What was remembered could not be read.
    """

    safe_mode: bool
    crashes: int
    hung: str = ""
    damaged: bool = False


def on_start(state: BreakerState, now_ms: int, limits: BreakerLimits) -> tuple[BreakerState, BreakerDecision]:
    """Count a start and decide how it is to be.

    A clock that was set back leaves starts in the future: they count as recent.
    """
    now_ms = max(0, now_ms)  # before 1970: a machine without a clock, at boot
    oldest_ms = now_ms - round(limits.reach_s * 1000)
    recent = tuple(at for at in state.starts_ms if at >= oldest_ms)
    tripped = state.tripped or len(recent) >= limits.starts
    after = BreakerState((*recent, now_ms)[-MOST_STARTS:], tripped)
    return after, BreakerDecision(tripped, len(recent), state.hung)


def on_clean_stop(state: BreakerState) -> BreakerState:
    """Take the present start away again; a safe mode stays: stopping proves nothing."""
    return replace(state, starts_ms=state.starts_ms[:-1])


def on_healthy(state: BreakerState) -> BreakerState:
    """Forget all: the next start is a normal one."""
    return BreakerState() if state != BreakerState() else state


class _Stored(msgspec.Struct, frozen=True):
    """The file."""

    schema: int
    starts_ms: Annotated[list[Annotated[int, Meta(ge=0, le=2**53)]], Meta(max_length=MOST_STARTS)]
    tripped: bool
    hung: Annotated[str, Meta(max_length=MOST_HUNG)] = ""


class CrashBreaker:
    """The breaker of one cart, on disk beside its spool.

    A disk that cannot be written is logged: a cart without memory still starts.

    Args:
        path: Its file.
        limits: When starts are a loop.
    """

    def __init__(self, path: Path, limits: BreakerLimits) -> None:
        self._path = path
        self._limits = limits
        self._state = BreakerState()
        self._begun_s: float | None = None

    @classmethod
    def beside(cls, spool: Path, config: HealthConfig) -> "CrashBreaker":
        """Return the breaker of the cart with this spool."""
        limits = BreakerLimits(config.crash_starts, config.crash_window_s, config.healthy_after_s)
        return cls(spool.with_name(spool.name + ".starts.json"), limits)

    def started(self, now_ms: int) -> BreakerDecision:
        """Count this start; call it before anything that may crash."""
        before, damaged = self._load()
        self._state, decision = on_start(before, now_ms, self._limits)
        self._save()
        if decision.safe_mode:
            log.error("crash loop: starting in safe mode", crashes=decision.crashes)
        return replace(decision, damaged=damaged)

    def running(self, now_s: float, *, well: bool = True) -> None:
        """Note that the cart runs and nothing is stuck, on the clock that never jumps; cheap.

        A run that is not well (its network fails) is no healthy one: its time begins again.
        """
        if not well or self._begun_s is None:
            self._begun_s = now_s
        elif now_s - self._begun_s >= self._limits.healthy_after_s and self._state != BreakerState():
            self._state = on_healthy(self._state)
            self._save()

    def hung(self, stage: str) -> None:
        """Note why the watchdog is about to end this run: the next one reports it."""
        self._state = replace(self._state, hung=stage[:MOST_HUNG])
        self._save()

    def stopped(self) -> None:
        """Note a clean stop."""
        if self._state.starts_ms:
            self._state = on_clean_stop(self._state)
            self._save()

    def _load(self) -> tuple[BreakerState, bool]:
        try:
            with self._path.open("rb") as file:
                raw = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return BreakerState(), False
        except OSError as error:
            log.warning("starts are not readable", file=str(self._path), why=str(error))
            return BreakerState(), True
        state = parse_state(raw)
        if state is None:
            log.warning("starts are damaged, beginning again", file=str(self._path))
        return state or BreakerState(), state is None

    def _save(self) -> None:
        state = self._state
        stored = _Stored(SCHEMA, list(state.starts_ms), state.tripped, state.hung)
        try:
            _write(self._path, msgspec.json.encode(stored))
        except OSError as error:
            log.warning("starts are not writable", file=str(self._path), why=str(error))


def parse_state(raw: bytes) -> BreakerState | None:
    """Return what a file says; None when it is not ours, whatever it holds."""
    if len(raw) > MAX_FILE_BYTES:
        return None
    try:
        stored = msgspec.json.decode(raw, type=_Stored)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if stored.schema != SCHEMA:
        return None
    return BreakerState(tuple(stored.starts_ms), stored.tripped, stored.hung)


def _write(path: Path, content: bytes) -> None:
    """Replace a file as a whole: a power cut leaves the old one or the new one.

    The temporary name is always the same one, so that kills do not fill the folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
