"""Stories about frames on their way: the latest wins, drops have a cause, lost cameras come back."""

import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fleet_agent.capture import CaptureLoop
from fleet_agent.config import CaptureConfig
from fleet_agent.errors import CameraLostError, CameraOpenError, EndOfStreamError, FrameDecodeError
from fleet_agent.frame_buffer import FrameBuffer, Seen
from fleet_agent.health.camera import Limits
from fleet_agent.health.camera_watch import CameraWatch
from fleet_agent.movement import last_batches, next_live, span_of
from fleet_agent.perception import Frame
from fleet_agent.ports import SystemClock
from fleet_agent.quality import measure
from fleet_agent.telemetry import Telemetry
from tests.fleet_agent.worlds import picture

CONFIG = CaptureConfig(event_fps=10.0, stale_after_s=2.0, reconnect_min_s=0.01, reconnect_max_s=0.02)


def frame(at_s: float) -> Frame:
    """Return a frame of a time."""
    return Frame("front", picture(None, width=16, height=12), at_s)


def buffer() -> tuple[FrameBuffer, list[str]]:
    """Return an empty buffer and where it counts its drops."""
    drops: list[str] = []
    return FrameBuffer(CONFIG, drops.append), drops


def test_the_latest_frame_wins() -> None:
    """Perception gets the newest frame, once."""
    slot, drops = buffer()
    for at_s in (1.0, 1.1, 1.2):
        slot.put(frame(at_s), at_s, wanted=False)
    taken = slot.take(1.3)
    assert taken is not None
    assert taken.frame.captured_s == 1.2
    assert slot.take(1.3) is None
    assert drops == []


def test_overwriting_a_wanted_frame_is_a_drop() -> None:
    """A frame that perception wanted and did not get in time is counted as full."""
    slot, drops = buffer()
    slot.put(frame(1.0), 1.0, wanted=True)
    slot.put(frame(1.1), 1.1, wanted=True)
    assert drops == ["drop_full"]


def test_the_last_frame_of_a_pause_is_no_loss() -> None:
    """A frame that nobody wanted is not counted when the first wanted one takes its place."""
    slot, drops = buffer()
    slot.put(frame(1.0), 1.0, wanted=False)
    slot.put(frame(1.1), 1.1, wanted=True)
    assert drops == []


def test_a_frame_that_is_too_old_is_dropped_as_stale() -> None:
    """What came long ago says nothing about now."""
    slot, drops = buffer()
    slot.put(frame(1.0), 1.0, wanted=False)
    assert slot.take(3.5) is None
    assert drops == ["drop_stale"]


def test_the_seconds_around_a_weight_change_are_kept_at_a_limited_rate() -> None:
    """The hand is seen before the scale settles: its frames are still there, not more than needed."""
    slot, _ = buffer()
    for i in range(300):
        slot.put(frame(i / 60), i / 60, wanted=False)
    kept = [seen.frame.captured_s for seen in slot.between(2.0, 4.0)]
    assert 15 <= len(kept) <= 30
    assert kept == sorted(kept)


def test_memory_is_bounded_however_fast_a_camera_is() -> None:
    """An hour of frames leaves only the last seconds."""
    slot, _ = buffer()
    for i in range(5000):
        slot.put(frame(float(i)), float(i), wanted=False)
    assert len(slot.between(0.0, 1e9)) <= 8


def looked(at_s: float, *, done: bool) -> Seen:
    """Return a kept frame, looked at or not."""
    return Seen(frame(at_s), at_s, () if done else None)


def test_frames_before_the_movement_get_half_the_budget() -> None:
    """Live frames always have room left."""
    span = span_of(CONFIG, onset_s=10.0, moved_s=float("inf"), previous_settled_s=0.0)
    early = [looked(9.0 + i / 10, done=i >= 6) for i in range(10)]
    assert next_live(early, span, budget=8) is None
    fresh = looked(10.1, done=False)
    assert next_live([*early, fresh], span, budget=8) is fresh
    assert next_live([*early, fresh], span, budget=6) is None


