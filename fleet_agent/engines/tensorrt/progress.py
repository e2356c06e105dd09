"""How far a build is: on a Jetson it takes minutes, and silence looks like a crash."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fleet_agent.engines.tensorrt.bindings import Bindings

# Steps of a phase come by the thousand; more lines a second than this tell nobody more.
LEAST_S_BETWEEN_STEPS = 0.2


@dataclass(frozen=True, slots=True)
class Step:
    """Progress of one phase.

    Attributes:
        phase: TensorRT's name of it; they differ between versions and are for people.
        step: How many steps are done.
        of: How many there are.
    """

    phase: str
    step: int
    of: int


Report = Callable[[Step], None]


class ProgressFilter:
    """Turns the flood of steps into a trickle; TensorRT's threads call it.

    Args:
        report: Called with each phase's beginning and end and with some of the steps between.
        clock: Monotonic, in seconds.
    """

    def __init__(self, report: Report, clock: Callable[[], float] = time.monotonic) -> None:
        self._report = report
        self._clock = clock
        self._lock = threading.Lock()
        self._steps: dict[str, int] = {}
        self._heard = True
        self._told_s = clock()

    def start(self, phase: str, steps: int) -> None:
        """A phase begins."""
        with self._lock:
            self._steps[phase] = steps
            self._tell(Step(phase, 0, steps))

    def step(self, phase: str, step: int) -> bool:
        """A step is done; counted from 0.

        Returns:
            Whether to go on: false once nobody hears the reports any more.
        """
        with self._lock:
            if self._clock() - self._told_s >= LEAST_S_BETWEEN_STEPS:
                self._tell(Step(phase, step + 1, self._steps.get(phase, step + 1)))
            return self._heard

    def finish(self, phase: str) -> None:
        """A phase ended, perhaps early."""
        with self._lock:
            steps = self._steps.pop(phase, 1)
            self._tell(Step(phase, steps, steps))

    def _tell(self, step: Step) -> None:
        self._told_s = self._clock()
        try:
            self._report(step)
        except OSError:
            # The pipe's other end is gone. An exception in TensorRT's threads would abort the process.
            self._heard = False


def progress_monitor(bindings: Bindings, report: Report) -> Any:
    """Return a monitor that a builder configuration takes."""
    progress = ProgressFilter(report)
    base = bindings.trt.IProgressMonitor

    class Monitor(base):  # type: ignore[misc,valid-type]
        """TensorRT's side of it."""

        def __init__(self) -> None:
            base.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            """Begin."""
            del parent_phase
            progress.start(phase_name, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            """Go on; true means that the build shall."""
            return progress.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            """End."""
            progress.finish(phase_name)

    return Monitor()
