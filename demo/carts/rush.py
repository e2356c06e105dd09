"""Rush hour: while a show runs, shoppers of the demo hurry: evidence comes in minutes and not in hours.

A small file says until when. The processes of the stores look at it; nothing else in them changes: the same
shoppers do the same things, with shorter pauses.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from demo.data_dir import write_atomically

# Pauses are so much shorter. Higher, and two cores no longer keep up with 24 carts.
FACTOR = 2.5
# How often the file is looked at. Lower only costs system calls.
LOOK_S = 2.0


@dataclass(frozen=True, slots=True)
class Rush:
    """The file.

    Attributes:
        path: Where it is.
        epoch_s: The time.
    """

    path: Path
    epoch_s: Callable[[], float] = time.time

    @contextlib.contextmanager
    def lasting(self, longest_s: float) -> Iterator[None]:
        """Let shoppers hurry within, and never longer than this."""
        write_atomically(self.path, {"until_s": self.epoch_s() + longest_s})
        try:
            yield
        finally:
            self.path.unlink(missing_ok=True)

    def on(self) -> bool:
        """Whether shoppers hurry now."""
        try:
            until_s = json.loads(self.path.read_text(encoding="utf-8"))["until_s"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return isinstance(until_s, int | float) and self.epoch_s() < until_s


class Pace:
    """How long shoppers pause, relative to what they always do; one per process.

    Args:
        rush: The file.
        monotonic_s: Seconds that never jump.
    """

    def __init__(self, rush: Rush, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._rush = rush
        self._monotonic_s = monotonic_s
        self._looked_s = -float("inf")
        self._hurries = False

    def __call__(self) -> float:
        """Return 1, or less in a rush."""
        now_s = self._monotonic_s()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s, self._hurries = now_s, self._rush.on()
        return 1.0 / FACTOR if self._hurries else 1.0