def test_frames_of_the_change_before_are_not_used_again() -> None:
    """Two items in quick succession do not share frames."""
    assert span_of(CONFIG, onset_s=10.0, moved_s=10.2, previous_settled_s=9.7).first_s == 9.7


def test_the_rest_is_looked_at_one_frame_per_camera_at_a_time() -> None:
    """At the end the newest frames come first, batched over cameras, within the budget."""
    frames = {
        "a": [looked(1.0, done=True), looked(1.1, done=False), looked(1.2, done=False)],
        "b": [looked(1.15, done=False)],
    }
    batches = last_batches(frames, budget=2)
    assert [[s.frame.captured_s for s in batch] for batch in batches] == [[1.2, 1.15]]


class ScriptedCamera:
    """Does what the script says, one step a read."""

    name = "front"

    def __init__(self, script: list[object], opens: list[object] | None = None) -> None:
        self._script = script
        self._opens = opens or []
        self.closed = 0

    def open(self) -> None:
        """Open, or raise what the script says."""
        if self._opens and isinstance(step := self._opens.pop(0), Exception):
            raise step

    def read(self, timeout_s: float) -> Frame | None:
        """Do the next step."""
        assert timeout_s > 0
        step = self._script.pop(0)
        if isinstance(step, Exception):
            raise step
        assert step is None or isinstance(step, Frame)
        return step

    def close(self) -> None:
        """Count."""
        self.closed += 1


def run(camera: ScriptedCamera, deliver: Callable[[Frame], None]) -> dict[str, int]:
    """Run a capture loop to its end and return its counters."""
    telemetry = Telemetry()
    loop = CaptureLoop(
        camera,
        CONFIG,
        watch=CameraWatch("front", Limits(), telemetry),
        silent_after_s=20.0,
        telemetry=telemetry,
        clock=SystemClock(),
        deliver=deliver,
        stopping=threading.Event(),
    )
    loop.run()
    return dict(telemetry.drain().cnt)


END = EndOfStreamError("front", "over")


@pytest.mark.parametrize("failure", [CameraLostError("front", "gone"), OSError("a driver of somebody else")])
def test_a_lost_camera_is_opened_again(failure: Exception) -> None:
    """After a loss the camera is closed, opened, counted, and frames flow again."""
    camera = ScriptedCamera([frame(1.0), failure, None, frame(2.0), END])
    got: list[Frame] = []
    counters = run(camera, got.append)
    assert [f.captured_s for f in got] == [1.0, 2.0]
    assert counters["reconnects/front"] == 1
    assert camera.closed == 2


def test_a_camera_that_does_not_open_at_once_is_tried_again() -> None:
    """A camera plugged in late is found; that is no reconnect."""
    refusal = CameraOpenError("front", "not there")
    camera = ScriptedCamera([frame(1.0), END], [refusal, refusal])
    got: list[Frame] = []
    counters = run(camera, got.append)
    assert len(got) == 1
    assert "reconnects/front" not in counters


def test_damaged_frames_are_counted_and_passed_over() -> None:
    """One damaged frame is a drop; the camera goes on."""
    broken = replace(frame(1.5), pixels=np.zeros((4, 4), np.uint8))
    camera = ScriptedCamera([frame(1.0), FrameDecodeError("front", "damaged"), broken, frame(2.0), END])
    got: list[Frame] = []
    counters = run(camera, got.append)
    assert len(got) == 2
    assert counters["drop_decode/front"] == 2
    assert counters["frames/front"] == 4


def test_brightness_and_sharpness_are_told_apart() -> None:
    """A dim lamp lowers brightness, a smeared lens lowers sharpness."""
    rng = np.random.default_rng(1)
    sharp = rng.integers(0, 255, (120, 160, 3), dtype=np.uint8)
    dim = (sharp * 0.3).astype(np.uint8)
    flat = np.full((120, 160, 3), 127, np.uint8)
    assert measure(dim).brightness < measure(sharp).brightness / 2
    assert measure(flat).sharpness < measure(sharp).sharpness - 5
    assert measure(flat).brightness == pytest.approx(127, abs=1)
