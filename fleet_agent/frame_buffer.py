"""The newest frame of one camera, and the few around a weight change.

The slot holds one frame: the latest wins. Beside it, frames of the last seconds are kept at a
limited rate, because the hand is in the picture before the scale settles.

Drops are counted by cause: `drop_full`, overwritten before perception, which wanted it, came to it;
`drop_stale`, too old when it came; `drop_decode`, not a picture. Frames that nobody wanted, because
the cart looks only now and then while nothing moves, are not drops.
"""

import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from fleet_agent.config import CaptureConfig
from fleet_agent.perception import Detection, Frame

# Longest movement whose frames are all kept; of a longer one the newest remain.
LONGEST_MOVEMENT_S = 4.0
# A frame may come this much earlier than its turn and still be kept: cameras jitter.
RATE_TOLERANCE = 0.75


@dataclass(slots=True, eq=False)
class Seen:
    """One frame and what was seen in it.

    Attributes:
        frame: The picture.
        put_s: When it came into the buffer.
        detections: None until the network has looked at it.
    """

    frame: Frame
    put_s: float
    detections: tuple[Detection, ...] | None = None


class FrameBuffer:
    """Frames of one camera. One thread puts, another takes.

    Args:
        config: Rates and ages.
        count: Called with a counter's name for each drop.
    """

    def __init__(self, config: CaptureConfig, count: Callable[[str], None]) -> None:
        self._config = config
        self._count = count
        self._lock = threading.Lock()
        self._latest: Seen | None = None
        self._latest_wanted = False
        kept_s = config.event_before_s + config.event_after_s + LONGEST_MOVEMENT_S
        self._kept_s = kept_s
        self._ring: deque[Seen] = deque(maxlen=math.ceil(config.event_fps * kept_s))
        self._ring_due_s = -math.inf

    def put(self, frame: Frame, now_s: float, *, wanted: bool) -> None:
        """Add a frame.

        Args:
            frame: The newest of its camera.
            now_s: Monotonic time.
            wanted: Perception is waiting for frames: losing this one is a drop.
        """
        seen = Seen(frame, now_s)
        with self._lock:
            # The last frame of an idle pause was not wanted: it is no loss when the first wanted one comes.
            if self._latest_wanted and self._latest is not None and self._latest.detections is None:
                self._count("drop_full")
            self._latest, self._latest_wanted = seen, wanted
            self._keep(seen, frame.captured_s)

    def _keep(self, seen: Seen, captured_s: float) -> None:
        while self._ring and self._ring[0].frame.captured_s < captured_s - self._kept_s:
            self._ring.popleft()
        if captured_s >= self._ring_due_s:
            self._ring.append(seen)
            self._ring_due_s = captured_s + RATE_TOLERANCE / self._config.event_fps

    def take(self, now_s: float) -> Seen | None:
        """Return the latest frame once; None when there is none, or it is too old."""
        with self._lock:
            seen, self._latest = self._latest, None
        if seen is None or seen.detections is not None:
            return None
        if now_s - seen.frame.captured_s > self._config.stale_after_s:
            self._count("drop_stale")
            return None
        return seen

    def forget(self) -> None:
        """Drop all frames: what was seen in them is of no use any more."""
        with self._lock:
            self._latest = None
            self._ring.clear()

    @property
    def has_new(self) -> bool:
        """Whether `take` may have something."""
        latest = self._latest
        return latest is not None and latest.detections is None

    def between(self, first_s: float, last_s: float) -> list[Seen]:
        """Return the kept frames captured in a span of time, oldest first."""
        with self._lock:
            return [seen for seen in self._ring if first_s <= seen.frame.captured_s <= last_s]
