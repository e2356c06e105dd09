"""Playing recorded frames at the speed of life."""

from fleet_agent.ports import Clock


class Pacer:
    """Says when the next recorded frame is due.

    Args:
        fps: Frames per second.
        clock: Time.
    """

    def __init__(self, fps: float, clock: Clock) -> None:
        self._period_s = 1.0 / fps
        self._clock = clock
        self._due_s = clock.monotonic_s()
        self._sleep = clock.event()  # never set: a wait that is not time.sleep

    def wait(self, timeout_s: float) -> bool:
        """Wait until the next frame is due, or until the time is over; True when it is due."""
        left_s = self._due_s - self._clock.monotonic_s()
        if left_s > timeout_s:
            self._sleep.wait(timeout_s)
            return False
        if left_s > 0:
            self._sleep.wait(left_s)
        # A reader that fell behind goes on from here: it does not race through what it missed.
        self._due_s = max(self._due_s + self._period_s, self._clock.monotonic_s() - self._period_s)
        return True
