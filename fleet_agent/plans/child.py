"""The process that builds a plan: what it says is taken in by bounded pieces, and it can always be ended."""

import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import msgspec

from fleet_agent.errors import PlanBuildError
from fleet_agent.plans import guard

# Longest wait before a cancellation and the time-out are looked at again.
POLL_S = 0.2
# How long a killed child may take to be gone; one that hangs in a driver is left to the kernel.
KILL_TIMEOUT_S = 10.0
BLOCK_BYTES = 65_536
# One line of progress is 100 bytes and an error with TensorRT's log some thousand; longer lines are
# not ours and are dropped.
MAX_LINE_BYTES = 262_144
# Of what the child and its runtime print on stderr, the end says why it failed.
STDERR_TAIL_BYTES = 8192
MAX_LOG_LINES = 50


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """How far a build is.

    Attributes:
        phase: The runtime's name of what it does, such as `timing kernels`.
        step: Done in this phase.
        of: Steps of this phase; 0: not known.
    """

    phase: str
    step: int
    of: int


class _Line(msgspec.Struct, frozen=True):
    """Any line of the child; which fields it has says what it is."""

    phase: str = ""
    step: int = 0
    of: int = 0
    built: int | None = None
    seconds: float = 0.0
    error: str | None = None
    log: tuple[str, ...] = ()


OnProgress = Callable[[BuildProgress], None]


class Child:
    """The builder's process and what it has said so far.

    Args:
        command: Of the builder.
        folder: In which it works.
    """

    def __init__(self, command: list[str], folder: Path) -> None:
        guarded = [
            sys.executable,
            "-I",
            "-S",
            str(Path(guard.__file__).absolute()),
            str(os.getpid()),
            *command,
        ]
        try:
            self._process = subprocess.Popen(
                guarded,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(_import_paths())},
            )
        except OSError as error:
            raise PlanBuildError("start", f"the builder cannot be started: {error}") from error
        self._selector = selectors.DefaultSelector()
        for pipe in (self._stdout, self._stderr):
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ)
        self._line = bytearray()
        self._dropping = False
        self._tail = bytearray()
        self._own_log: tuple[str, ...] = ()
        self.built: int | None = None
        self.seconds = 0.0
        self.error: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()
        self._selector.close()
        self._stdout.close()
        self._stderr.close()

    @property
    def log(self) -> tuple[str, ...]:
        """The runtime's own lines, or the end of stderr."""
        if self._own_log:
            return self._own_log
        return tuple(self._tail.decode(errors="replace").splitlines()[-MAX_LOG_LINES:])

    def read(self, on_progress: OnProgress | None) -> bool:
        """Wait a little for output and take it in.

        Returns:
            False once the child has ended and all is read.
        """
        if not self._selector.get_map():
            return self._process.poll() is None and not self._wait(POLL_S)
        # Asked before reading: what it wrote before it ended is in the pipes then.
        ended = self._process.poll() is not None
        ready = self._selector.select(0.0 if ended else POLL_S)
        for key, _ in ready:
            self._take(key.fileobj, on_progress)  # type: ignore[arg-type]  # we registered files
        # A grandchild may hold the pipes for ever; the child's end is the end once they are silent.
        return bool(ready) or not ended

    def end(self) -> int:
        """Return the child's exit status; it has ended, or closed its pipes and is given little time."""
        if not self._wait(KILL_TIMEOUT_S):
            self._kill()
        return self._process.wait(KILL_TIMEOUT_S)

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None  # noqa: S101  # it is a pipe
        return self._process.stdout

    @property
    def _stderr(self) -> IO[bytes]:
        assert self._process.stderr is not None  # noqa: S101  # it is a pipe
        return self._process.stderr

    def _take(self, pipe: IO[bytes], on_progress: OnProgress | None) -> None:
        block = os.read(pipe.fileno(), BLOCK_BYTES)
        if not block:
            self._selector.unregister(pipe)
        elif pipe is self._stderr:
            self._tail += block
            del self._tail[:-STDERR_TAIL_BYTES]
        else:
            self._split(block, on_progress)

    def _split(self, block: bytes, on_progress: OnProgress | None) -> None:
        """Cut what came into lines; a line that is too long is dropped up to its end."""
        *whole, rest = block.split(b"\n")
        for piece in whole:
            if not self._dropping:
                self._understand(bytes(self._line + piece), on_progress)
            self._line.clear()
            self._dropping = False
        if len(self._line) + len(rest) > MAX_LINE_BYTES:
            self._dropping = True
            self._line.clear()
        elif not self._dropping:
            self._line += rest

    def _understand(self, document: bytes, on_progress: OnProgress | None) -> None:
        try:
            line = msgspec.json.decode(document, type=_Line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # a library's own print
        if line.error is not None:
            self.error = line.error
            self._own_log = line.log[-MAX_LOG_LINES:]
        elif line.built is not None:
            self.built, self.seconds = line.built, line.seconds
        elif line.phase and on_progress is not None:
            on_progress(BuildProgress(line.phase, line.step, line.of))

    def _wait(self, timeout_s: float) -> bool:
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _kill(self) -> None:
        """End the child and all that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._wait(KILL_TIMEOUT_S)


def _import_paths() -> list[str]:
    """Where the child finds our code although it works in another folder."""
    ours = Path(__file__).absolute().parents[2]
    known = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return [str(ours), *(str(Path(entry).absolute()) for entry in known)]
