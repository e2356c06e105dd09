"""A scale that follows a script: for replaying a recorded session beside its videos."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fleet_agent.errors import ScaleOpenError
from fleet_agent.ports import Clock, ScaleReading

# Readings per second: what common indicators give.
READINGS_PER_S = 10.0


@dataclass(frozen=True, slots=True)
class Step:
    """From this time on the scale shows this weight.

    Attributes:
        at_s: Seconds after the scale was opened.
        grams: Total weight.
    """

    at_s: float
    grams: float


def load_script(path: Path) -> tuple[Step, ...]:
    """Read lines `seconds,grams`; blank lines and lines that begin with # are skipped.

    Raises:
        ScaleOpenError: the file cannot be read, or a line is wrong; says which.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ScaleOpenError(f"{path}: {error}") from error
    steps: list[Step] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            at, grams = line.split(",")
            steps.append(Step(float(at), float(grams)))
        except ValueError as error:
            raise ScaleOpenError(f"{path}, line {number}: expected seconds,grams") from error
    if not steps or steps != sorted(steps, key=lambda step: step.at_s):
        raise ScaleOpenError(f"{path}: needs at least one line, in order of time")
    return tuple(steps)


class ScriptedScale:
    """Plays weights in real time.

    Args:
        steps: In order of time; before the first the scale shows 0 g.
        clock: Time.
        loop: Play again from the beginning, one second after the last step.
    """

    def __init__(self, steps: Sequence[Step], clock: Clock, *, loop: bool = False) -> None:
        self._steps = tuple(steps)
        self._clock = clock
        self._length_s = self._steps[-1].at_s + 1.0 if loop else float("inf")
        self._begun_s = clock.monotonic_s()
        self._next_s = self._begun_s
        self._sleep = clock.event()  # never set: a wait that is not time.sleep

    def open(self) -> None:
        """Begin the script."""
        self._begun_s = self._next_s = self._clock.monotonic_s()

    def read(self, timeout_s: float) -> ScaleReading | None:
        """Wait for the next reading."""
        left_s = self._next_s - self._clock.monotonic_s()
        if left_s > 0:
            self._sleep.wait(min(left_s, timeout_s))
        if left_s > timeout_s:
            return None
        self._next_s += 1.0 / READINGS_PER_S
        now_s = self._clock.monotonic_s()
        return ScaleReading(self.weight_at(now_s - self._begun_s), now_s, stable=None)

    def weight_at(self, elapsed_s: float) -> float:
        """Return the scripted weight at a time after the opening."""
        if self._length_s != float("inf"):
            elapsed_s %= self._length_s
        grams = 0.0
        for step in self._steps:
            if step.at_s > elapsed_s:
                break
            grams = step.grams
        return grams

    def close(self) -> None:
        """Nothing is held."""
